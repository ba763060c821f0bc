"""Strategies that read no signal: the ceiling and the controls that every other one is measured against."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config.tasks import EVERY_TASK, Task
from raybert.selection.folds import assign_folds
from raybert.selection.keys import keys_for, mix_keys
from raybert.selection.passes import PassRequest
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import CLASS_ERROR, Order, choose_ranked, class_weights
from raybert.selection.registry import register
from raybert.selection.strategy import BudgetKind, Schedule, Strategy
from raybert.training.interface import PassPlan


@register
class All(Strategy):
    """Every example of the pool: the ceiling.

    Rule: all n examples.
    """

    name: ClassVar[str] = "all"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n)"
    budget_kind: ClassVar[BudgetKind] = "none"
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False


@register
class Random(Strategy):
    """A uniform draw; a larger budget contains the smaller one.

    Rule: the k lowest keyed hashes of (seed, example id).
    """

    name: ClassVar[str] = "random"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n)"
    nested: ClassVar[bool] = True

    def choose(self, pool: Pool, budget: int) -> Selection:
        return _by_key(pool, budget, balanced=False)


@register
class RandomStratified(Strategy):
    """A uniform draw within class quotas: what balance alone is worth.

    Rule: the k lowest keyed hashes, k_c of class c by highest averages (Sainte-Lague), at least 1 while k >= C.
    """

    name: ClassVar[str] = "random_stratified"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n)"
    nested: ClassVar[bool] = True
    added: ClassVar[frozenset[str]] = frozenset({"balance"})

    balance: Literal["class", "equal", "error"] = Field(
        "class",
        description="quotas of classes, each with one example at least: class, by their sizes; equal; error, by size x "
        "share of validation that a proxy gets wrong",
    )

    def choose(self, pool: Pool, budget: int) -> Selection:
        return _by_key(pool, budget, balanced=True, weights=class_weights(self.balance, pool))

    def required_signals(self) -> frozenset[str]:
        return frozenset({CLASS_ERROR} if self.balance == "error" else ())


@register
class RandomEpoch(Strategy):
    """A fresh draw for every pass, walking through the whole pool: the fair baseline of `epoch` strategies.

    Rule: pass t takes the next k of a permutation by keyed hashes; one that is used up is shuffled anew.
    """

    name: ClassVar[str] = "random_epoch"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n) for every n / k passes"
    budget_kind: ClassVar[BudgetKind] = "per_epoch"
    schedules: ClassVar[tuple[Schedule, ...]] = ("epoch",)
    citation: ClassVar[str] = 'Okanovic et al. 2023, "Repeated Random Sampling", arXiv 2305.18424'

    def choose(self, pool: Pool, budget: int) -> Selection:
        positions = walk_permutations(pool.draw_keys, budget, 0)
        return Selection(positions, np.full(budget, np.nan))

    def plan_pass(self, request: PassRequest) -> PassPlan:
        return PassPlan(walk_permutations(request.pool.draw_keys, request.budget, request.number))


class AllButFold(Strategy):
    """Every example but those of one fold: what a cross-fitted proxy trains on."""

    name: ClassVar[str] = "all_but_fold"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    budget_kind: ClassVar[BudgetKind] = "none"

    num_folds: int = Field(ge=2, description="m")
    fold: int = Field(ge=0, description="left out, 0..m-1")

    def takes(self, num_examples: int) -> int:
        return num_examples - -(-(num_examples - self.fold) // self.num_folds)

    def choose(self, pool: Pool, budget: int) -> Selection:
        rows = np.flatnonzero(assign_folds(pool.labels, pool.draw_keys, self.num_folds) != self.fold)
        return Selection(rows, np.full(len(rows), np.nan))


class SampleOf(Strategy):
    """A part of the pool, drawn by class: what a proxy trains on that scores a pool too large to train on."""

    name: ClassVar[str] = "sample_of"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    budget_kind: ClassVar[BudgetKind] = "none"

    examples: int = Field(ge=2, description="that are drawn, of a smaller pool all")

    def takes(self, num_examples: int) -> int:
        return min(self.examples, num_examples)

    def choose(self, pool: Pool, budget: int) -> Selection:
        own = replace(pool, draw_keys=keys_for("sample of a proxy", pool.draw_keys))  # not what `random` draws
        return _by_key(own, self.takes(len(pool)), balanced=True)


def walk_permutations(keys: np.ndarray, budget: int, number: int) -> np.ndarray:
    """Return the positions of one pass: the next `budget` of a permutation, reshuffled when it is used up.

    A pass that crosses into a new permutation takes from it only what it does not have yet.

    Args:
        keys: (n,) uint64 of draws.
        budget: positions per pass, at most n.
        number: of the pass: 0, 1, 2, ...
    """
    shuffle, rest = 0, np.argsort(keys, kind="stable")
    positions = rest[:0]
    for _ in range(number + 1):
        positions, rest = rest[:budget], rest[budget:]
        missing = budget - len(positions)
        if missing:
            shuffle += 1
            fresh = np.argsort(mix_keys(keys, shuffle), kind="stable")
            is_taken = np.isin(fresh, positions)
            fresh = np.concatenate([fresh[~is_taken], fresh[is_taken]])
            positions, rest = np.concatenate([positions, fresh[:missing]]), fresh[missing:]
    return positions


def _by_key(pool: Pool, budget: int, *, balanced: bool, weights: np.ndarray | None = None) -> Selection:
    """Choose by the keys of draws alone: without scores all are ties, which these keys break."""
    drawn = replace(pool, tie_keys=pool.draw_keys)
    selection = choose_ranked(drawn, budget, np.zeros(len(pool)), Order(), balanced=balanced, weights=weights)
    return Selection(selection.positions, np.full(len(selection.positions), np.nan))
