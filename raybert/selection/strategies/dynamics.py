"""Strategies that read training dynamics: probabilities of the pool at several checkpoints of one training run."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.selection.compose import Composed
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import Order
from raybert.selection.registry import register
from raybert.selection.strategies.filters import DropHardest
from raybert.selection.strategies.ranked import RankedStrategy, hard_without_noise


class LearnableStrategy(RankedStrategy):
    """Base of rankings by dynamics whose hard end holds wrong labels: what was learned least is dropped before."""

    drop_hardest: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of each class with the lowest mean p_y over checkpoints to drop first, where wrong labels "
        "are; default .3, from 30 % of the pool .2, with a direction or window 0",
    )

    def order(self, budget_fraction: float) -> Order:
        return hard_without_noise(budget_fraction)

    def choose(self, pool: Pool, budget: int) -> Selection:
        share = self.kept_order(pool.fraction(budget)).drop_hardest
        if share == 0:
            return super().choose(pool, budget)
        unlearned = DropHardest(score=Cartography(region="hard"), share=share)
        rest = Composed(inner=self.model_copy(update={"drop_hardest": 0.0}), pre=(unlearned,))
        return replace(rest.choose(pool, budget), pool_scores=self.scores(pool))


@register
class Forgetting(LearnableStrategy):
    """Examples by how often they were learned and forgotten again, without those that hardly were learned at all.

    Rule: score = how often right became wrong between checkpoints; never right: the number of checkpoints.

    The published rule has the never learned first: `drop_hardest: 0`.
    """

    name: ClassVar[str] = "forgetting"
    rule_version: ClassVar[int] = 2
    weakness: ClassVar[str] = (
        "counts are mostly ties, and what is never learned is mostly a wrong label: the default drops the least learned"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = True  # counts are mostly ties, which the seed breaks
    citation: ClassVar[str] = 'Toneva et al. 2019, "An Empirical Study of Example Forgetting", arXiv 1812.05159'

    def scores(self, pool: Pool) -> np.ndarray:
        dynamics = pool.signals["dynamics"]
        events = forgetting_events(dynamics.argmax(axis=2) == pool.labels[:, None]).astype(np.float64)
        return np.asarray(np.where(np.isnan(dynamics).any(axis=(1, 2)), np.nan, events))


@register
class Cartography(LearnableStrategy):
    """Examples by their place on the data map: ambiguous (p_y varies), hard (low) or easy (high).

    Rule: ambiguous: score = standard deviation of p_y over checkpoints; hard, easy: 1 - mean of p_y.

    The published rule of the ambiguous ones drops nothing before: `drop_hardest: 0`.
    """

    name: ClassVar[str] = "cartography"
    rule_version: ClassVar[int] = 2
    weakness: ClassVar[str] = (
        "p_y of a wrong label that is learned late varies most: the default drops the least learned; in `region: hard` "
        "most labels of a noisy pool are wrong"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Swayamdipta et al. 2020, "Dataset Cartography", arXiv 2009.10795'

    region: Literal["ambiguous", "hard", "easy"] = Field("ambiguous", description="of the map")

    def scores(self, pool: Pool) -> np.ndarray:
        confidence, variability = data_map(pool.signals["dynamics"], pool.labels)
        return variability if self.region == "ambiguous" else 1.0 - confidence

    def order(self, budget_fraction: float) -> Order:
        if self.region == "ambiguous":
            return super().order(budget_fraction)
        return Order(self.region)


@register
class Aum(RankedStrategy):
    """Examples by the area under the margin p_y - max p_other over training, negated: low areas are hard.

    Rule: score = -mean over checkpoints of (p_y - max_{c != y} p_c).
    """

    name: ClassVar[str] = "aum"
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'Pleiss et al. 2020, "Identifying Mislabeled Data using the Area Under the Margin", 2001.10528'
    )

    def scores(self, pool: Pool) -> np.ndarray:
        return -area_under_margin(pool.signals["dynamics"], pool.labels)

    def order(self, budget_fraction: float) -> Order:
        return Order("middle")


def forgetting_events(is_correct: np.ndarray) -> np.ndarray:
    """Return (n,) int64 how often right became wrong; never right counts as the number of checkpoints t.

    Args:
        is_correct: (n, t) bool.
    """
    events = (is_correct[:, :-1] & ~is_correct[:, 1:]).sum(axis=1)
    return np.asarray(np.where(is_correct.any(axis=1), events, is_correct.shape[1]))


def data_map(dynamics: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (ddof 0) of p_y over checkpoints, both (n,) float64.

    Args:
        dynamics: (n, t, C) probabilities.
        labels: (n,) class numbers.
    """
    label_probs = dynamics[np.arange(len(labels)), :, labels].astype(np.float64)  # (n, t)
    return label_probs.mean(axis=1), label_probs.std(axis=1)


def area_under_margin(dynamics: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 mean over checkpoints of p_y - max_{c != y} p_c.

    Args:
        dynamics: (n, t, C) probabilities.
        labels: (n,) class numbers.
    """
    rows = np.arange(len(labels))
    label_probs = dynamics[rows, :, labels].astype(np.float64)
    others = dynamics.astype(np.float64)
    others[rows, :, labels] = -np.inf
    return np.asarray((label_probs - others.max(axis=2)).mean(axis=1))
