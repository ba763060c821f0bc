"""Strategies that rank by the output probabilities of proxy models."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from raybert.selection.ranking import Direction, Order, choose_ranked
from raybert.selection.registry import register
from raybert.selection.strategy import Pool, Schedule, Selection, Strategy, mean_probs

Measure = Literal["entropy", "least_confidence", "margin"]
SMALL_BUDGET = 0.3
"""Below this share of the pool the hardest examples are mostly noise, and the middle is better."""


class RankedStrategy(Strategy):
    """Base of strategies that rank the pool by one score, higher = harder."""

    direction: Direction | None = Field(
        None, description="which end is kept: hard, easy or middle; null: the strategy's own default"
    )
    window: tuple[float, float] | None = Field(
        None, description="shares of the ranking, easy to hard, to keep instead of an end"
    )
    drop_hardest: float | None = Field(None, ge=0, lt=1, description="share of the hardest to drop first")
    balance: Literal["class", "none"] = Field("class", description="class: rank inside every class, by quotas")

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

    def choose(self, pool: Pool, budget: int) -> Selection:
        return choose_ranked(
            pool, budget, self.scores(pool), self._order(budget / len(pool)), balanced=self.balance == "class"
        )

    def _order(self, budget_fraction: float) -> Order:
        default = self.order(budget_fraction)
        is_given = self.direction is not None or self.window is not None
        drop = self.drop_hardest
        if drop is None:
            drop = 0.0 if is_given else default.drop_hardest
        return Order(self.direction or default.direction, self.window, drop)


@register
class Confidence(RankedStrategy):
    """Examples by how unsure a proxy is: entropy, least confidence or margin."""

    name: ClassVar[str] = "confidence"
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds", "epoch")
    uses_seed: ClassVar[bool] = False
    source: ClassVar[str] = 'Settles 2009, "Active Learning Literature Survey", section 3.1'

    measure: Measure = Field("entropy", description="of uncertainty: entropy, least_confidence or margin")

    def scores(self, pool: Pool) -> np.ndarray:
        return uncertainty(mean_probs(pool.signals["probs"]), self.measure)

    def order(self, budget_fraction: float) -> Order:
        return Order("middle")


@register
class El2n(RankedStrategy):
    """Examples by the distance of a proxy's probabilities from the label (EL2N)."""

    name: ClassVar[str] = "el2n"
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds", "epoch")
    uses_seed: ClassVar[bool] = False
    source: ClassVar[str] = (
        'Paul et al. 2021, "Deep Learning on a Data Diet", eq. 4; on language models: arXiv 2211.05610'
    )

    def scores(self, pool: Pool) -> np.ndarray:
        return el2n(pool.signals["probs"], pool.labels)

    def order(self, budget_fraction: float) -> Order:
        return Order("middle") if budget_fraction < SMALL_BUDGET else Order("hard", drop_hardest=0.2)


def uncertainty(probs: np.ndarray, measure: Measure) -> np.ndarray:
    """Return (n,) float64 uncertainty, higher = less sure.

    entropy: -sum p ln p; least_confidence: 1 - max p; margin: -(largest - second largest p).

    Args:
        probs: (n, C) float, rows sum to 1.
        measure: which.
    """
    probs = probs.astype(np.float64)
    if measure == "entropy":
        logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
        return np.asarray(-(probs * logs).sum(axis=1))
    if measure == "least_confidence":
        return np.asarray(1.0 - probs.max(axis=1))
    top = np.partition(probs, -2, axis=1)[:, -2:]
    return np.asarray(top[:, 0] - top[:, 1])


def el2n(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 norm2(p - onehot(y)), averaged over proxies.

    Args:
        probs: (n, C) of one model or (n, m, C) of m proxies.
        labels: (n,) class numbers.
    """
    stacked = probs[:, None] if probs.ndim == 2 else probs  # (n, m, C)
    errors = stacked.astype(np.float64)
    errors[np.arange(len(labels)), :, labels] -= 1.0
    return np.asarray(np.linalg.norm(errors, axis=2).mean(axis=1))
