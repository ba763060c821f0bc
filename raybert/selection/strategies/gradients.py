"""Strategies that read what the last layer of a proxy gets, or what dropout makes of its outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raybert.selection.geometry.gradients import hallucinated_residuals, spread_by_squared_distance
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import register
from raybert.selection.strategies.mixed import finite_scores
from raybert.selection.strategies.proxies import uncertainty
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Schedule, Strategy


@register
class Badge(Strategy):
    """A k-means++ draw of last-layer gradients, with predictions in place of labels: uncertain and different (BADGE).

    Rule: g = (p - onehot(argmax p)) h^T; first the largest norm, then each with a chance by its squared distance.

    Distances come from norms and products of p and h, so that g itself is never made. Of several proxies the first one
    is read.
    """

    name: ClassVar[str] = "badge"
    operations: ClassVar[str] = "O(n k (C + d))"
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "features"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    citation: ClassVar[str] = (
        'Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", arXiv 1906.03671'
    )

    def choose(self, pool: Pool, budget: int) -> Selection:
        probs = pool.signals["probs"]
        first = finite_scores(probs if probs.ndim == 2 else probs[:, 0])
        positions, distances = spread_by_squared_distance(
            hallucinated_residuals(first),
            pool.signals["features"],
            budget - len(pool.selected),
            pool.generator,
            selected=pool.selected,
            tie_keys=pool.tie_keys,
        )
        scores = np.concatenate([np.full(len(pool.selected), np.nan), distances])
        return Selection(np.concatenate([pool.selected, positions]), scores)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return float(pool_size) * budget


@register
class Bald(RankedStrategy):
    """Examples on which a proxy disagrees with itself under dropout (BALD).

    Rule: score = H(mean p) - mean H(p) over passes with dropout (mutual information), the largest first.

    What is merely ambiguous has a high entropy in every pass, and no high score. `selection.scorers.dropout.passes`
    says how many passes there are; an encoder without dropout is refused.
    """

    name: ClassVar[str] = "bald"
    needs: ClassVar[frozenset[str]] = frozenset({"dropout_probs"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Gal et al. 2017, "Deep Bayesian Active Learning with Image Data", arXiv 1703.02910'

    def scores(self, pool: Pool) -> np.ndarray:
        return mutual_information(pool.signals["dropout_probs"])


def mutual_information(probs: np.ndarray) -> np.ndarray:
    """Return (n,) float64 H(mean over passes of p) - mean over passes of H(p), in nats, at least 0.

    Args:
        probs: (n, p, C) of p passes, rows sum to 1.
    """
    examples, passes, classes = probs.shape
    each = uncertainty(probs.reshape(-1, classes), "entropy").reshape(examples, passes)
    together = uncertainty(probs.mean(axis=1, dtype=np.float64), "entropy")
    gain = together - each.mean(axis=1)
    return np.asarray(np.where(gain < 0, 0.0, gain))  # rounding; NaN stays
