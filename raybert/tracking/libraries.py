"""Trackers by their names in the sweep file; the library of one is imported when it is made."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from raybert.config.track import TrackerConfig
from raybert.tracking.tracker import Tracker


def make_tracker(name: str, config: TrackerConfig, folder: Path) -> Tracker:
    """Return a tracker in this process.

    Args:
        name: of `TRACKERS`.
        config: its section.
        folder: of the results.

    Raises:
        ConfigError: its package is missing, or a variable of the environment that it needs.
    """
    module = import_module(f"raybert.tracking.to_{name}")
    tracker: Tracker = module.make(config, folder)
    return tracker
