"""The section `track` of a sweep file: the trackers that its runs are sent to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import environ
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from raybert.config.section import Section
from raybert.plain import hide

TRACKERS = ("mlflow", "wandb", "trackio", "clearml", "tensorboard")
"""By the keys of the section, which are the names of the extras too."""
_NO_PASSWORD = (
    "must not hold a password or a token, which belong into the environment: write ${NAME} in its place, or leave it "
    "to the variables that the tracker itself reads"
)


class TrackerConfig(Section):
    """What is said of a tracker."""

    @property
    def takes_model(self) -> bool:
        """Whether the best model is sent."""
        return False


class ModelTrackerConfig(TrackerConfig):
    """What is said of a tracker that takes models."""

    model: bool = Field(True, description="send the best model (`best/`) at the end")

    @property
    def takes_model(self) -> bool:
        return self.model


class MlflowConfig(ModelTrackerConfig):
    """MLflow: a nested run a trial below one of the sweep."""

    uri: str | None = Field(
        None,
        min_length=1,
        description="of the tracking server or store (https://host, sqlite:///mlflow.db), in which `${NAME}` is filled "
        "in from the environment; default: MLFLOW_TRACKING_URI, or what MLflow takes without",
    )
    experiment: str = Field("raybert", min_length=1, description="in which the runs are")

    @field_validator("uri")
    @classmethod
    def _without_a_password(cls, uri: str | None) -> str | None:
        return refuse_passwords(uri)


class WandbConfig(ModelTrackerConfig):
    """Weights & Biases: a run a trial, in a group of the sweep."""

    project: str = Field("raybert", min_length=1, description="in which the runs are")
    entity: str | None = Field(None, min_length=1, description="user or team; default: WANDB_ENTITY, or your own")
    mode: Literal["auto", "online", "offline"] = Field(
        "auto", description="offline: only write what `wandb sync` sends later; auto: WANDB_MODE, or online"
    )


class TrackioConfig(ModelTrackerConfig):
    """Trackio: a run a trial, in a group of the sweep."""

    in_words: ClassVar[Mapping[str, str]] = {"project": "letters, digits, - and _, as Trackio takes them"}

    project: str = Field("raybert", pattern=r"^[A-Za-z0-9_-]+$", description="in which the runs are")
    space: str | None = Field(
        None, min_length=1, description="Hugging Face Space that has them; default: TRACKIO_SPACE_ID, or this machine"
    )
    server: str | None = Field(
        None,
        min_length=1,
        description="URL of a Trackio server of your own, in which `${NAME}` is filled in from the environment; "
        "default: TRACKIO_SERVER_URL, or none",
    )

    @field_validator("server")
    @classmethod
    def _without_a_token(cls, server: str | None) -> str | None:
        return refuse_passwords(server)


class ClearmlConfig(ModelTrackerConfig):
    """ClearML: a task a trial, in a project of the sweep; sent when the trial has ended."""

    project: str = Field("raybert", min_length=1, description="below which the sweep has its project")
    offline: bool | None = Field(
        None,
        description="only write what `Task.import_offline_session` sends later; default: CLEARML_OFFLINE_MODE, or "
        "false",
    )

    @property
    def is_offline(self) -> bool:
        """Whether nothing is sent, with what the environment says."""
        return (
            environ.get("CLEARML_OFFLINE_MODE", "").lower() in ("1", "true", "yes")
            if self.offline is None
            else self.offline
        )


class TensorboardConfig(TrackerConfig):
    """TensorBoard: a folder of events a trial."""

    folder: str | None = Field(
        None, min_length=1, description="of the events; default: `tracking/tensorboard` of the results folder"
    )


class TrackConfig(Section):
    """Trackers that the runs are sent to, by the driver alone; null: not to this one. The results stay the same."""

    in_words: ClassVar[Mapping[str, str]] = {
        "": f"a mapping of trackers ({', '.join(TRACKERS)}) to their keys, e.g. {{mlflow: {{}}}}"
    }

    mlflow: MlflowConfig | None = Field(None, description="MLflow (`pip install raybert[mlflow]`)")
    wandb: WandbConfig | None = Field(None, description="Weights & Biases (`pip install raybert[wandb]`)")
    trackio: TrackioConfig | None = Field(None, description="Trackio (`pip install raybert[trackio]`)")
    clearml: ClearmlConfig | None = Field(None, description="ClearML (`pip install raybert[clearml]`)")
    tensorboard: TensorboardConfig | None = Field(
        None,
        description="TensorBoard (`pip install raybert[tensorboard]`): evaluations of all trials in one folder; those "
        "of single steps are written by `monitor.tensorboard`",
    )
    wait_seconds: float = Field(
        60.0, ge=0, description="how long the end of a command waits for what is still to be sent"
    )

    def asked_for(self) -> Iterator[tuple[str, TrackerConfig]]:
        """Yield the trackers that are asked for, by name."""
        for name in TRACKERS:
            config = getattr(self, name)
            if config is not None:
                yield name, config

    def urls(self) -> dict[str, str]:
        """Return the URLs of trackers by dotted key."""
        found = {
            "track.mlflow.uri": self.mlflow and self.mlflow.uri,
            "track.trackio.server": self.trackio and self.trackio.server,
        }
        return {key: url for key, url in found.items() if url}


def refuse_passwords(url: str | None) -> str | None:
    """Return a URL of a tracker as it is.

    Raises:
        ValueError: there is a password or a token in it.
    """
    if url is not None and hide(url) != url:
        raise ValueError(_NO_PASSWORD)
    return url
