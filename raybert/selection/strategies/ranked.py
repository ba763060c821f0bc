"""The base of strategies that rank the pool by one score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import CLASS_ERROR, Balance, Direction, Order, choose_ranked, class_weights
from raybert.selection.strategy import Strategy

SMALL_BUDGET = 0.3
"""Below this share of the pool the hardest examples are mostly noise, and the middle is better."""
NOISY_SHARE, NOISY_SHARE_OF_LARGE = 0.3, 0.2
"""The hardest share, in which wrong labels gather: of small budgets, and of larger ones, which can spare less."""

QUOTAS = (
    "quotas of classes, each with one example at least: class, by their sizes; equal; error, by size x share of "
    "validation that a proxy gets wrong"
)
BALANCE = f"{QUOTAS}; difficulty, by size x mean score above the lowest; none: all are ranked together"


class RankedStrategy(Strategy):
    """Base of strategies that rank the pool by one score, higher = harder."""

    in_words: ClassVar[Mapping[str, str]] = {"": "a strategy that ranks by a score: its name, or a section with `name`"}
    operations: ClassVar[str] = "O(n log n)"

    direction: Direction | None = Field(
        None, description="which end is kept: hard, easy or middle; null: the strategy's own default"
    )
    window: tuple[float, float] | None = Field(
        None, description="shares of the ranking, easy to hard, to keep instead of an end"
    )
    drop_hardest: float | None = Field(None, ge=0, lt=1, description="share of the hardest to drop first")
    balance: Balance = Field("class", description=BALANCE)

    @model_validator(mode="after")
    def _window_is_ordered(self) -> RankedStrategy:
        if self.window is not None:
            if self.direction is not None:
                raise ValueError("must have `direction` or `window`, not both")
            if not 0 <= self.window[0] < self.window[1] <= 1:
                raise ValueError("window: must be [from, to] with 0 <= from < to <= 1")
        return self

    def scores(self, pool: Pool) -> np.ndarray:
        """Return (n,) float scores, higher = harder."""
        raise NotImplementedError

    def order(self, budget_fraction: float) -> Order:
        """Return what is kept when neither direction nor window is given."""
        return Order("hard")

    def default_direction(self) -> str:
        """Return in words what `order` keeps of small and of large budgets."""
        return describe_orders(self.order)

    def choose(self, pool: Pool, budget: int) -> Selection:
        scores, order = self.scores(pool), self.kept_order(pool.fraction(budget))
        weights = class_weights(self.balance, pool, scores)
        return choose_ranked(pool, budget, scores, order, balanced=self.balance != "none", weights=weights)

    def all_signals(self) -> frozenset[str]:
        return super().all_signals() | ({CLASS_ERROR} if self.balance == "error" else frozenset())

    def kept_order(self, budget_fraction: float) -> Order:
        """Return what is kept with these parameters."""
        default = self.order(budget_fraction)
        is_given = self.direction is not None or self.window is not None
        drop = self.drop_hardest
        if drop is None:
            drop = 0.0 if is_given else default.drop_hardest
        return Order(self.direction or default.direction, self.window, drop, default.highest)


def middle_then_hard(budget_fraction: float) -> Order:
    """Return the middle for small budgets, else the hard end without its hardest fifth."""
    return Order("middle") if budget_fraction < SMALL_BUDGET else Order("hard", drop_hardest=NOISY_SHARE_OF_LARGE)


def hard_without_noise(budget_fraction: float) -> Order:
    """Return the hard end without the share of the hardest in which wrong labels gather."""
    return Order("hard", drop_hardest=NOISY_SHARE if budget_fraction < SMALL_BUDGET else NOISY_SHARE_OF_LARGE)


def describe_orders(order: Callable[[float], Order]) -> str:
    """Return in words what is kept of small and of large budgets."""
    small, large = (_in_words(order(part)) for part in (SMALL_BUDGET / 2, 1.0))
    return small if small == large else f"{small} (from {SMALL_BUDGET:.0%} of the pool: {large})"


def _in_words(order: Order) -> str:
    words: str = order.direction
    if order.highest < np.inf:
        words += f" up to a score of {order.highest:g}"
    return f"{words} without the hardest {order.drop_hardest:.0%}" if order.drop_hardest else words
