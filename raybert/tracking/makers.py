"""What sends to each tracker that a sweep file asks for, and where its runs are."""

from __future__ import annotations

import os
from functools import partial

from raybert.config.track import (
    ClearmlConfig,
    MlflowConfig,
    TensorboardConfig,
    TrackConfig,
    TrackerConfig,
    TrackioConfig,
    WandbConfig,
)
from raybert.passwords import without_credentials
from raybert.sweeping.folder.layout import SweepFolder
from raybert.tracking.credentials import remember_credentials
from raybert.tracking.delivery import Delivery
from raybert.tracking.remote import RemoteTracker


def deliveries(track: TrackConfig, folder: SweepFolder) -> list[Delivery]:
    """Return what sends to each tracker that is asked for; nothing is imported or sent yet.

    Args:
        track: section of the sweep file.
        folder: of the results.
    """
    remember_credentials()
    return [
        Delivery(name, place_of(config), partial(RemoteTracker, name, config, folder.path), folder, config.takes_model)
        for name, config in track.asked_for()
    ]


def place_of(config: TrackerConfig) -> str:
    """Return where the runs of a tracker are, without credentials, as far as the file and the environment say."""
    match config:
        case MlflowConfig():
            parts = [config.uri or os.environ.get("MLFLOW_TRACKING_URI"), config.experiment]
        case WandbConfig():
            parts = [config.entity or os.environ.get("WANDB_ENTITY"), config.project]
        case TrackioConfig():
            space = config.space or os.environ.get("TRACKIO_SPACE_ID")
            parts = [space or config.server or os.environ.get("TRACKIO_SERVER_URL"), config.project]
        case ClearmlConfig():
            parts = ["offline" if config.is_offline else "online", config.project]
        case TensorboardConfig():
            parts = [config.folder]
        case _:
            raise AssertionError(config)
    return " ".join(without_credentials(part).partition("?")[0] for part in parts if part)
