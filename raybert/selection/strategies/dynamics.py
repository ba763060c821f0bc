"""Strategies that read training dynamics: probabilities of the pool at several checkpoints of one training run."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.errors import SelectionError
from raybert.selection.compose import Composed
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import Order
from raybert.selection.registry import register
from raybert.selection.strategies.filters import DropHardest
from raybert.selection.strategies.ranked import RankedStrategy, hard_without_noise

_TINY = 1e-8
"""Added to probabilities before the logarithm, as in the authors' code of TDDS."""


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


@register
class DynUnc(LearnableStrategy):
    """Examples by how much p_y varies within short spans of training, averaged over all spans.

    Rule: score = mean over spans of J checkpoints of the standard deviation (ddof 1) of p_y.

    The paper has spans of 10 of some hundred epochs and leaves out the last one; here all spans of the run behind
    `dynamics` count. It drops nothing before: `drop_hardest: 0`. `scorers.dynamics` says how many checkpoints there
    are.
    """

    name: ClassVar[str] = "dyn_unc"
    weakness: ClassVar[str] = (
        "p_y of a wrong label that is learned late varies, too: the default drops the least learned first"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'He et al. 2024, "Large-scale Dataset Pruning with Dynamic Uncertainty", eq. 1-3, arXiv 2306.05175'
    )

    span: int = Field(3, ge=2, description="J, checkpoints of a span; at most those of the run")

    def scores(self, pool: Pool) -> np.ndarray:
        return dynamic_uncertainty(pool.signals["dynamics"], pool.labels, self.span)


@register
class Tdds(LearnableStrategy):
    """Examples whose predictions change unevenly from checkpoint to checkpoint, late changes weighing most.

    Rule: change = sum_c |p' ln (p' / p)|; R = norm2(changes in a span - their mean); score = sum b (1 - b)^age R.

    As in the authors' code, the absolute value is of each class, and R the norm, where the paper has its square. The
    paper drops nothing before: `drop_hardest: 0`, and spans of 10 epochs of CIFAR. `scorers.dynamics` says how many
    checkpoints there are.
    """

    name: ClassVar[str] = "tdds"
    weakness: ClassVar[str] = (
        "what is learned late changes most, wrong labels too: the default drops the least learned first"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'Zhang et al. 2024, "Spanning Training Progress: Temporal Dual-Depth Scoring", arXiv 2311.13613'
    )

    span: int = Field(4, ge=3, description="J, checkpoints of a span; at most those of the run")
    decay: float = Field(0.9, gt=0, le=1, description="b, weight of the last span; the one before has b (1 - b), ...")

    def scores(self, pool: Pool) -> np.ndarray:
        return dual_depth_score(pool.signals["dynamics"], self.span, self.decay)


def dynamic_uncertainty(dynamics: np.ndarray, labels: np.ndarray, span: int) -> np.ndarray:
    """Return (n,) float64 mean over spans of checkpoints of the standard deviation (ddof 1) of p_y.

    Args:
        dynamics: (n, t, C) probabilities.
        labels: (n,) class numbers.
        span: J checkpoints, 2..t.

    Raises:
        SelectionError: the run has fewer checkpoints.
    """
    _check_span(span, dynamics.shape[1])
    label_probs = dynamics[np.arange(len(labels)), :, labels].astype(np.float64)  # (n, t)
    spans = np.lib.stride_tricks.sliding_window_view(label_probs, span, axis=1)  # (n, t - J + 1, J)
    return np.asarray(spans.std(axis=2, ddof=1).mean(axis=1))


def dual_depth_score(dynamics: np.ndarray, span: int, decay: float) -> np.ndarray:
    """Return (n,) float64 temporal dual-depth score (see `Tdds`).

    Args:
        dynamics: (n, t, C) probabilities.
        span: J checkpoints, 3..t: J - 1 changes.
        decay: b in (0, 1].

    Raises:
        SelectionError: the run has fewer checkpoints.
    """
    _check_span(span, dynamics.shape[1])
    logs = np.log(dynamics.astype(np.float64) + _TINY)
    changes = np.abs(dynamics[:, 1:] * np.diff(logs, axis=1)).sum(axis=2)  # (n, t - 1)
    spans = np.lib.stride_tricks.sliding_window_view(changes, span - 1, axis=1)  # (n, t - J + 1, J - 1)
    unevenness = np.linalg.norm(spans - spans.mean(axis=2, keepdims=True), axis=2)
    ages = np.arange(unevenness.shape[1])[::-1]
    return np.asarray(unevenness @ (decay * (1.0 - decay) ** ages))


def _check_span(span: int, num_checkpoints: int) -> None:
    if span > num_checkpoints:
        raise SelectionError(
            f"span: must be <= {num_checkpoints}, the checkpoints of the run behind `dynamics`, got {span}; raise "
            "selection.scorers.dynamics.checkpoints"
        )


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
