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
from raybert.sweeping.plan.roles import PRETRAIN, REFIT, TRIAL
from raybert.tracking import tracker as kinds
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

_STATUSES = ("complete", "failed", "pending")
"""Of trials of the comparison, each counted: a later start must not leave a count of an earlier one behind."""
TRACKED_ROLES = (TRIAL, REFIT, PRETRAIN)
"""What is compared, its refit, and models that are pretrained; runs that only serve scores or a search are not."""
_NOT_OF_A_RUN = ("name", "sweep", "track", "limits", "monitor", "resources")
_OF_A_STUDY = ("crosseval", "probes")
"""Folders of tables and pictures."""
_TRAINING = {
    "train_loss": "train/mean_loss",
    "train_accuracy": "train/accuracy",
    "learning_rate": "train/learning_rate",
}
"""By the names that `monitor.tensorboard` gives them."""
_COUNTS = ("pass", "examples_seen", "tokens", "seconds")
_COSTS = ("examples_seen", "optimizer_steps", "examples_scored", "best_step")
_FACTS = {
    "steps": "optimizer_steps",
    "seconds": "train_seconds",
    **{name: name for name in ("tokens", "padding_share", "parameters")},
}
"""Of `training_summary.json`, by the names that trials have for the same."""


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
    place = folder.trial(trial_id).path
    spec = (read_json(place / "spec.json") or {}).get("spec")
    if not isinstance(spec, dict) or spec.get("role") not in TRACKED_ROLES:
        return None
    if spec["role"] == PRETRAIN:
        known = (read_json(place / "run.json") or {}).get("total_steps")  # not before its corpus is packed
        return _tracked_model({**spec, "total_steps": known}, trial_id, token)
    line = {**spec, "strategy": spec.get("label")}
    config = {key: value for key, value in (spec.get("config") or {}).items() if key not in _NOT_OF_A_RUN}
    strategy = spec.get("strategy")
    head = {key: spec.get(key) for key in ("role", "seed", "fold", "budget", "pool_size", "total_steps")}
    found = flatten({**head, "strategy": spec.get("label"), "grid": spec.get("grid") or {}, **config})
    if isinstance(strategy, dict):
        found |= flatten({"strategies": {key: value for key, value in strategy.items() if key != "name"}})
    name = printable(f"{run_name(line)}-{trial_id}")
    return TrackedTrial(trial_id, f"{trial_id}-{token}", name, {"trial_id": trial_id, **_scalars(found)})


def _tracked_model(spec: Mapping[str, Any], trial_id: str, token: str) -> TrackedTrial:
    """Return a pretraining as trackers know it."""
    called = run_name({**spec, "strategy": spec.get("label")})  # a model of a study has this as its id
    name = trial_id if trial_id == called else f"pretrain-{called}-{trial_id}"
    config = {key: value for key, value in (spec.get("config") or {}).items() if key != "train"}
    head = {"role": PRETRAIN, "corpus": spec.get("label"), "documents": spec.get("pool_size")}
    found = flatten({**head, **{key: spec.get(key) for key in ("seed", "words", "total_steps")}, **config})
    parameters = {"trial_id": trial_id, **_scalars(found)}
    return TrackedTrial(trial_id, f"{trial_id}-{token}", printable(name), parameters, kinds.MODEL)


def read_news(trial: TrialFolder) -> TrialNews:
    """Return how far a trial is."""
    status = trial.status()  # first: of a run that has ended all is there
    rows = sorted(trial.rows(), key=lambda row: int(row["evaluation"]))
    numbers = [
        (int(row["step"]), row_numbers(row) | _rate(before, row))
        for before, row in zip([{}, *rows], rows, strict=False)
    ]
    pretrained = trial.pretraining_summary()
    summary = _summary(trial.whole_result() or {}) if pretrained is None else _summary_of_model(pretrained)
    return TrialNews(status, numbers, summary)


def _rate(before: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float]:
    """Return the word pieces a second of a pretraining since the evaluation before; {} where none can be said."""
    if "tokens" not in row:
        return {}
    tokens, seconds = (row[key] - before.get(key, 0) for key in ("tokens", "seconds"))
    return _numbers({"progress/tokens_per_second": tokens / seconds}) if seconds > 0 else {}


def row_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an evaluation by the names that trackers show; what is no number is left out."""
    named = {_named(name): value for name, value in row.items() if name in _TRAINING or name.startswith("validation_")}
    counts = {f"progress/{name}": row.get(name) for name in _COUNTS}
    return _numbers({**named, **counts})


def read_artifacts(folder: Path, *, model: bool) -> Artifacts:
    """Return what a sweep leaves, or the models of a pretraining file with what was measured of them.

    Args:
        folder: of the results.
        model: whether the best model is wanted.
    """
    results, best = SweepFolder(folder), folder / "best"
    report = folder / "report.html"
    role, noun = (PRETRAIN, "models") if results.is_study else (TRIAL, "trials")
    statuses = [results.trial(line["trial_id"]).status() for line in results.planned() if line.get("role") == role]
    tables = {path.name: path for path in sorted((folder / "results").glob("*")) if _is_table(path)}
    pictures = folder / "plots"
    plots = {str(path.relative_to(pictures).with_suffix("")): path for path in sorted(pictures.rglob("*.png"))}
    for part in _OF_A_STUDY if results.is_study else ():  # of which some have tables of the same name
        tables |= {f"{part}/{path.name}": path for path in sorted((folder / part).glob("*")) if _is_table(path)}
        plots |= {f"{part}/{path.stem}": path for path in sorted((folder / part).glob("*.png"))}
    return Artifacts(
        tables=tables,
        plots=plots,
        report=report if report.is_file() else None,
        model=best if model and best.is_dir() else None,
        model_name=best_trial(folder),
        summary={f"{noun}/{status}": float(statuses.count(status)) for status in _STATUSES},
        status="stopped" if "pending" in statuses else "complete",
    )


def _is_table(path: Path) -> bool:
    return path.suffix in (".csv", ".md", ".txt")


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
        elif name.endswith("_seconds") or name in _COSTS:
            found[f"cost/{name}"] = value
    return _numbers(found)


def _summary_of_model(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return what a pretrained model has come to: its best evaluation, that before the first step, and its cost."""
    found: dict[str, Any] = {f"cost/{name}": summary.get(key) for key, name in _FACTS.items()}
    for prefix, key in (("best", "best"), ("before", "before")):
        row = summary.get(key)
        for name, value in row.items() if isinstance(row, dict) else ():
            if name.startswith("validation_"):
                found[f"{prefix}_{name.replace('_', '/', 1)}"] = value
            elif name == "step":
                found["cost/best_step"] = value
    tokens, seconds = summary.get("tokens"), summary.get("seconds")
    if isinstance(tokens, int) and isinstance(seconds, float) and seconds > 0:
        found["cost/tokens_per_second"] = tokens / seconds
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
