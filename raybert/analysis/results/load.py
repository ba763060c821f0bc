"""A results folder as DataFrames: one row per trial, per evaluation, and per configuration over seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from raybert.analysis.results.compared import Compared
from raybert.analysis.results.held_out import add_held_out
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY, Configurations, has_budget, table_name
from raybert.analysis.statistics.equal_cost import FORWARD_PASSES_OF_A_STEP
from raybert.config import RaybertConfig, ResourcesConfig, load_stored_config
from raybert.errors import SweepError
from raybert.files import of_types, read_json
from raybert.sweeping.folder.layout import SweepFolder, check_trial_id
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.folder.whose import check_is_results_folder
from raybert.sweeping.storage.arguments import reads
from raybert.tables import (
    BEFORE_TRAINING,
    EVALUATIONS,
    GPU_HOURS,
    PLANNED,
    PRETRAINING_EXAMPLES,
    PRETRAINING_SECONDS,
    TRIAL_KEYS,
    TRIALS,
    with_new_names,
)

_ABSENT = {"seed": 0, "fold": 0, "role": "trial"}
"""What a line of the plan says by leaving a key out."""

_OF_A_SOURCE: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("source", "fingerprint", "encoder", "encoder_fingerprint"), str),
    **dict.fromkeys(("label_names", "notes"), list),
    "details": dict,
}


@reads("results")
def load_sweep(folder: str | Path, *, trust: bool = False) -> Sweep:
    """Return the results in a folder that `raybert sweep` writes, also while it still runs.

    Nothing that the folder names is imported, and nothing in it is unpickled.

    Args:
        folder: of the results.
        trust: ask a database that the folder names (`sweep.tune.storage`) for the search.

    Returns:
        Tables `trials`, `evaluations` and `summary()`, and what the trials kept.

    Raises:
        SweepError: the folder has no readable plan, or a later raybert wrote it.

    Example:
        >>> results = raybert.load_sweep("runs/strategies")
        >>> results.trials.groupby("strategy")["test_accuracy"].mean()
    """
    folder = Path(folder)
    check_is_results_folder(folder)
    check_version(folder)
    if SweepFolder(folder).is_study:
        raise SweepError(
            f"{folder}: must be the results folder of a sweep, but holds pretrained models; `raybert crosseval` and "
            "`raybert probe` compare these"
        )
    plan = _read_plan(folder)
    specs = plan["trials"]
    grid_columns = tuple(dict.fromkeys(key for spec in specs for key in spec.get("grid") or {}))
    resolved = folder / "resolved.yaml"
    config = load_stored_config(resolved) if resolved.exists() else RaybertConfig()
    metric, pairs, margin = config.train.best_metric, config.sweep.compare, config.sweep.margin
    configurations = Configurations.of(specs)
    trials = _trials_frame(folder, specs, grid_columns).assign(**{KEY: list(configurations.of_runs)})
    trials = _with_gpu_hours(add_held_out(trials, folder, metric), config.resources)
    return Sweep(
        name=str(plan.get("name", folder.name)),
        folder=folder,
        trials=trials,
        evaluations=_evaluations_frame(folder, trials, grid_columns),
        make_compared=partial(Compared.of, trials, grid_columns, metric, pairs, folder, margin),
        grid_columns=grid_columns,
        configurations=configurations,
        metric=metric,
        pairs=pairs,
        plot_formats=config.sweep.plots,
        plan=plan,
        manifest=_read_manifest(folder),
        trust=trust,
        shows_texts=config.sweep.report.texts,
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return what the results belong to; of a damaged file what is still as it was written."""
    manifest = of_types(read_json(folder / "manifest.json") or {}, {"data": dict, "versions": dict, "hardware": dict})
    if not manifest:
        return {}
    sources = {key: source for key, source in (manifest.get("data") or {}).items() if isinstance(source, dict)}
    return manifest | {"data": {key: of_types(source, _OF_A_SOURCE) for key, source in sources.items()}}


def _read_plan(folder: Path) -> dict[str, Any]:
    path = folder / "plan.json"
    if not path.is_file():
        inside = sorted(p.parent.name for p in folder.glob("*/plan.json")) if folder.is_dir() else []
        hint = f"; sweeps in it: {', '.join(inside[:8])}" if inside else ""
        raise SweepError(f"{folder}: must be the results folder of a sweep, but has no plan.json{hint}")
    plan = SweepFolder(folder).plan()
    if plan is None:
        raise SweepError(f"{path}: must hold a list of trials; run the sweep again to write it anew")
    for spec in plan["trials"]:
        check_trial_id(str(spec.get("trial_id") if isinstance(spec, dict) else None), folder)
    return plan | {"trials": [with_new_names(spec) for spec in plan["trials"]]}


def _trials_frame(folder: Path, specs: Sequence[Mapping[str, Any]], grid_columns: tuple[str, ...]) -> pd.DataFrame:
    records = []
    for spec in specs:
        outcome = _outcome(folder / "trials" / str(spec["trial_id"]))
        records.append(
            {key: _plain(value) for key, value in outcome.items()}
            | {name: _plain(spec.get(name, _ABSENT.get(name))) for name in PLANNED}
            | {"strategy": table_name(spec)}
            | {key: _plain(value) for key, value in (spec.get("grid") or {}).items()}
        )
    frame = typed_frame(records, TRIALS, grid_columns)
    frame["budget"] = _budgets(frame, folder, grid_columns)
    further = [name for name in ("selection_seconds", "signal_seconds", PRETRAINING_SECONDS) if name in frame]
    frame["total_seconds"] = frame["train_seconds"] + frame[further].fillna(0.0).sum(axis=1)
    trained = frame["examples_seen"]
    seen = dict(zip(frame["trial_id"], trained, strict=True))
    behind = [
        _signal_examples(folder, trial_id, seen) if seconds > 0 else 0
        for trial_id, seconds in zip(frame["trial_id"], frame["signal_seconds"].fillna(0.0), strict=True)
    ]
    frame["signal_examples_seen"] = pd.Series(behind, index=frame.index, dtype="Int64").where(trained.notna())
    forward = FORWARD_PASSES_OF_A_STEP * (trained + frame["signal_examples_seen"])
    frame["total_examples"] = forward + frame["examples_scored"]
    if PRETRAINING_EXAMPLES in frame:
        frame["total_examples"] += FORWARD_PASSES_OF_A_STEP * frame[PRETRAINING_EXAMPLES].fillna(0)
    return frame


def _with_gpu_hours(trials: pd.DataFrame, resources: ResourcesConfig) -> pd.DataFrame:
    """Return trials with their GPU-hours, where they have had any."""
    num_gpus = resources.workers_per_trial * resources.num_gpus
    if not num_gpus:
        return trials
    hours = trials["total_seconds"] * num_gpus / 3600
    return trials.assign(**{GPU_HOURS: hours.where(trials["device"] != "cpu") if "device" in trials else hours})


def _signal_examples(folder: Path, trial_id: str, seen: Mapping[str, Any]) -> int | None:
    """Return what the runs behind a run's signals were trained on in all; None: not known.

    Args:
        folder: of the sweep.
        trial_id: of the run.
        seen: trial id -> examples_seen, of the runs of the plan.
    """
    document = read_json(folder / "trials" / trial_id / "spec.json") or {}
    try:
        spec = document["spec"]
        read = [str(run) for signal in spec.get("signal_runs") or spec.get("sources") or [] for run in signal["runs"]]
    except (KeyError, TypeError, AttributeError):  # there is none, or it is damaged
        return None
    total = 0
    for run in dict.fromkeys(read):
        examples = seen.get(run)
        if examples is None:
            examples = (read_json(folder / "trials" / run / "result.json") or {}).get("examples_seen")
        if examples is None or pd.isna(examples):
            return None
        total += int(examples)
    return total


def num_chosen(run: Path) -> int | None:
    """Return how many examples a run has chosen before training, by the footer of a file; None: not known, or anew."""
    try:
        about = pq.read_metadata(run / "selection.parquet")
        places = {about.schema.column(place).name: place for place in range(about.num_columns)}
        groups = [about.row_group(number).column(places["pass"]).statistics for number in range(about.num_row_groups)]
    except (OSError, pa.ArrowException, KeyError):
        return None
    is_once = all(part is not None and part.has_min_max and part.max == BEFORE_TRAINING for part in groups)
    return int(about.num_rows) if is_once and about.num_rows else None


def _budgets(trials: pd.DataFrame, folder: Path, grid_columns: Sequence[str]) -> pd.Series[int]:
    """Return the budgets; of strategies that have none what they chose, over folds and seeds, or else the pool."""
    is_whole = ~has_budget(trials)
    own = trials[is_whole]
    chosen = [
        num_chosen(folder / "trials" / str(name)) if status == "complete" else None
        for name, status in zip(own["trial_id"], own["status"], strict=True)
    ]
    groups = [own[key] for key in ("strategy", "role", *grid_columns)]
    sizes, pools = (
        values.astype("float64").groupby(groups, dropna=False).transform("mean")
        for values in (pd.Series(chosen, own.index, dtype="float64"), own["budget"])
    )
    return trials["budget"].mask(is_whole, sizes.fillna(pools).round()).astype("int64")


def _outcome(folder: Path) -> dict[str, Any]:
    """Return the result of a trial, or its error, or that it is pending."""
    path = folder / "result.json"
    result = TrialFolder(folder).whole_result()
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


def _evaluations_frame(folder: Path, trials: pd.DataFrame, grid_columns: tuple[str, ...]) -> pd.DataFrame:
    records: list[dict[Any, Any]] = []
    for trial in trials[[*TRIAL_KEYS, *grid_columns, KEY]].to_dict("records"):
        rows = TrialFolder(folder / "trials" / str(trial["trial_id"])).rows()
        for row in sorted(rows, key=lambda row: int(row["evaluation"])):
            records.append({key: _plain(value) for key, value in row.items()} | trial)
    return typed_frame(records, EVALUATIONS, grid_columns)
