"""What the trials of a sweep predicted of its test split, strategy by strategy, on common grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.prediction_curves import OfTrial
from raybert.config import sign_of
from raybert.sweeping.folder.predictions import PREDICTIONS_FILE, read_predictions
from raybert.tables.comparison import BASELINES

MOST_STRATEGIES = 12
"""Panels that a person looks through; those that are best on validation, `random` and `all` always."""
MOST_TRIALS = 10
"""Of a strategy: bands over more seeds look alike, and every file takes its time."""


@dataclass(frozen=True)
class Predicted:
    """The trials of one strategy at its largest budget.

    Attributes:
        strategy: its label.
        budget: examples.
        trials: what each predicted of the test split.
    """

    strategy: str
    budget: int
    trials: tuple[OfTrial, ...]

    def mean(self, values: Callable[[OfTrial], np.ndarray]) -> np.ndarray:
        """Return the means over trials, without those that have none."""
        stacked = np.stack([values(trial) for trial in self.trials])
        known = ~np.isnan(stacked)
        counts = np.asarray(known.sum(axis=0))
        total = np.where(known, stacked, 0.0).sum(axis=0)
        return np.asarray(np.divide(total, counts, out=np.full(counts.shape, np.nan), where=counts > 0))

    def band(self, values: Callable[[OfTrial], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest over trials at every place, without those that have none."""
        stacked = np.stack([values(trial) for trial in self.trials])
        return np.fmin.reduce(stacked), np.fmax.reduce(stacked)


def predicted_of_test(sweep: Sweep) -> tuple[list[Predicted], int]:
    """Return what strategies predicted of the test split, and how many strategies are left out.

    Of each strategy its largest budget; trials without readable predictions are left out. Of more than 12 strategies
    those with the best validation, and the baselines.

    Args:
        sweep: of one point of the grid.
    """
    trials = sweep.comparable_trials()
    budgets = trials.groupby("strategy", sort=False)["budget"].transform("max")
    own = trials[trials["budget"] == budgets]
    names = _shown(own, sweep.metric)
    found = []
    for name in names:
        of_trials = []
        for trial_id in own.loc[own["strategy"] == name, "trial_id"].head(MOST_TRIALS):
            splits = read_predictions(sweep.folder / "trials" / str(trial_id) / PREDICTIONS_FILE)
            if "test" in splits and len(splits["test"][0]):
                of_trials.append(OfTrial.of(*splits["test"]))
        if of_trials and len({each.confusion.shape for each in of_trials}) == 1:
            budget = int(own.loc[own["strategy"] == name, "budget"].iloc[0])
            found.append(Predicted(name, budget, tuple(of_trials)))
    return found, own["strategy"].nunique() - len(found)


def _shown(trials: pd.DataFrame, metric: str) -> list[str]:
    """Return the strategies that have a panel, in the order of the plan."""
    names = [str(name) for name in trials["strategy"].unique()]
    column = f"validation_{metric}"
    if len(names) <= MOST_STRATEGIES or column not in trials:
        return names[:MOST_STRATEGIES]
    reached = sign_of(metric) * trials.groupby("strategy")[column].mean()
    first = [name for name in BASELINES if name in names]
    best = [str(name) for name in reached.drop(first).sort_values(ascending=False, kind="stable").index]
    kept = {*first, *best[: MOST_STRATEGIES - len(first)]}
    return [name for name in names if name in kept]
