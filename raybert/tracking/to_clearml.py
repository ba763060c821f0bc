"""ClearML: a task a trial, in a project of the sweep, and a task of the sweep with what it leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raybert.config.packages import no_tracker
from raybert.config.track import ClearmlConfig
from raybert.errors import ConfigError
from raybert.tracking.book import FOLDER
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

try:
    from clearml import Task
except ImportError:
    raise ConfigError(no_tracker("clearml")) from None

_STATUSES = ("complete", "failed", "pruned", "stopped")
_FRAMEWORKS = (
    *("matplotlib", "tensorflow", "tensorboard", "pytorch", "xgboost", "scikit", "fastai", "lightgbm", "hydra"),
    *("joblib", "megengine", "catboost", "gradio", "jsonargparse"),
)
_NOTHING_OF_ITSELF: dict[str, Any] = {
    "auto_connect_arg_parser": False,
    "auto_connect_frameworks": {"detect_repository": False, **dict.fromkeys(_FRAMEWORKS, False)},
    "auto_connect_streams": False,
    "auto_resource_monitoring": False,
}
"""A task is told of a trial alone: this process has no arguments, models and output of one."""


class ClearmlTracker:
    """Sends to a ClearML server, or writes what `Task.import_offline_session` sends later.

    A process is of one task, so trials are sent once they have ended. Parameters are set and never connected:
    what is edited at the server changes no trial.
    """

    is_live = False

    def __init__(self, config: ClearmlConfig, folder: Path) -> None:
        self._is_offline = config.is_offline
        if self._is_offline:
            os.environ.setdefault("CLEARML_CACHE_DIR", str(folder))  # below which it has `offline/`
            Task.set_offline(offline_mode=True)
        self._base = config.project
        self._sweep: TrackedSweep | None = None
        self._sweep_task: str | None = None
        self._task: Any = None

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        self._sweep, self._sweep_task = sweep, run
        return run or ""  # begun at the end: there is one task at a time

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        return self._begin(trial.name, "training", trial.parameters, run)

    def log(self, run: str, rows: Sequence[Row]) -> None:
        logger = self._task.get_logger()
        for step, row in rows:
            for name, value in row.items():
                title, _, series = name.partition("/")
                logger.report_scalar(title, series or title, value, step)

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        for name, value in summary.items():
            self._task.get_logger().report_single_value(name, value)
        tags = [tag for tag in self._task.get_tags() or () if tag not in _STATUSES]
        self._task.set_tags([*tags, status])
        if status == "failed" and not self._is_offline:
            self._task.mark_failed(status_reason="the trial failed", ignore_errors=True)
        self._task.close()
        self._task = None

    def finish(self, artifacts: Artifacts) -> str:
        assert self._sweep is not None
        run = self._begin(self._sweep.name, "optimizer", self._sweep.parameters, self._sweep_task)
        files = dict(artifacts.tables) | ({} if artifacts.report is None else {artifacts.report.name: artifacts.report})
        for name, path in files.items():
            self._task.upload_artifact(name, str(path))
        for name, path in artifacts.plots.items():
            self._task.get_logger().report_image("plots", name, 0, local_path=str(path))
        if artifacts.model is not None:
            self._task.upload_artifact("model", str(artifacts.model), metadata={"trial_id": artifacts.model_name})
        self.end_trial("", artifacts.status, artifacts.summary)
        return run

    def close(self) -> None:
        if self._task is not None:
            self.end_trial("", "stopped", {})

    def _begin(self, name: str, kind: str, parameters: Mapping[str, Scalar], run: str | None) -> str:
        assert self._sweep is not None
        if self._task is not None:  # of a call that failed, and is made again
            self.close()
        self._task = Task.init(
            project_name=f"{self._base}/{self._sweep.group}",
            task_name=name,
            task_type=kind,
            tags=["raybert"],
            reuse_last_task_id=False,
            continue_last_task=run if run and not self._is_offline else False,
            **_NOTHING_OF_ITSELF,
        )
        self._task.set_parameters({f"General/{key}": value for key, value in parameters.items()})
        return str(self._task.id)


def make(config: ClearmlConfig, folder: Path) -> ClearmlTracker:
    """Return the tracker of a section of the sweep file."""
    return ClearmlTracker(config, folder / FOLDER / "clearml")
