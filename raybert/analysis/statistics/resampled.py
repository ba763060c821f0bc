"""A metric on many resamples of one test set at once: what a bootstrap over test examples is made of.

A resample holds example j `weights[b, j]` times. What counts predictions needs three sums a class and resample, which
are products of matrices; a mean over examples needs one; areas under curves sort the examples once a class and sum over
that order. Equal to `WeightedMetrics` of every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from raybert.training.measures.metrics import NUM_CALIBRATION_BINS, OF_EXAMPLES, calibration_gaps
from raybert.training.measures.weighted import Ranking

MOST_RESAMPLES, FEWEST_RESAMPLES = 1_000, 200
_MOST_WEIGHTS = 50_000_000
"""Of one test set: 200 MB."""
_MOST_RANKED = 20_000_000
"""Examples x resamples x classes that are ranked of one trial: about a second."""
_CHUNK = 200_000
"""Weights at a time: they stay in the cache of a core."""
_RANKED = ("auc_roc", "auc_pr")
_SLOW = (*_RANKED, "map", "spearman")
"""Metrics whose resamples are ranked."""


def draw_weights(number: int, size: int, seed: int) -> np.ndarray:
    """Return (number, size) float32: how often each of the examples is in each resample, which holds as many.

    Args:
        number: of resamples.
        size: of the test set.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    weights = np.empty((number, size), dtype=np.float32)
    for row in weights:
        row[:] = np.bincount(generator.integers(0, size, size), minlength=size)
    return weights


def count_resamples(metric: str, size: int, num_classes: int) -> int:
    """Return how many resamples a metric of a test set gets; 0: they would take too much memory or time.

    Args:
        metric: a name of `METRICS`.
        size: of the test set.
        num_classes: C.
    """
    number = _MOST_WEIGHTS // size
    if metric in _SLOW:
        number = min(number, _MOST_RANKED // (size * (1 if num_classes == 2 else num_classes)))
    return min(number, MOST_RESAMPLES) if number >= FEWEST_RESAMPLES else 0


def resampled_metric(metric: str, labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (b,) float64, the metric on every resample; NaN where it is undefined.

    Args:
        metric: a name of `METRICS` that exists for this number of classes.
        labels: (m,) class numbers 0..C-1.
        probs: (m, C) float.
        weights: (b, m) of `draw_weights`.
    """
    if metric in _RANKED:
        return _mean_area(_RANKED.index(metric), labels, probs, weights)
    if metric in OF_EXAMPLES:
        return weighted_sums(OF_EXAMPLES[metric](labels, probs)[:, None], weights)[:, 0] / len(labels)
    if metric == "ece":
        bins, gaps = calibration_gaps(labels, probs)
        in_bins = _one_hot(bins, NUM_CALIBRATION_BINS) * gaps[:, None].astype(np.float32)
        return np.asarray(np.abs(weighted_sums(in_bins, weights)).sum(axis=1) / len(labels))
    return _OF_SUMS[metric](_Sums.of(labels, probs.argmax(axis=1), probs.shape[1], weights))


@dataclass(frozen=True)
class _Sums:
    """Of every resample and class, (b, C): examples of it, predictions of it, and predictions of it that are right."""

    support: np.ndarray
    chosen: np.ndarray
    hits: np.ndarray
    total: int

    @classmethod
    def of(cls, labels: np.ndarray, predicted: np.ndarray, num_classes: int, weights: np.ndarray) -> _Sums:
        own = _one_hot(labels, num_classes)
        right = own * (labels == predicted)[:, None]
        support, chosen, hits = (
            weighted_sums(part, weights) for part in (own, _one_hot(predicted, num_classes), right)
        )
        return cls(support, chosen, hits, len(labels))

    @property
    def precision(self) -> np.ndarray:
        return _ratio(self.hits, self.chosen)

    @property
    def recall(self) -> np.ndarray:
        return _ratio(self.hits, self.support)

    @property
    def specificity(self) -> np.ndarray:
        return _ratio(self.total - self.support - self.chosen + self.hits, self.total - self.support)

    @property
    def f1(self) -> np.ndarray:
        return _ratio(2 * self.hits, self.support + self.chosen)

    def mean(self, rates: np.ndarray) -> np.ndarray:
        """Return the means over the classes that have examples."""
        present = self.support > 0
        return np.asarray(np.where(present, rates, 0.0).sum(axis=1) / present.sum(axis=1))


def _weighted_f1(sums: _Sums) -> np.ndarray:
    return np.asarray(np.where(sums.support > 0, sums.f1 * sums.support, 0.0).sum(axis=1) / sums.total)


def _correlation(sums: _Sums) -> np.ndarray:
    label_spread = sums.total**2 - (sums.support**2).sum(axis=1)
    chosen_spread = sums.total**2 - (sums.chosen**2).sum(axis=1)
    above = sums.hits.sum(axis=1) * sums.total - (sums.support * sums.chosen).sum(axis=1)
    found = np.where(chosen_spread == 0, 0.0, _ratio(above, np.sqrt(label_spread * chosen_spread)))
    return np.where(label_spread == 0, np.nan, found)


_OF_SUMS: Mapping[str, Callable[[_Sums], np.ndarray]] = {
    "accuracy": lambda sums: np.asarray(sums.hits.sum(axis=1) / sums.total),
    "precision": lambda sums: sums.precision[:, 1],
    "recall": lambda sums: sums.recall[:, 1],
    "specificity": lambda sums: sums.specificity[:, 1],
    "f1": lambda sums: sums.f1[:, 1],
    "macro_f1": lambda sums: sums.mean(sums.f1),
    "weighted_f1": _weighted_f1,
    "macro_precision": lambda sums: sums.mean(np.nan_to_num(sums.precision)),
    "macro_recall": lambda sums: sums.mean(sums.recall),
    "macro_specificity": lambda sums: sums.mean(sums.specificity),
    "mcc": _correlation,
}


def _mean_area(which: int, labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (b,) ROC area (0) or average precision (1), the mean over the classes that a resample defines it for."""
    classes = [1] if probs.shape[1] == 2 else range(probs.shape[1])
    areas = np.stack([area_of_ranking(which, Ranking.of(labels == c, probs[:, c]), weights) for c in classes])
    known = ~np.isnan(areas)
    return _ratio(np.where(known, areas, 0.0).sum(axis=0), known.sum(axis=0))


def area_of_ranking(which: int, ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Return (b,) ROC area (0) or average precision (1) of one class against the rest on every resample."""
    rows = max(1, _CHUNK // weights.shape[1])
    parts = [_area_of_chunk(which, ranking, weights[start : start + rows]) for start in range(0, len(weights), rows)]
    return np.concatenate(parts)


def _area_of_chunk(which: int, ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Return the areas of some resamples; formulas as in `Ranking.areas`, from the best distinct score to the worst."""
    in_order = weights[:, ranking.order]
    positive = in_order * ranking.positive.astype(np.float32)
    if len(ranking.ends) < len(ranking.order):  # ties share a place
        starts = np.append(0, ranking.ends[:-1] + 1)
        positive, in_order = (np.add.reduceat(part, starts, axis=1) for part in (positive, in_order))
    positives = positive.sum(axis=1).astype(np.float64)
    negatives = weights.sum(axis=1) - positives
    if which == 1:
        precision = positive.cumsum(axis=1) / np.maximum(in_order.cumsum(axis=1), 1)
        area = _ratio(np.einsum("ij,ij->i", positive, precision), positives)
        return np.where(negatives > 0, area, np.nan)
    negative = in_order - positive
    not_below = negative.cumsum(axis=1) - negative / 2
    return _ratio(positives * negatives - np.einsum("ij,ij->i", positive, not_below), positives * negatives)


def _one_hot(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return (m, count) float32: 1 in the column of each number."""
    return np.asarray(numbers[:, None] == np.arange(count), dtype=np.float32)


def weighted_sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (b, k) float64 weighted sums of (m, k) values; exact of whole numbers below 2^24."""
    return np.asarray((weights @ values.astype(np.float32)).astype(np.float64))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
