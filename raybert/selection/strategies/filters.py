"""Filters: rules that drop examples, on their own before another strategy, or in its `pre`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from raybert.config.tasks import EVERY_TASK, Task
from raybert.selection.filter import Filter, Kept
from raybert.selection.geometry.points import CLUSTER_SIZE, EXACT_LIMIT
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import register, register_filter
from raybert.selection.strategies.baselines import Random, RandomStratified
from raybert.selection.strategies.coverage import PASSES_OF_K_MEANS
from raybert.selection.strategies.proxies import El2n
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import BudgetKind, Strategy

_CLOSE = 1e-6
"""Probabilities that differ by less are equal."""


@register
class LabelErrors(Filter):
    """Drops examples that models which never saw them are confident to be of another class (confident learning).

    Rule: t_c = mean held-out p_c of class c; drop i if the likeliest c with p_c >= t_c is not y, nor y the likeliest.

    These are the off-diagonal examples of the confident joint. Dropped ones come back, if they must, by how far p_y is
    under the mean of its class.
    """

    name: ClassVar[str] = "label_errors"
    operations: ClassVar[str] = "O(n log n), and what the strategy in `then` takes"
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"heldout_probs"})
    citation: ClassVar[str] = (
        'Northcutt et al. 2021, "Confident Learning", arXiv 1911.00068; `confident_learning` of cleanlab'
    )

    then: SerializeAsAny[Strategy] | None = Field(RandomStratified(), description="chooses among the rest")

    def keep(self, pool: Pool) -> Kept:
        probs = pool.signals["heldout_probs"]
        return Kept(~is_confidently_another(probs, pool.labels), label_doubt(probs, pool.labels))


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
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    citation: ClassVar[str] = 'Abbas et al. 2023, "SemDeDup", arXiv 2303.09540'

    epsilon: float = Field(0.05, ge=0, le=2, description="near-duplicates have a cosine above 1 - epsilon")
    then: SerializeAsAny[Strategy] | None = Field(Random(), description="chooses among the rest")

    def keep(self, pool: Pool) -> Kept:
        from raybert.selection.geometry.clusters import semantic_duplicates  # scikit-learn: not before it is needed

        found = semantic_duplicates(
            pool.signals["embeddings"], pool.labels, self.epsilon, pool.generator, tie_keys=pool.tie_keys
        )
        if found.note:
            pool.notes.append(f"{self.name}: {found.note}")
        return Kept(found.keep, np.zeros(len(pool)), found.conflicts)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        if pool_size <= EXACT_LIMIT:
            return float(pool_size) ** 2
        return float(pool_size) * (CLUSTER_SIZE + PASSES_OF_K_MEANS * pool_size / CLUSTER_SIZE)


@register
class HScore(Filter):
    """Drops what all proxies get right and what all get wrong; of the rest `then` chooses (H-score).

    Rule: H = proxies that are right; keep those with least <= H <= m - least, m proxies.

    The proxies are those of `selection.proxy`, each with a head and an order of its own; the paper's largest subset,
    the winning ticket, is `least: 1`. It counts every epoch of its runs, here the end of each does. When too few are
    left, what is nearest to them comes back first, and of equally near ones what is always right.
    """

    name: ClassVar[str] = "h_score"
    operations: ClassVar[str] = "O(n m), and what the strategy in `then` takes"
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    citation: ClassVar[str] = (
        'Tayaranian et al. 2024, "Automatic Pruning of Fine-tuning Datasets for Transformer-based Language Models", '
        "arXiv 2407.08887"
    )

    least: int = Field(1, ge=1, description="proxies that must be right, and wrong; `selection.proxy.num_seeds` are m")
    then: SerializeAsAny[Strategy] | None = Field(RandomStratified(), description="chooses among the rest")

    def least_proxies(self) -> int:
        return max(2 * self.least, super().least_proxies())

    def keep(self, pool: Pool) -> Kept:
        probs = pool.signals["probs"]
        stacked = probs[:, None] if probs.ndim == 2 else probs  # (n, m, C)
        right = (stacked.argmax(axis=2) == pool.labels[:, None]).sum(axis=1)
        low, high = self.least, stacked.shape[1] - self.least
        if high < low:
            pool.notes.append(
                f"{self.name}: {stacked.shape[1]} proxies are too few for `least: {self.least}`; none is kept"
            )
        away = np.maximum(low - right, right - high).astype(np.float64) + np.where(right < low, 0.5, 0.0)
        away[np.isnan(stacked).any(axis=(1, 2))] = np.inf
        return Kept(away <= 0, away)


@register_filter
class DropHardest(Filter):
    """Drops the share of every class that a score calls hardest.

    Rule: drop the share of each class with the highest scores.
    """

    name: ClassVar[str] = "drop_hardest"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
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


@register
class RandomAs(Strategy):
    """A uniform draw of as many examples as a strategy takes that has no budget: what its choice is worth.

    Rule: m = what `of` takes of the pool; the m lowest keyed hashes of (seed, example id).

    A sweep adds it by itself beside every strategy with `budget: auto`. It reads the signals of the other to know m.
    """

    name: ClassVar[str] = "random_as"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n), and what `of` takes"
    budget_kind: ClassVar[BudgetKind] = "none"

    of: SerializeAsAny[Strategy] = Field(
        LabelErrors(budget="auto"), description="the strategy, one whose own rule says how many it takes"
    )

    @model_validator(mode="after")
    def _has_a_size_of_its_own(self) -> RandomAs:
        if self.of.spends() != "none" or getattr(self.of, "schedule", "once") != "once":
            raise ValueError(
                "of: must be a filter with `budget: auto`, or another strategy without a budget, got "
                f"'{self.of.title}'; beside those with one stands `random`"
            )
        return self

    def takes_by_rule(self) -> bool:
        return True

    def all_signals(self) -> frozenset[str]:
        return self.of.all_signals()

    def choose(self, pool: Pool, budget: int) -> Selection:
        return Random().choose(pool, len(self.of.choose(pool, budget).positions))


def is_confidently_another(heldout_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) bool: off the diagonal of the confident joint, and the label is not the likeliest class.

    An example counts to the class whose probability reaches the mean probability of that class among the examples
    labelled so; to the likeliest class of all where several do, to none where none does.

    Args:
        heldout_probs: (n, C) by models that did not train on the example; NaN: none, such examples are no errors.
        labels: (n,) class numbers.

    Source: Northcutt et al. 2021, eq. 1 and 2; as `cleanlab.filter.find_label_issues(filter_by="confident_learning")`.
    """
    probs = heldout_probs.astype(np.float64)
    own, means = _self_confidence(probs, labels)
    known = ~np.isnan(probs).any(axis=1)
    reached = np.nan_to_num(probs) >= means - _CLOSE
    likeliest = np.nan_to_num(probs).argmax(axis=1)
    guess = np.where(reached.sum(axis=1) > 1, likeliest, reached.argmax(axis=1))
    is_likeliest = own >= np.nan_to_num(probs).max(axis=1) - _CLOSE
    return np.asarray(known & reached.any(axis=1) & (guess != labels) & ~is_likeliest)


def label_doubt(heldout_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64: the class's mean self-confidence minus the example's own; positive is below the mean.

    Args:
        heldout_probs: (n, C) by models that did not train on the example; NaN: none, the doubt is NaN too.
        labels: (n,) class numbers.
    """
    own, means = _self_confidence(heldout_probs.astype(np.float64), labels)
    return np.asarray(means[labels] - own)


def _self_confidence(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) the probability of each example's label, and (C,) its mean in each class (infinite: none)."""
    own = probs[np.arange(len(labels)), labels]
    known = ~np.isnan(own)
    counts = np.bincount(labels[known], minlength=probs.shape[1])
    sums = np.bincount(labels[known], weights=own[known], minlength=probs.shape[1])
    means = np.divide(sums, counts, out=np.full(len(sums), np.inf), where=counts > 0)
    return own, means
