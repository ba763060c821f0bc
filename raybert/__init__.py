"""raybert: which training examples are worth training on, and which selection strategy finds them?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raybert.version import __version__

if TYPE_CHECKING:
    from raybert.analysis import Sweep, load_sweep
    from raybert.config import load_config
    from raybert.errors import (
        ConfigError,
        DataError,
        ModelError,
        RaybertError,
        ResourceError,
        SelectionError,
        SweepError,
        TrialError,
    )
    from raybert.models import load_model
    from raybert.selection import PassRequest, Pool, Selection, Strategy, register
    from raybert.selection.select import select

_HOMES = {
    "raybert.analysis": ("Sweep", "load_sweep"),
    "raybert.config": ("load_config",),
    "raybert.errors": (
        "ConfigError",
        "DataError",
        "ModelError",
        "RaybertError",
        "ResourceError",
        "SelectionError",
        "SweepError",
        "TrialError",
    ),
    "raybert.models": ("load_model",),
    "raybert.selection": ("PassRequest", "Pool", "Selection", "Strategy", "register", "select"),
}
_home_of = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - by subject
    "__version__",
    "load_sweep",
    "Sweep",
    "load_config",
    "load_model",
    "select",
    "register",
    "Strategy",
    "Pool",
    "Selection",
    "PassRequest",
    "RaybertError",
    "ConfigError",
    "DataError",
    "ModelError",
    "ResourceError",
    "SelectionError",
    "SweepError",
    "TrialError",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `raybert --help` must not wait for torch."""
    if name in _home_of:
        return getattr(import_module(_home_of[name]), name)
    raise AttributeError(f"module 'raybert' has no attribute '{name}'")
