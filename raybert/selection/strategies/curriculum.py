"""Curriculum: from the easiest examples to all of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from raybert.config.tasks import EVERY_TASK, Task
from raybert.selection.choose import select_from_pool
from raybert.selection.compose import compose
from raybert.selection.passes import PassRequest
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import WHOLE_POOL, register
from raybert.selection.strategies.baselines import Random
from raybert.selection.strategies.proxies import El2n
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import BudgetKind, Schedule, Strategy
from raybert.training.interface import PassPlan


@register
class Curriculum(Strategy):
    """Every pass takes the easiest part of a selection (or of the pool), growing to all of it in the last pass.

    Rule: a pass takes the easiest c of each class, t = share of the run done; sqrt: c = sqrt(c0^2 + (1 - c0^2) t).

    With `score: losses` the order is that of training's own losses, anew before every pass, and no proxy is trained.
    The first pass then takes all, so that all have one. What a pass leaves out keeps its last loss.

    The last pass takes all. Of a run that is as long as its passes that is the last of them; else the pass before it is
    cut where a whole one still fits.

    With `percentiles: [0.2, 0.5, 1]` the parts are given pass by pass, in place of `growth` and `start`: the easiest
    fifth of each class, its easier half, then all. The last value holds for all passes that follow, and no pass is cut.
    With `score: losses` an example without a loss counts as the hardest: a list that begins with 1 gives all one.
    """

    name: ClassVar[str] = "curriculum"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n) for every pass, and what the strategy in `of` takes once"
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("epoch",)
    added: ClassVar[frozenset[str]] = frozenset({"percentiles"})
    citation: ClassVar[str] = 'Platanios et al. 2019, "Competence-based Curriculum Learning", arXiv 1903.09848'

    of: SerializeAsAny[Strategy] | Literal["pool"] = Field(
        Random(), description="strategy that chooses the budget, or `pool`: all examples"
    )
    score: SerializeAsAny[RankedStrategy] | Literal["losses"] = Field(
        El2n(), description="strategy whose score says what is easy, or `losses`: those of training itself"
    )
    growth: Literal["sqrt", "linear"] = Field("sqrt", description="of the part over the share of the run that is done")
    start: float = Field(0.25, gt=0, le=1, description="part of the first pass")
    percentiles: tuple[float, ...] | None = Field(
        None,
        description="part of each class that is open in pass 0, 1, 2, ..., each in (0, 1]; the last one holds for all "
        "that follow; null: by `growth` and `start`",
    )

    @model_validator(mode="after")
    def _percentiles_are_parts(self) -> Curriculum:
        if self.percentiles is None:
            return self
        if not self.percentiles or not all(0 < part <= 1 for part in self.percentiles):
            raise ValueError(f"percentiles: must be parts in (0, 1], one for each pass, got {list(self.percentiles)}")
        for key in ("growth", "start"):
            if key in self.model_fields_set:
                raise ValueError(f"{key}: must be left out with `percentiles`, which says the part of every pass")
        return self

    @model_validator(mode="after")
    def _base_is_fixed(self) -> Curriculum:
        if isinstance(self.of, Strategy) and (self.of.spends() != "distinct" or compose(self.of).schedule != "once"):
            raise ValueError(f"of: must choose a fixed number of examples once, or be `pool`, got '{self.of.title}'")
        return self

    def required_signals(self) -> frozenset[str]:
        base = self.of.all_signals() if isinstance(self.of, Strategy) else frozenset()
        return base if isinstance(self.score, str) else base | self.score.required_signals()

    def spends(self) -> BudgetKind:
        return "none" if self.of == WHOLE_POOL else "distinct"

    def choose(self, pool: Pool, budget: int) -> Selection:
        if isinstance(self.of, Strategy):
            return select_from_pool(self.of, pool, budget)
        return Selection(np.arange(len(pool)), np.full(len(pool), np.nan))

    def plan_pass(self, request: PassRequest) -> PassPlan:
        view, positions = request.view, request.base().positions
        if self.percentiles is not None:
            part = self.percentiles[min(request.number, len(self.percentiles) - 1)]
            return self._easiest(request, positions, part)
        full_pass = math.ceil(len(positions) / request.batch_size)
        left = view.steps_to(view.total_steps, len(positions))
        if left <= full_pass:
            return PassPlan(positions)
        cut = left - full_pass if view.passes is None else None
        if isinstance(self.score, str) and request.number == 0:
            return PassPlan(positions, max_steps=cut)
        part = competence(view.position / view.total_steps, self.start, self.growth)
        return replace(self._easiest(request, positions, part), max_steps=cut, record={})

    def _easiest(self, request: PassRequest, positions: np.ndarray, part: float) -> PassPlan:
        """Return the easiest part of each class among some positions, with the scores that say so."""
        scores = request.view.train_losses if isinstance(self.score, str) else self.score.scores(request.pool)
        scores = scores[positions]
        keys = request.pool.tie_keys[positions]
        easiest = easiest_part(scores, request.pool.labels[positions], part, keys)
        return PassPlan(positions[easiest], record={"scores": scores[easiest].astype(np.float64)})


def competence(progress: float, start: float, growth: Any) -> float:
    """Return the part c of the ranking that is trained on: from `start` at progress 0 to 1 at progress 1.

    linear: c0 + (1 - c0) t; sqrt: sqrt(c0^2 + (1 - c0^2) t).
    """
    if growth == "linear":
        return start + (1.0 - start) * progress
    return math.sqrt(start**2 + (1.0 - start**2) * progress)


def easiest_part(scores: np.ndarray, labels: np.ndarray, part: float, keys: np.ndarray) -> np.ndarray:
    """Return the rows of the easiest part of every class, at least one of each, in pool order.

    Args:
        scores: (m,) float, higher = harder; NaN is hardest.
        labels: (m,) class numbers.
        part: in (0, 1].
        keys: (m,) uint64, ascending keys break ties.
    """
    chosen = []
    for group in np.unique(labels):
        rows = np.flatnonzero(labels == group)
        ranked = rows[np.lexsort((keys[rows], np.where(np.isnan(scores[rows]), np.inf, scores[rows])))]
        chosen.append(ranked[: max(1, math.ceil(part * len(rows)))])
    return np.sort(np.concatenate(chosen))
