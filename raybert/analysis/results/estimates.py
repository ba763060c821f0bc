"""What a sweep was expected to take beside what it took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.columns import typed_frame
from raybert.config import ResourcesConfig, load_stored_config
from raybert.files import read_json
from raybert.sweeping.estimate.describe import duration
from raybert.sweeping.plan.roles import REFIT, TUNE
from raybert.tables import ESTIMATE

_UNITS = {"cpu_hours": " CPU-hours", "gpu_hours": " GPU-hours", "disk_bytes": " MB of disk"}


def estimate_table(sweep: Sweep) -> pd.DataFrame:
    """Return a row per estimated quantity: `ESTIMATE`; none where nothing was estimated.

    `measured` is NaN while trials of the estimate are not finished, and for wall seconds if a process was killed.
    Wall time ends before the report is written; disk is that of trials and of the best model.
    """
    document = read_json(sweep.folder / "estimate.json")
    if document is None:
        return typed_frame([], ESTIMATE)
    try:
        measured = _measure(sweep, document)
        rows = [
            {
                "quantity": name,
                "estimated": span["expected"],
                "low": span["low"],
                "high": span["high"],
                "measured": measured.get(name, math.nan),
            }
            for name, span in document["quantities"].items()
        ]
        return typed_frame(rows, ESTIMATE)
    except (KeyError, TypeError, ValueError, AttributeError):  # JSON of another kind: nothing is known of an estimate
        return typed_frame([], ESTIMATE)


def estimate_line(sweep: Sweep) -> str | None:
    """Return estimate and truth in one line; None: there is no estimate, or no truth yet."""
    parts = []
    for row in estimate_table(sweep).to_dict("records"):
        name, measured = str(row["quantity"]), float(row["measured"])
        if not math.isnan(measured):
            low, high, expected = (_in_words(name, row[key]) for key in ("low", "high", "estimated"))
            unit = _UNITS.get(name, "")
            parts.append(f"{_in_words(name, measured)}{unit} (estimated {expected}, {low} to {high})")
    return "took " + "; ".join(parts) if parts else None


@dataclass(frozen=True)
class Spent:
    """What runs have taken.

    Attributes:
        hours: of devices.
        unit: `GPU-hours` where each has GPUs, else `CPU-hours`.
    """

    hours: float
    unit: str


def spent_hours(sweep: Sweep) -> Spent | None:
    """Return what all runs in the folder have taken, those of a search and unfinished ones included.

    Scoring of the pool is not, which only the score store knows. None: nothing has run, or what a trial was given is
    not known.
    """
    resolved = sweep.folder / "resolved.yaml"
    if not resolved.is_file():
        return None
    resources = load_stored_config(resolved).resources
    seconds = sum(map(_seconds_of, (sweep.folder / "trials").glob("*/"))) * _per_trial(resources)
    return Spent(seconds / 3600, "GPU-hours" if resources.num_gpus else "CPU-hours") if seconds else None


def _in_words(quantity: str, value: float) -> str:
    if quantity == "wall_seconds":
        return duration(value)
    if quantity == "disk_bytes":
        return f"{value / 1e6:,.0f}"
    return f"{value:.2g}"


def _measure(sweep: Sweep, document: Mapping[str, Any]) -> dict[str, float]:
    # A search changes what is compared, and so the ids of the plan that was estimated.
    trials = sweep.trials[~sweep.trials["trial_id"].isin(document["done_before"])]
    if document["is_running"] or not trials["status"].isin(["complete", "failed"]).all():
        return {}
    ids = trials["trial_id"].tolist()
    resources = load_stored_config(sweep.folder / "resolved.yaml").resources
    folders = [sweep.folder / "trials" / trial_id for trial_id in ids] + list(_searched(sweep.folder))
    seconds = sum(map(_seconds_of, folders)) * _per_trial(resources) + _scoring_seconds(document["signals"])
    hours = "gpu_hours" if resources.num_gpus else "cpu_hours"
    sizes = _sizes([sweep.folder / "trials", sweep.folder / "best"])
    measured = {hours: seconds / 3600, "disk_bytes": float(sizes)}
    return measured | ({"wall_seconds": float(document["spent_seconds"])} if document["is_whole"] else {})


def _per_trial(resources: ResourcesConfig) -> float:
    return resources.workers_per_trial * (resources.num_gpus or resources.cpus_per_worker)


def _searched(folder: Path) -> Iterable[Path]:
    """Yield the folders of the runs of a search, and of a refit, which are in no plan."""
    for path in (folder / "trials").glob("*/spec.json"):
        spec = (read_json(path) or {}).get("spec", {})
        if spec.get("role") in (TUNE, REFIT):
            yield path.parent


def _seconds_of(trial: Path) -> float:
    """Return how long a run took, whether or not it was finished."""
    result = read_json(trial / "result.json")
    if result is not None:
        return float(result["wall_seconds"])
    return float((read_json(trial / "heartbeat.json") or {}).get("seconds", 0.0))


def _scoring_seconds(signals: Mapping[str, Any]) -> float:
    from raybert.selection.store import ScoreStore  # its package loads torch

    store = ScoreStore(Path(signals["store"]))
    records = [store.completion(key) for key in signals["keys"]]
    return sum(float(record["seconds"]) for record in records if record is not None)


def _sizes(folders: Iterable[Path]) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
