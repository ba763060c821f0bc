"""Whether a difference would be there on other test examples: the paired bootstrap over the test set.

Both strategies of a comparison are resampled together: the same examples for all runs of a fold, whose predictions were
kept. What is resampled is the difference of the metric inside each (seed, fold), as the mean over seeds, then over
folds. Accuracy is a mean of what was right on each example, and its resamples are drawn from the few values that a
difference has. Of other metrics (macro F1, MCC, AUC, loss) every resample is measured.

Where predictions are gone, test sets of a fold differ, or resamples would take minutes, nothing is known, and verdicts
do without.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from raybert.analysis.statistics.intervals import LEVEL

_RESAMPLES = 9_999

RunPair = tuple[int, Sequence[str], Sequence[str]]
"""Of a (seed, fold): the fold, and the trials of the strategy and of its baseline."""
Hits = Callable[[str], "np.ndarray | None"]
"""A trial's id -> (m,) what it reached on every test example, whose mean is the metric; None: not known."""
Predictions = Callable[[str], "tuple[np.ndarray, np.ndarray] | None"]
"""A trial's id -> (m,) labels and (m, C) probabilities of the test set, or (m, L) targets; None: not known."""


class OnExamples(Protocol):
    """A metric on the test examples of trials."""

    def interval(self, pairs: Sequence[RunPair]) -> tuple[float, float] | None:
        """Return the 95 % percentile interval of a difference over test examples; None: not known."""
        ...


class MeanOverExamples:
    """A metric that is a mean of few values over test examples: accuracy."""

    def __init__(self, hits: Hits) -> None:
        """Take what a trial reached on each example."""
        self._hits = hits

    def interval(self, pairs: Sequence[RunPair]) -> tuple[float, float] | None:
        """Return the interval of a difference; None: of some trial nothing is known, or the test sets differ."""
        differences = example_differences(pairs, self._hits)
        return None if differences is None else example_interval(differences)


class MeasuredOnResamples:
    """Any other metric of `METRICS`: measured on every resample, once a trial."""

    def __init__(self, metric: str, predictions: Predictions) -> None:
        """Take a metric, and what trials predict of the test set."""
        self._metric, self._predictions = metric, predictions
        self._values: dict[str, np.ndarray | None] = {}
        self._labels: dict[int, np.ndarray] = {}
        self._weights: dict[int, np.ndarray] = {}

    def interval(self, pairs: Sequence[RunPair]) -> tuple[float, float] | None:
        """Return the interval of a difference; None: as for accuracy, or resamples would take too long."""
        by_fold: dict[int, list[np.ndarray]] = {}
        for fold, *sides in pairs:
            means = []
            for trials in sides:
                known = [self._of_trial(name, fold) for name in trials]
                values = [each for each in known if each is not None]
                if not values or len(values) < len(known):
                    return None
                means.append(np.mean(values, axis=0))
            by_fold.setdefault(fold, []).append(means[0] - means[1])
        number = min((len(each) for seeds in by_fold.values() for each in seeds), default=0)
        if not number:
            return None
        folds = [np.mean([each[:number] for each in seeds], axis=0) for seeds in by_fold.values()]
        differences = np.mean(folds, axis=0)
        return _percentiles(differences[~np.isnan(differences)])

    def _of_trial(self, name: str, fold: int) -> np.ndarray | None:
        """Return (b,) the metric of a trial on every resample of its fold's test set."""
        if name not in self._values:
            found = self._predictions(name)
            self._values[name] = None if found is None else self._measure(fold, *found)
        return self._values[name]

    def _measure(self, fold: int, labels: np.ndarray, probs: np.ndarray) -> np.ndarray | None:
        # scikit-learn is slow to import
        from raybert.analysis.statistics.resampled import count_resamples, draw_weights, resampled_metric
        from raybert.analysis.statistics.resampled_targets import resampled_target_metric
        from raybert.training.measures.of_targets import has_targets

        number = count_resamples(self._metric, len(labels), probs.shape[1])
        if not number:
            return None
        if fold not in self._weights:
            self._labels[fold], self._weights[fold] = labels, draw_weights(number, len(labels), fold)
        if not np.array_equal(labels, self._labels[fold]):
            return None
        if has_targets(labels):
            return resampled_target_metric(self._metric, labels, probs, self._weights[fold])
        return resampled_metric(self._metric, labels, probs, self._weights[fold])


def example_interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of a mean over test examples.

    The examples have few different values (with n seeds at most 2 n + 1), so how often each is drawn is drawn at once.

    Args:
        differences: (m,) of two strategies on the same examples, means over their seeds.
    """
    values, counts = np.unique(np.round(differences, 12), return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(differences), counts / len(differences), size=_RESAMPLES)
    low, high = np.quantile(drawn @ values / len(differences), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def example_differences(pairs: Sequence[RunPair], hits: Hits) -> np.ndarray | None:
    """Return (m,) differences on test examples, means over seeds, those of several folds one behind the other.

    Args:
        pairs: of every (seed, fold): its fold, and the trials of the strategy and of the baseline.
        hits: of a trial.

    Returns:
        None: of some trial they are not known, or the test sets differ.
    """
    by_fold: dict[int, list[np.ndarray]] = {}
    for fold, own, beside in pairs:
        sides = []
        for trials in (own, beside):
            known = [hits(name) for name in trials]
            shown = [values for values in known if values is not None]
            if len(shown) < len(known) or len({len(values) for values in shown}) != 1:
                return None
            sides.append(np.mean(shown, axis=0))
        if len(sides[0]) != len(sides[1]):
            return None
        by_fold.setdefault(fold, []).append(sides[0] - sides[1])
    if any(len({len(values) for values in seeds}) != 1 for seeds in by_fold.values()):
        return None
    return np.concatenate([np.mean(seeds, axis=0) for seeds in by_fold.values()])


def _percentiles(values: np.ndarray) -> tuple[float, float] | None:
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
