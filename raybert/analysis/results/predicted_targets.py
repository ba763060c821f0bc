"""What the trials of a sweep of several labels, or of numbers, predicted of its test split, strategy by strategy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybert.analysis.results.sweep import Sweep
from raybert.sweeping.folder.predictions import PREDICTIONS_FILE, read_predictions

_MOST_TRIALS = 10


@dataclass(frozen=True)
class PredictedTargets:
    """The trials of one strategy at its largest budget.

    Attributes:
        strategy: its label.
        budget: examples.
        trials: of each (m, L) targets and (m, L) probabilities, or (m, 1) numbers, of the test split.
    """

    strategy: str
    budget: int
    trials: tuple[tuple[np.ndarray, np.ndarray], ...]


def predicted_targets(sweep: Sweep) -> list[PredictedTargets]:
    """Return what strategies predicted of the test split: of each its largest budget, and at most 10 trials.

    Args:
        sweep: of one point of the grid.
    """
    trials = sweep.comparable_trials()
    budgets = trials.groupby("strategy", sort=False)["budget"].transform("max")
    found = []
    for name, rows in trials[trials["budget"] == budgets].groupby("strategy", sort=False):
        read = [
            read_predictions(sweep.folder / "trials" / str(trial) / PREDICTIONS_FILE).get("test")
            for trial in rows["trial_id"].iloc[:_MOST_TRIALS]
        ]
        known = tuple(pair for pair in read if pair is not None and len(pair[0]))
        if known:
            found.append(PredictedTargets(str(name), int(rows["budget"].iloc[0]), known))
    return found


def output_names(sweep: Sweep) -> tuple[str, ...]:
    """Return what the outputs are called: labels, or the column of the numbers; empty: the manifest does not say."""
    described = sweep.manifest.get("data")
    entries = list(described.values()) if isinstance(described, dict) else []
    means = [(entry.get("details") or {}).get("output_means") for entry in entries if isinstance(entry, dict)]
    known = [found["test"] for found in means if isinstance(found, dict) and isinstance(found.get("test"), dict)]
    return tuple(map(str, known[0])) if known else ()
