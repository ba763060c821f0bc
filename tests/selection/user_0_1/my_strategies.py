"""Strategies as a user wrote them for raybert 0.1: the words of then, which must work for one release more."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

import raybert
from raybert.selection.strategy import Filter, Kept


class Longest(raybert.Strategy):
    """The longest texts."""

    name: ClassVar[str] = "longest"
    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    source: ClassVar[str] = "my own idea"

    at_most: int = 100_000

    def choose(self, pool: raybert.Pool, budget: int) -> raybert.Selection:
        lengths = np.minimum(pool.signals["lengths"], self.at_most)
        positions = np.lexsort((pool.tie_keys, -lengths))[:budget]
        return raybert.Selection(positions, lengths[positions].astype(float))


class Rotating(raybert.Strategy):
    """Another stretch of the pool for every pass."""

    name = "rotating"
    budget_kind = "per_epoch"
    schedules = ("epoch",)
    uses_seed = False

    schedule: Literal["epoch"] = "epoch"
    stride: int = 3

    def choose(self, pool, budget):
        return raybert.Selection(np.argsort(pool.tie_keys)[:budget], np.full(budget, np.nan))

    def plan_epoch(self, request: "raybert.EpochRequest"):
        from raybert.training.interface import EpochPlan

        order = np.argsort(request.pool.tie_keys)
        return EpochPlan(np.roll(order, -self.stride * request.epoch)[: request.budget])


class Short(Filter):
    """Drops short texts."""

    name = "short"
    needs = frozenset({"lengths"})

    least: int = 5
    then: SerializeAsAny[raybert.Strategy] | None = Field(Longest(), description="chooses among the rest")

    def keep(self, pool):
        lengths = pool.signals["lengths"]
        return Kept(lengths >= self.least, -lengths.astype(float))
