"""MLflow: runs of trials nested below a run of the sweep, by its client, without anything that is global."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from raybert.config.packages import no_tracker
from raybert.config.track import MlflowConfig
from raybert.errors import ConfigError
from raybert.passwords import whole
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
except ImportError:
    raise ConfigError(no_tracker("mlflow")) from None

Item = TypeVar("Item")
_MOST_PARAMS, _MOST_METRICS = 100, 1000
"""Of one request, which servers refuse beyond."""
_LONGEST_VALUE = 6000
"""Letters of a parameter; a server refuses more."""
_STATUS = {"complete": "FINISHED", "failed": "FAILED", "pruned": "KILLED", "stopped": "KILLED"}
_OF_REQUESTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow itself would try for minutes; what fails here is tried again by the courier."""


class MlflowTracker:
    """Sends to an MLflow server or store."""

    is_live = True

    def __init__(self, config: MlflowConfig) -> None:
        for name, value in _OF_REQUESTS.items():
            os.environ.setdefault(name, value)
        uri = None if config.uri is None else whole(config.uri, "track.mlflow.uri")
        self._client = MlflowClient(tracking_uri=uri)
        self._name = config.experiment
        self._experiment = self._group = ""
        self._parent = ""

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        found = self._client.get_experiment_by_name(self._name)
        self._experiment = self._client.create_experiment(self._name) if found is None else found.experiment_id
        self._group = sweep.group
        self._parent = self._begin(sweep.name, {"raybert.role": "sweep"}, sweep.parameters, run)
        return self._parent

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        tags = {"mlflow.parentRunId": self._parent, "raybert.trial": trial.key, "raybert.role": trial.kind}
        return self._begin(trial.name, tags, trial.parameters, run)

    def log(self, run: str, rows: Sequence[Row]) -> None:
        now = _milliseconds()
        metrics = [Metric(name, value, now, step) for step, row in rows for name, value in row.items()]
        for part in _parts(metrics, _MOST_METRICS):
            self._client.log_batch(run, metrics=part)

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        self._client.log_batch(
            run, metrics=[Metric(name, value, _milliseconds(), 0) for name, value in summary.items()]
        )
        self._client.set_terminated(run, _STATUS[status])

    def finish(self, artifacts: Artifacts) -> str:
        named = {"tables": artifacts.tables, "plots": artifacts.plots}
        for folder, paths in named.items():
            for name, path in paths.items():
                self._client.log_artifact(self._parent, str(path), str((PurePosixPath(folder) / name).parent))
        if artifacts.report is not None:
            self._client.log_artifact(self._parent, str(artifacts.report))
        if artifacts.model is not None:
            self._client.log_artifacts(self._parent, str(artifacts.model), "model")
            self._client.set_tag(self._parent, "raybert.best_trial", artifacts.model_name)
        self.end_trial(self._parent, artifacts.status, artifacts.summary)
        return self._parent

    def close(self) -> None:
        """Nothing is open."""

    def _begin(self, name: str, tags: Mapping[str, str], parameters: Mapping[str, Scalar], run: str | None) -> str:
        if run is not None and self._is_there(run):
            self._client.update_run(run, status="RUNNING")
            return run
        tagged = {"raybert.group": self._group, **tags}
        created: Any = self._client.create_run(self._experiment, run_name=name, tags=tagged)
        params = [Param(_key(key), str(value)[:_LONGEST_VALUE]) for key, value in parameters.items()]
        for part in _parts(params, _MOST_PARAMS):
            self._client.log_batch(created.info.run_id, params=part)
        return str(created.info.run_id)

    def _is_there(self, run: str) -> bool:
        """Tell whether a run is there, and not deleted."""
        try:
            return bool(self._client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False


def make(config: MlflowConfig, folder: Path) -> MlflowTracker:
    """Return the tracker of a section of the sweep file."""
    return MlflowTracker(config)


def _parts(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), most):
        yield list(items[start : start + most])


def _key(name: str) -> str:
    """Return a name as MLflow takes it: letters, digits and a few signs."""
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "_" for letter in name)


def _milliseconds() -> int:
    return int(time.time() * 1000)
