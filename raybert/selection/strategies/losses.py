"""Strategies that follow each example's loss while the model trains."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from raybert.config.tasks import EVERY_TASK, LABELS, Task
from raybert.selection.keys import mix_keys
from raybert.selection.losses import cross_entropy
from raybert.selection.passes import PassRequest
from raybert.selection.registry import register
from raybert.selection.strategy import BudgetKind, Schedule, Strategy
from raybert.training.interface import PassPlan


@register
class LossThreshold(Strategy):
    """First pass on everything, later ones on what still has a loss above a threshold.

    Rule: a pass trains on all i with -ln p_y > threshold; the first one on all.

    The losses are those that training itself has recorded, with dropout, when it last trained on an example: they cost
    nothing. They are stale by up to a pass for what the last pass has trained on. What it left out keeps the loss for
    which it was left out: with the rule `absolute` it never comes back, with `quantile` and `mean` only when the limit
    falls below it. `refresh: m` has the whole pool scored by the current model before every m-th pass instead, which
    costs as many forward passes over the pool, and lets forgotten examples return; passes in between repeat the last
    choice.

    Where a run is as long as its steps, passes shrink to a batch, and scoring the pool before each would cost far more
    than training. There `refresh` scores at most `scorings` times, at equal distances in steps.
    """

    name: ClassVar[str] = "loss_threshold"
    tasks: ClassVar[frozenset[Task]] = LABELS
    operations: ClassVar[str] = "O(n log n) for every scoring"
    passes_in_training: ClassVar[str] = "0 (with `refresh: m` one every m passes)"
    budget_kind: ClassVar[BudgetKind] = "none"
    schedules: ClassVar[tuple[Schedule, ...]] = ("epoch",)
    uses_seed: ClassVar[bool] = False
    weakness: ClassVar[str] = (
        "what it leaves out never comes back, forgotten or not, unless `refresh` scores the pool anew"
    )

    rule: Literal["absolute", "quantile", "mean"] = Field(
        "absolute", description="threshold is a loss, a quantile of the pool's losses, or their mean"
    )
    threshold: float = Field(0.5, ge=0, description="loss in nats, or quantile in [0, 1)")
    refresh: int | None = Field(
        None,
        ge=1,
        description="passes between two scorings of the pool by the current model; default: never, the losses of "
        "training itself decide",
    )
    scorings: int = Field(
        10,
        ge=1,
        description="with `refresh`, where a run is as long as its steps: most scorings in a run, evenly over these",
    )
    min_keep: int | None = Field(
        None, ge=1, description="least examples of a pass, those of highest loss; default: one batch"
    )

    @model_validator(mode="after")
    def _quantile_in_range(self) -> LossThreshold:
        if self.rule == "quantile" and self.threshold >= 1:
            raise ValueError(f"threshold: must be in [0, 1) for the rule quantile, got {self.threshold}")
        return self

    def plan_pass(self, request: PassRequest) -> PassPlan:
        pool, previous = request.pool, request.previous
        if request.number == 0:
            return PassPlan(np.arange(len(pool)))
        if previous is not None and request.number > 1 and not self._is_due(request, len(previous.positions)):
            return previous
        if self.refresh is None:
            losses = recorded_losses(request.view.train_losses)
        else:
            losses = cross_entropy(request.view.predict(), pool.answers)
        least = self.min_keep or request.batch_size
        return PassPlan(above_threshold(losses, self._limit(losses), least, pool.tie_keys))

    def _is_due(self, request: PassRequest, previous_size: int) -> bool:
        """Tell whether to choose anew: `refresh` passes are over, and enough steps since the last scoring."""
        if self.refresh is None:
            return True
        if (request.number - 1) % self.refresh:
            return False
        if request.view.passes is not None:
            return True
        stretch = math.ceil(request.view.total_steps / self.scorings)
        # All passes since the last one that could have scored repeated its choice.
        began = request.view.step - self.refresh * math.ceil(previous_size / request.batch_size)
        return request.view.step // stretch > began // stretch

    def _limit(self, losses: np.ndarray) -> float:
        if self.rule == "quantile":
            return float(np.quantile(losses, self.threshold))
        return float(losses[np.isfinite(losses)].mean()) if self.rule == "mean" else self.threshold


@register
class InfoBatch(Strategy):
    """Every pass leaves out some examples under the mean loss, and the others there weigh more; last passes are full.

    Rule: loss under the mean: left out with probability r, else weight n_low / n_kept; after the share delta all.

    Dropping and weighing leaves the expected gradient of a full pass as it is. Of a run that is as long as its passes,
    those that begin after the share delta are full: with 3 passes none is by default. Else the pass is cut there.
    """

    name: ClassVar[str] = "infobatch"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n) for every pass; the losses are those of training"
    budget_kind: ClassVar[BudgetKind] = "none"
    schedules: ClassVar[tuple[Schedule, ...]] = ("epoch",)
    citation: ClassVar[str] = 'Qin et al. 2024, "InfoBatch: Lossless Training Speed Up", arXiv 2303.04947'

    prune: float = Field(0.5, ge=0, lt=1, description="probability r of leaving out an example under the mean loss")
    anneal_from: float = Field(0.875, gt=0, le=1, description="share delta of the run after which passes are full")

    def plan_pass(self, request: PassRequest) -> PassPlan:
        pool, view = request.pool, request.view
        left = view.steps_to(self.anneal_from * view.total_steps, len(pool))
        if request.number == 0 or left <= 0:
            return PassPlan(np.arange(len(pool)))
        keys = mix_keys(pool.draw_keys, request.number)
        positions, weights = infobatch(view.train_losses, self.prune, keys)
        return PassPlan(positions, weights, max_steps=left if view.passes is None else None)


def recorded_losses(losses: np.ndarray) -> np.ndarray:
    """Return the last known losses, (n,) float64; what was never trained on has an infinite one, so that it is kept."""
    return np.where(np.isnan(losses), np.inf, losses.astype(np.float64))


def infobatch(losses: np.ndarray, prune: float, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of a pruned pass and their weights: n_low / n_kept for those under the mean loss, else 1.

    Args:
        losses: (n,) float, the last known; NaN: none, the example is kept.
        prune: probability r of dropping one under the mean.
        keys: (n,) uint64 random keys of this pass; a key below r * 2^64 drops.
    """
    low = losses < np.nanmean(losses, dtype=np.float64) if np.isfinite(losses).any() else np.zeros(len(losses), bool)
    is_dropped = low & (keys.astype(np.float64) < prune * 2.0**64)
    if low.any() and not (low & ~is_dropped).any():
        is_dropped[np.flatnonzero(low)[keys[low].argmax()]] = False
    weights = np.ones(len(losses), np.float32)
    kept_low = low & ~is_dropped
    if kept_low.any():
        weights[kept_low] = low.sum() / kept_low.sum()
    positions = np.flatnonzero(~is_dropped)
    return positions, weights[positions]


def above_threshold(losses: np.ndarray, limit: float, min_keep: int, keys: np.ndarray) -> np.ndarray:
    """Return the positions with a loss above a limit, at least `min_keep` of the highest losses, highest first."""
    ranked = np.lexsort((keys, -losses))
    count = max(int((losses > limit).sum()), min(min_keep, len(losses)))
    return ranked[:count]
