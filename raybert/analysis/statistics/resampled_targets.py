"""A metric of sets of labels, or of numbers, on many resamples of one test set at once; as `resampled` of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from raybert.analysis.statistics.resampled import area_of_ranking, weighted_sums
from raybert.training.measures.of_targets import THRESHOLD, binary_losses
from raybert.training.measures.weighted import Ranking


def resampled_target_metric(metric: str, targets: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (b,) float64, the metric on every resample; NaN where it is undefined.

    Args:
        metric: a name of `METRICS` that exists for this task.
        targets: (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, L) probabilities, or (m, 1) numbers.
        weights: (b, m) of `draw_weights`.
    """
    if targets.shape[1] == 1:
        return _OF_NUMBERS[metric](targets[:, 0].astype(np.float64), probs[:, 0].astype(np.float64), weights)
    return _OF_LABELS[metric](targets > 0, probs, weights)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (b,) means of (m,) values; in float64, since squares of numbers may be large."""
    return np.asarray(weights.astype(np.float64) @ values / weights.sum(axis=1, dtype=np.float64))


def _squares(targets: np.ndarray, found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean((found - targets) ** 2, weights)


def _r2(targets: np.ndarray, found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    moved = targets - targets.mean()
    spread = _mean(moved**2, weights) - _mean(moved, weights) ** 2
    return 1.0 - _ratio(_squares(targets, found, weights), spread)


def _pearson(targets: np.ndarray, found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    one, other = targets - targets.mean(), found - found.mean()
    means = _mean(one, weights), _mean(other, weights)
    together = _mean(one * other, weights) - means[0] * means[1]
    spreads = [_mean(part**2, weights) - mean**2 for part, mean in zip((one, other), means, strict=True)]
    return _ratio(together, np.sqrt(np.maximum(spreads[0], 0) * np.maximum(spreads[1], 0)))


def _spearman(targets: np.ndarray, found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the correlations of ranks, which are those of the resample: an example that is in it twice is a tie."""
    places = [np.unique(values, return_inverse=True)[1] for values in (targets, found)]
    values = np.empty(len(weights))
    for number, row in enumerate(weights.astype(np.float64)):
        ranks = [_ranks(place, row) for place in places]
        values[number] = _pearson(ranks[0], ranks[1], row[None])[0]
    return values


def _ranks(place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (m,) mean ranks of weighted examples, given the order of their distinct values."""
    sizes = np.bincount(place, weights)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[place])


_Numbers = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_OF_NUMBERS: Mapping[str, _Numbers] = {
    "rmse": lambda targets, found, weights: np.sqrt(_squares(targets, found, weights)),
    "mae": lambda targets, found, weights: _mean(np.abs(found - targets), weights),
    "r2": _r2,
    "pearson": _pearson,
    "spearman": _spearman,
}


def _counts(marks: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (b, L) twice the hits, and examples with a label plus those it is predicted of."""
    chosen = probs >= THRESHOLD
    hits, support, predicted = (weighted_sums(part, weights) for part in (marks & chosen, marks, chosen))
    return 2 * hits, support + predicted


def _micro_f1(marks: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    hits, decided = _counts(marks, probs, weights)
    return _ratio(hits.sum(axis=1), decided.sum(axis=1))


def _macro_f1(marks: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    f1 = _ratio(*_counts(marks, probs, weights))
    return _present_mean(f1, weighted_sums(marks, weights) > 0)


def _map(marks: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    areas = [area_of_ranking(1, Ranking.of(marks[:, k], probs[:, k]), weights) for k in range(marks.shape[1])]
    stacked = np.stack(areas, axis=1)
    return _present_mean(np.nan_to_num(stacked, nan=1.0), weighted_sums(marks, weights) > 0)


def _present_mean(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return _ratio(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1))


_Labels = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_OF_LABELS: Mapping[str, _Labels] = {
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "map": _map,
    "subset_accuracy": lambda marks, probs, weights: _mean(
        (marks == (probs >= THRESHOLD)).all(axis=1).astype(np.float64), weights
    ),
    "hamming": lambda marks, probs, weights: _mean((marks != (probs >= THRESHOLD)).mean(axis=1), weights),
    "loss": lambda marks, probs, weights: _mean(binary_losses(marks, probs).mean(axis=1), weights),
}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    whole = np.asarray(whole, np.float64)
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))
