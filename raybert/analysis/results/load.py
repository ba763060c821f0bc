"""A results folder as DataFrames: one row per trial, per evaluation, and per configuration over seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.sweep import TRIAL_KEYS, Sweep
from raybert.analysis.statistics.columns import plain_column
from raybert.analysis.statistics.summary import summarize
from raybert.errors import SweepError
from raybert.files import read_json, read_json_lines
from raybert.sweeping.folder.trial_folder import TrialFolder

_TRIAL_COLUMNS = (
    "trial_id",
    "strategy",
    "seed",
    "fold",
    "budget",
    "status",
    "best_epoch",
    "validation_accuracy",
    "validation_macro_f1",
    "test_accuracy",
    "test_macro_f1",
    "test_weighted_f1",
    "test_auc_roc",
    "test_auc_pr",
    "test_loss",
    "examples_seen",
    "optimizer_steps",
    "train_seconds",
    "selection_seconds",
    "wall_seconds",
    "error",
)
_FURTHER_COLUMNS = (
    "failure",
    "role",
    "budget_kind",
    "pool",
    "best_step",
    "validation_loss",
    "evaluation_seconds",
    "signal_seconds",
    "examples_scored",
    "refilled",
    "samples_per_epoch",
)
_EPOCH_COLUMNS = (
    "evaluation",
    "epoch",
    "step",
    "examples_seen",
    "samples",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_macro_f1",
    "learning_rate",
    "seconds",
)
_WORDS = frozenset({"trial_id", "strategy", "status", "error", "failure", "role", "budget_kind", "samples_per_epoch"})
_WHOLE = frozenset({"seed", "fold", "budget", "pool"})
"""Whole numbers that every trial has."""
_COUNTS = frozenset(
    {"examples_seen", "optimizer_steps", "examples_scored", "refilled", "best_step"} | {"evaluation", "step", "samples"}
)
"""Whole numbers that an unfinished trial does not have: nullable, so that a table keeps its types."""


def load_sweep(folder: str | Path) -> Sweep:
    """Return the results in a folder that `raybert sweep` writes, also while it still runs.

    Args:
        folder: of the results.

    Returns:
        Tables `trials`, `epochs` and `summary`, and what the trials kept.

    Raises:
        SweepError: the folder has no readable plan.

    Example:
        >>> results = raybert.load_sweep("runs/strategies")
        >>> results.trials.groupby("strategy")["test_accuracy"].mean()
    """
    folder = Path(folder)
    plan = _read_plan(folder)
    specs = plan["trials"]
    grid_columns = tuple(dict.fromkeys(key for spec in specs for key in spec.get("grid") or {}))
    trials = _trials_frame(folder, specs, grid_columns)
    return Sweep(
        name=str(plan.get("name", folder.name)),
        folder=folder,
        trials=trials,
        epochs=_epochs_frame(folder, trials, grid_columns),
        summary=summarize(trials[trials["role"] != "part"], grid_columns),
        grid_columns=grid_columns,
        plan=plan,
        manifest=read_json(folder / "manifest.json") or {},
    )


def _read_plan(folder: Path) -> dict[str, Any]:
    path = folder / "plan.json"
    if not path.is_file():
        inside = sorted(p.parent.name for p in folder.glob("*/plan.json")) if folder.is_dir() else []
        hint = f"; sweeps in it: {', '.join(inside[:8])}" if inside else ""
        raise SweepError(f"{folder}: must be the results folder of a sweep, but has no plan.json{hint}")
    plan = read_json(path)
    if plan is None or not isinstance(plan.get("trials"), list):
        raise SweepError(f"{path}: must hold a list of trials; run the sweep again to write it anew")
    return plan


def _trials_frame(folder: Path, specs: Sequence[Mapping[str, Any]], grid_columns: tuple[str, ...]) -> pd.DataFrame:
    records = []
    for spec in specs:
        outcome = _outcome(folder / "trials" / str(spec["trial_id"]))
        role = spec.get("role", "trial")
        records.append(
            {key: _plain(value) for key, value in outcome.items()}
            | {key: spec.get(key) for key in ("trial_id", "budget", "pool", "budget_kind")}
            | {"seed": spec.get("seed", 0), "fold": spec.get("fold", 0), "role": role}
            | {"strategy": "proxy" if role == "proxy" else spec["strategy"]}
            | {key: _plain(value) for key, value in (spec.get("grid") or {}).items()}
        )
    frame = _typed(records, [*_TRIAL_COLUMNS, *grid_columns, *_FURTHER_COLUMNS], grid_columns)
    frame["budget"] = _budgets(frame, grid_columns)
    shared = frame[["selection_seconds", "signal_seconds"]].fillna(0.0).sum(axis=1)
    frame.insert(list(frame.columns).index("signal_seconds") + 1, "total_seconds", frame["train_seconds"] + shared)
    return frame


def _budgets(trials: pd.DataFrame, grid_columns: Sequence[str]) -> pd.Series[int]:
    """Return the budgets, where a configuration has one: those of whole pools, which differ by fold, are averaged."""
    keys = ["strategy", "role", *grid_columns]
    is_whole = trials["budget_kind"] == "none"
    means = trials[is_whole].groupby(keys, dropna=False)["budget"].transform("mean")
    crossed = trials[is_whole].groupby(keys, dropna=False)["fold"].transform("nunique") > 1
    return trials["budget"].mask(is_whole & crossed, means.round()).astype("int64")


def _outcome(folder: Path) -> dict[str, Any]:
    """Return the result of a trial, or its error, or that it is pending."""
    path = folder / "result.json"
    result = read_json(path)
    if result is not None:
        return {"status": "complete", **result}
    if path.exists():
        return {
            "status": "failed",
            "error": f"SweepError: {path}: damaged; the same sweep command runs the trial again",
            "failure": "error",
        }
    trial = TrialFolder(folder)
    status = trial.status()
    if status != "failed":
        return {"status": status}
    failure = trial.failure()
    return {"status": "failed", "error": failure.message, "failure": failure.kind}


def _plain(value: Any) -> Any:
    """Return a value that a table cell can hold: lists of numbers stay, anything else nested becomes JSON."""
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        return value
    return json.dumps(value) if isinstance(value, list | dict) else value


def _epochs_frame(folder: Path, trials: pd.DataFrame, grid_columns: tuple[str, ...]) -> pd.DataFrame:
    keys = [*TRIAL_KEYS, *grid_columns]
    records: list[dict[Any, Any]] = []
    for trial in trials[keys].to_dict("records"):
        rows = read_json_lines(folder / "trials" / str(trial["trial_id"]) / "epochs.jsonl")
        latest = {row.get("evaluation", number): row for number, row in enumerate(rows)}
        for evaluation in sorted(latest):
            row = {"evaluation": evaluation, **latest[evaluation]}
            records.append({key: _plain(value) for key, value in row.items()} | trial)
    return _typed(records, [*keys, *_EPOCH_COLUMNS], grid_columns)


def _typed(records: Sequence[Mapping[Any, Any]], columns: Sequence[str], grid_columns: Sequence[str]) -> pd.DataFrame:
    """Return records as a frame with these columns in front, each of the same type whatever is missing."""
    frame = pd.DataFrame.from_records([dict(record) for record in records])
    others = [str(column) for column in frame.columns if column not in columns]
    frame = frame.reindex(columns=[*columns, *others])
    for column in frame.columns:
        if column in grid_columns:
            frame[column] = plain_column(frame[column])
        elif column in _WHOLE:
            frame[column] = pd.to_numeric(frame[column]).astype("int64")
        elif column in _COUNTS:
            frame[column] = pd.to_numeric(frame[column]).astype("Int64")
        elif column == "samples_per_epoch":
            frame[column] = frame[column].astype(object)
        elif column in _WORDS:
            frame[column] = frame[column].astype("str")
        elif column in columns:
            frame[column] = pd.to_numeric(frame[column]).astype("float64")
        else:
            frame[column] = _storable(frame[column])
    return frame


def _storable(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column that parquet can hold: values of several types become JSON text."""
    if values.dtype != object or len({type(v) for v in values.dropna()}) <= 1:
        return values
    return values.map(lambda v: v if v is None or isinstance(v, str) else json.dumps(v))
