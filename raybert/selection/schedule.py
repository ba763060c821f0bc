"""When a strategy is asked: once before training, in rounds of a growing budget, or before every pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from raybert.selection.choose import check_batches, check_positions, select_from_pool
from raybert.selection.compose import Composed, compose
from raybert.selection.passes import PassRequest, refresh_signals
from raybert.selection.pool import Pool, Selection
from raybert.selection.strategies.baselines import Random
from raybert.selection.strategy import Strategy
from raybert.training.interface import FixedPasses, PassPlan, PassPlanner, PoolView

_ROUNDING = 1e-9
"""What a position may be off by, where it is a sum of shares of passes."""


def make_pass_planner(
    strategy: Strategy,
    pool: Pool,
    budget: int,
    *,
    total_steps: int,
    batch_size: int,
    proxy_pooling: Literal["mean", "cls"] | None = None,
) -> tuple[PassPlanner, Selection | None]:
    """Return what the training loop asks before every pass, and the selection if it is made now.

    Args:
        strategy: with its schedule.
        pool: candidates and signals.
        budget: examples.
        total_steps: T.
        batch_size: examples per optimizer step.
        proxy_pooling: of the embeddings, where they are a proxy's; None: they are the frozen encoder's.

    Raises:
        SelectionError: the strategy returned something that is not a selection.
    """
    composed = compose(strategy)
    if composed.schedule == "epoch":
        return EveryPassSchedule(composed, pool, budget, batch_size), None
    if composed.schedule == "rounds" and composed.rounds > 1:
        return RoundSchedule(composed, pool, budget, total_steps, proxy_pooling), None
    selection = select_from_pool(strategy, pool, budget)
    return FixedPasses(selection.positions, selection.weights), selection


@dataclass(frozen=True)
class EveryPassSchedule:
    """Asks the strategy before every pass."""

    strategy: Composed
    pool: Pool
    budget: int
    batch_size: int

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView) -> PassPlan:
        """Return what the strategy wants this pass to train on."""
        request = PassRequest(self.pool, self.budget, number, previous, view, self.batch_size, self._base)
        plan = self.strategy.plan_pass(request)
        expected = self.budget if self.strategy.spends() == "per_epoch" else None
        if number < self.strategy.full_passes():
            expected = len(self.pool)
        if plan.batches is not None:
            check_batches(self.strategy.title, plan.batches, len(self.pool), self.batch_size)
        check_positions(self.strategy.title, plan.positions, len(self.pool), expected)
        return plan

    def _base(self) -> Selection:
        return self._chosen_before_training

    @cached_property
    def _chosen_before_training(self) -> Selection:
        return select_from_pool(self.strategy, self.pool, self.budget)


@dataclass(frozen=True)
class RoundSchedule:
    """Spends the budget over R rounds of T/R steps: the current model re-scores, the selected stay.

    Round 1 is the `once` selection of round(k/R) with the shared signals, or with `random_start` a draw. Which end of a
    ranking is kept is decided by the whole budget k: a round must not take back what the one before was after.
    """

    strategy: Composed
    pool: Pool
    budget: int
    total_steps: int
    proxy_pooling: Literal["mean", "cls"] | None = None

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView) -> PassPlan:
        """Return all that is selected so far, up to the end of the current round."""
        ends = round_ends(self.total_steps, self.strategy.rounds)
        current = int(np.searchsorted(ends, view.position + _ROUNDING, side="right"))
        start = self.strategy.first_round(self.budget)
        target = round_targets(self.budget, self.strategy.rounds, start)[current]
        positions = previous.positions if previous is not None else np.empty(0, np.int64)
        weights = previous.weights if previous is not None else None
        chosen = None
        if len(positions) < target:
            # A generator per round: what a continued trial draws must not depend on the rounds it did not repeat.
            pool = replace(self.pool, selected=positions)
            if current > 0:
                seed = int(self.pool.draw_keys.min() >> np.uint64(1))
                pool = replace(pool, generator=np.random.default_rng([seed, current]))
            strategy = self.strategy
            if current == 0 and start is not None:
                drawn = {"inner": Random(), "then": None, "schedule": "once", "random_start": None}
                strategy = strategy.model_copy(update=drawn)
            elif previous is not None:
                pool = refresh_signals(pool, view, strategy.read_signals(), self.proxy_pooling)
            chosen = select_from_pool(strategy, pool, target, final_budget=self.budget)
            positions, weights = chosen.positions, chosen.weights
        steps = max(1, view.steps_to(int(ends[current]), len(positions)))
        return PassPlan(positions, weights, steps, record=_record(chosen, current) if chosen else {})


def _record(chosen: Selection, round_number: int) -> dict[str, np.ndarray]:
    """Return what is known of a round's choice besides its positions."""
    record = {"round": np.array(round_number), "scores": chosen.scores, "refilled": np.array(chosen.refilled)}
    if chosen.pool_scores is not None:
        record["pool_scores"] = chosen.pool_scores
    if chosen.conflicts is not None:
        record["conflicts"] = chosen.conflicts
    return record


def round_targets(budget: int, rounds: int, start: int | None = None) -> list[int]:
    """Return how many examples are selected in all after round 1..R: round(k r / R), at least 1.

    Args:
        budget: k.
        rounds: R; with `start` two at least.
        start: of the first round, where that has a size of its own: s, then s + round((k - s) r / (R - 1)).
    """
    if start is not None:
        return [start + round((budget - start) * r / (rounds - 1)) for r in range(rounds)]
    return [max(1, round(budget * (r + 1) / rounds)) for r in range(rounds)]


def round_ends(total_steps: int, rounds: int) -> np.ndarray:
    """Return the optimizer steps done at the end of round 1..R."""
    return np.array([round(total_steps * (r + 1) / rounds) for r in range(rounds)])
