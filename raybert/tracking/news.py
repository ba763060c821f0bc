"""What there is to send, read from the results folder: the files are the truth, live and later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raybert.errors import ConfigError
from raybert.files import read_json
from raybert.plain import hide, printable
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_index import run_name
from raybert.sweeping.plan.extension import flatten
from raybert.sweeping.plan.roles import REFIT, TRIAL
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

_STATUSES = ("complete", "failed", "pending")
"""Of trials of the comparison, each counted: a later start must not leave a count of an earlier one behind."""
TRACKED_ROLES = (TRIAL, REFIT)
"""What is compared, and its refit; runs that only serve scores or a search are not."""
_NOT_OF_A_RUN = ("name", "sweep", "track", "limits", "monitor", "resources")
_TRAINING = {
    "train_loss": "train/mean_loss",
    "train_accuracy": "train/accuracy",
    "learning_rate": "train/learning_rate",
}
"""By the names that `monitor.tensorboard` gives them."""
_COUNTS = ("pass", "examples_seen", "seconds")


@dataclass(frozen=True)
class TrialNews:
    """How far a trial is, by its files.

    Attributes:
        status: pending, complete, failed or pruned.
        rows: all its evaluations, oldest first.
        summary: what it measured in the end.
    """

    status: str
    rows: Sequence[Row]
    summary: Mapping[str, float]


def read_sweep(folder: Path, token: str) -> TrackedSweep:
    """Return a sweep as trackers know it.

    Args:
        folder: of the results.
        token: tells folders with the same name apart.
    """
    try:
        document = yaml.safe_load((folder / "resolved.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{folder / 'resolved.yaml'}: cannot be read: {error}") from None
    keys = document if isinstance(document, dict) else {}
    name = str(keys.get("name", folder.name))
    parameters = _scalars(flatten({key: value for key, value in keys.items() if key != "track"}))
    return TrackedSweep(name, f"{name}-{token}", folder, parameters)


def read_trial(folder: SweepFolder, trial_id: str, token: str) -> TrackedTrial | None:
    """Return a trial as trackers know it; None: it is no trial of the comparison, or is not there yet.

    Args:
        folder: of the results.
        trial_id: of the run.
        token: tells folders with the same trials apart.
    """
    spec = (read_json(folder.trial(trial_id).path / "spec.json") or {}).get("spec")
    if not isinstance(spec, dict) or spec.get("role") not in TRACKED_ROLES:
        return None
    line = {**spec, "strategy": spec.get("label")}
    config = {key: value for key, value in (spec.get("config") or {}).items() if key not in _NOT_OF_A_RUN}
    strategy = spec.get("strategy")
    head = {key: spec.get(key) for key in ("role", "seed", "fold", "budget", "pool_size", "total_steps")}
    found = flatten({**head, "strategy": spec.get("label"), "grid": spec.get("grid") or {}, **config})
    if isinstance(strategy, dict):
        found |= flatten({"strategies": {key: value for key, value in strategy.items() if key != "name"}})
    name = printable(f"{run_name(line)}-{trial_id}")
    return TrackedTrial(trial_id, f"{trial_id}-{token}", name, {"trial_id": trial_id, **_scalars(found)})


def read_news(trial: TrialFolder) -> TrialNews:
    """Return how far a trial is."""
    status = trial.status()  # first: of a run that has ended all is there
    result = trial.whole_result() or {}
    rows = sorted(trial.rows(), key=lambda row: int(row["evaluation"]))
    return TrialNews(status, [(int(row["step"]), row_numbers(row)) for row in rows], _summary(result))


def row_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an evaluation by the names that trackers show; what is no number is left out."""
    named = {_named(name): value for name, value in row.items() if name in _TRAINING or name.startswith("validation_")}
    counts = {f"progress/{name}": row.get(name) for name in _COUNTS}
    return _numbers({**named, **counts})


def read_artifacts(folder: Path, *, model: bool) -> Artifacts:
    """Return what a sweep leaves.

    Args:
        folder: of the results.
        model: whether the best model is wanted.
    """
    results, best = folder / "results", folder / "best"
    report = folder / "report.html"
    plan = SweepFolder(folder).planned()
    statuses = [SweepFolder(folder).trial(line["trial_id"]).status() for line in plan if line.get("role") == TRIAL]
    return Artifacts(
        tables=sorted(path for path in results.glob("*") if path.suffix in (".csv", ".md", ".txt")),
        plots=sorted((folder / "plots").rglob("*.png")),
        report=report if report.is_file() else None,
        model=best if model and best.is_dir() else None,
        model_name=best_trial(folder),
        summary={f"trials/{status}": float(statuses.count(status)) for status in _STATUSES},
        status="stopped" if "pending" in statuses else "complete",
    )


def best_trial(folder: Path) -> str:
    """Return the id of the trial whose model `best/` holds; empty: there is none."""
    path = folder / "best" / "trial_id"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _named(column: str) -> str:
    return _TRAINING.get(column) or column.replace("_", "/", 1)


def _summary(result: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, Any] = {}
    for name, value in result.items():
        if name.startswith("test_"):
            found[name.replace("_", "/", 1)] = value
        elif name.startswith("validation_"):
            found[f"best_{name.replace('_', '/', 1)}"] = value
        elif name.endswith("_seconds") or name in ("examples_seen", "optimizer_steps", "examples_scored", "best_step"):
            found[f"cost/{name}"] = value
    return _numbers(found)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    is_number = {
        name: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for name, value in values.items()
    }
    return {name: float(value) for name, value in values.items() if is_number[name]}


def _scalars(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return values that trackers take: numbers and truths as they are, all else as text without passwords."""
    found: dict[str, Scalar] = {}
    for name, value in values.items():
        if value is None or value in ({}, [], ()):
            continue
        found[printable(name)] = value if isinstance(value, (int, float, bool)) else printable(hide(str(value)))
    return found
