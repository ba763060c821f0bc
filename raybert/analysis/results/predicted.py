"""What the trials of a sweep predicted of its test split, strategy by strategy, on common grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
_MOST_NAMES = 4


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


@dataclass(frozen=True)
class PredictedOfTest:
    """What strategies predicted of the test split, and what pictures of it do not show.

    Attributes:
        strategies: in the order of the plan.
        left_out: a line for each kind of what is left out.
    """

    strategies: list[Predicted]
    left_out: tuple[str, ...]


def predicted_of_test(sweep: Sweep) -> PredictedOfTest:
    """Return what strategies predicted of the test split, and what is left out.

    Of each strategy its largest budget, and at most 10 trials that have readable predictions. Of more than 12
    strategies those with the best validation, and the baselines.

    Args:
        sweep: of one point of the grid.
    """
    trials = sweep.comparable_trials()
    budgets = trials.groupby("strategy", sort=False)["budget"].transform("max")
    own = trials[trials["budget"] == budgets]
    names = _shown(own, sweep.metric)
    found: list[Predicted] = []
    unread: list[str] = []
    empty: list[str] = []
    differing: list[str] = []
    cut = 0
    for name in names:
        rows = own[own["strategy"] == name]
        of_trials, without = _read(sweep, rows)
        cut = max(cut, len(rows) - len(of_trials) - len(without))
        if not of_trials:
            empty.append(name)
            continue
        unread += without
        if len({each.confusion.shape for each in of_trials}) > 1:
            differing.append(name)
        else:
            found.append(Predicted(name, int(rows["budget"].iloc[0]), tuple(of_trials)))
    worse = own["strategy"].nunique() - len(names)
    lines = (
        (worse, f"{_count(worse, 'strategy', 'strategies')} with a worse validation"),
        (len(empty), f"{_some(empty)}: no predictions that can be read"),
        (len(differing), f"{_some(differing)}: trials predict different numbers of classes"),
        (len(unread), f"{_count(len(unread), 'trial', 'trials')} without readable predictions ({_some(unread)})"),
        (cut, f"of a strategy all trials but the first {MOST_TRIALS}, up to {cut}"),
    )
    return PredictedOfTest(found, tuple(f"left out: {words}" for number, words in lines if number))


def _read(sweep: Sweep, rows: pd.DataFrame) -> tuple[list[OfTrial], list[str]]:
    """Return what the first trials of a strategy predict, and of which of them nothing can be read."""
    found: list[OfTrial] = []
    without = []
    crossed = sweep.trials["fold"].nunique() > 1
    for trial in rows.to_dict("records"):
        if len(found) == MOST_TRIALS:
            break
        splits = read_predictions(sweep.folder / "trials" / str(trial["trial_id"]) / PREDICTIONS_FILE)
        if "test" in splits and len(splits["test"][0]):
            found.append(OfTrial.of(*splits["test"]))
        else:
            without.append(f"{trial['strategy']} seed {trial['seed']}" + (f" fold {trial['fold']}" if crossed else ""))
    return found, without


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


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
