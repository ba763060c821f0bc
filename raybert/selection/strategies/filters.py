"""Filters: rules that drop examples, on their own before another strategy, or in its `pre`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, SerializeAsAny

from raybert.selection.filter import Filter, Kept
from raybert.selection.pool import Pool
from raybert.selection.registry import register, register_filter
from raybert.selection.strategies.baselines import Random, RandomStratified
from raybert.selection.strategies.proxies import El2n
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Strategy


@register
class LabelErrors(Filter):
    """Drops examples whose label models that never saw them believe less than is usual in the class.

    Rule: drop i where the out-of-fold p_y is under the mean p_y of its class.
    """

    name: ClassVar[str] = "label_errors"
    operations: ClassVar[str] = "O(n log n), and what the strategy in `then` takes"
    needs: ClassVar[frozenset[str]] = frozenset({"heldout_probs"})
    citation: ClassVar[str] = 'Northcutt et al. 2021, "Confident Learning", arXiv 1911.00068, its class thresholds'

    then: SerializeAsAny[Strategy] | None = Field(RandomStratified(), description="chooses among the rest")

    def keep(self, pool: Pool) -> Kept:
        doubt = label_doubt(pool.signals["heldout_probs"], pool.labels)
        return Kept(~(doubt > 0), doubt)


@register
class SemDedup(Filter):
    """Drops semantic near-duplicates with the same label but one of each group; different labels are reported.

    Rule: inside k-means clusters, of all with cosine > 1 - epsilon and one label keep the farthest from the centroid.
    """

    name: ClassVar[str] = "semdedup"
    operations: ClassVar[str] = (
        "O(n^2 d), above 20,000 examples O(n c d) in clusters of c = 5,000 and O(n^2 d / c) to find these; and what "
        "the strategy in `then` takes"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    citation: ClassVar[str] = 'Abbas et al. 2023, "SemDeDup", arXiv 2303.09540'

    epsilon: float = Field(0.05, ge=0, le=2, description="near-duplicates have a cosine above 1 - epsilon")
    then: SerializeAsAny[Strategy] | None = Field(Random(), description="chooses among the rest")

    def keep(self, pool: Pool) -> Kept:
        from raybert.selection.geometry.clusters import semantic_duplicates  # scikit-learn: not before it is needed

        found = semantic_duplicates(
            pool.signals["embeddings"], pool.labels, self.epsilon, pool.generator, tie_keys=pool.tie_keys
        )
        return Kept(found.keep, np.zeros(len(pool)), found.conflicts)


@register_filter
class DropHardest(Filter):
    """Drops the share of every class that a score calls hardest.

    Rule: drop the share of each class with the highest scores.
    """

    name: ClassVar[str] = "drop_hardest"
    operations: ClassVar[str] = "O(n log n), and what the strategy in `then` takes"

    score: SerializeAsAny[RankedStrategy] = Field(El2n(), description="strategy whose score says what is hard")
    share: float = Field(0.1, ge=0, lt=1, description="of each class")
    then: SerializeAsAny[Strategy] | None = Field(Random(), description="chooses among the rest")

    def required_signals(self) -> frozenset[str]:
        return self.score.required_signals()

    def keep(self, pool: Pool) -> Kept:
        scores = self.score.scores(pool)
        keep = np.ones(len(pool), bool)
        for group in range(pool.num_classes):
            rows = np.flatnonzero(pool.labels == group)
            known = np.where(np.isnan(scores[rows]), np.inf, scores[rows])  # without a score: first to go
            hardest = rows[np.lexsort((pool.tie_keys[rows], -known))]
            keep[hardest[: int(self.share * len(rows))]] = False
        return Kept(keep, scores)


def label_doubt(heldout_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64: the class's mean self-confidence minus the example's own; positive is below the mean.

    Args:
        heldout_probs: (n, C) by models that did not train on the example; NaN: none, the doubt is NaN too.
        labels: (n,) class numbers.
    """
    own = heldout_probs[np.arange(len(labels)), labels].astype(np.float64)
    num_classes = heldout_probs.shape[1]
    known = ~np.isnan(own)
    counts = np.bincount(labels[known], minlength=num_classes).clip(min=1)
    means = np.bincount(labels[known], weights=own[known], minlength=num_classes) / counts
    return np.asarray(means[labels] - own)
