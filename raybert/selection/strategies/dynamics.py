"""Strategies that read training dynamics: probabilities of the pool at several checkpoints of one training run."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.selection.pool import Pool
from raybert.selection.ranking import Order
from raybert.selection.registry import register
from raybert.selection.strategies.ranked import RankedStrategy


@register
class Forgetting(RankedStrategy):
    """Examples by how often they were learned and forgotten again; never learned is hardest.

    Rule: score = how often right became wrong between checkpoints; never right: the number of checkpoints.
    """

    name: ClassVar[str] = "forgetting"
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = True  # counts are mostly ties, which the seed breaks
    citation: ClassVar[str] = 'Toneva et al. 2019, "An Empirical Study of Example Forgetting", arXiv 1812.05159'

    def scores(self, pool: Pool) -> np.ndarray:
        dynamics = pool.signals["dynamics"]
        events = forgetting_events(dynamics.argmax(axis=2) == pool.labels[:, None]).astype(np.float64)
        return np.asarray(np.where(np.isnan(dynamics).any(axis=(1, 2)), np.nan, events))


@register
class Cartography(RankedStrategy):
    """Examples by their place on the data map: ambiguous (p_y varies), hard (low) or easy (high).

    Rule: ambiguous: score = standard deviation of p_y over checkpoints; hard, easy: 1 - mean of p_y.
    """

    name: ClassVar[str] = "cartography"
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Swayamdipta et al. 2020, "Dataset Cartography", arXiv 2009.10795'

    region: Literal["ambiguous", "hard", "easy"] = Field("ambiguous", description="of the map")

    def scores(self, pool: Pool) -> np.ndarray:
        confidence, variability = data_map(pool.signals["dynamics"], pool.labels)
        return variability if self.region == "ambiguous" else 1.0 - confidence

    def order(self, budget_fraction: float) -> Order:
        return Order("easy") if self.region == "easy" else Order("hard")


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
