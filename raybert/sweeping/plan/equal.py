"""What the trials of a sweep have in common: optimizer steps, passes, or examples (`sweep.equal`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raybert.config import RaybertConfig
from raybert.selection.compose import Composed, compose
from raybert.selection.strategies import All
from raybert.selection.strategy import Strategy

Equal = Literal["steps", "passes", "examples"]


@dataclass(frozen=True)
class PlannedLength:
    """How long a run is.

    Attributes:
        total_steps: T.
        passes: it ends after so many, and T is the length of its schedule; None: it does not.
        examples: it ends after so many, likewise.
    """

    total_steps: int
    passes: float | None = None
    examples: int | None = None


def plan_length(strategy: Strategy, config: RaybertConfig, num_chosen: int, base: int, pass_size: int) -> PlannedLength:
    """Return how long the run of a strategy is.

    A strategy whose passes are all as large as the plan says sees the same in so many passes, or examples, as in their
    steps: its run is planned by steps, and is the same run.

    Args:
        strategy: of the run.
        config: with `train` and `sweep.equal`.
        num_chosen: its budget, or without one the pool that epochs refer to.
        base: the pool that epochs refer to.
        pass_size: its budget, or without one its own pool.
    """
    length, batch_size = config.train.length, config.train.batch_size
    composed = compose(strategy)
    steps = PlannedLength(length.resolve(num_chosen, base, batch_size))
    equal = equal_of(composed, config)
    if equal == "passes":
        nominal = max(1, length.most_steps(num_chosen, batch_size))
        return PlannedLength(nominal) if _is_even(composed) else PlannedLength(nominal, passes=length.num_epochs)
    if equal == "examples" and not _is_even(composed):
        seen = examples_in_steps(steps.total_steps, pass_size, batch_size)
        return PlannedLength(steps.total_steps, examples=seen)
    return steps


def equal_of(strategy: Composed, config: RaybertConfig) -> Equal:
    """Return what a strategy's run has in common with those that it is compared with; `auto` depends on its kind."""
    equal = config.sweep.equal
    if equal != "auto":
        return equal
    plans_passes = strategy.schedule == "epoch" and strategy.spends() == "none"
    return "passes" if plans_passes and config.train.length.steps is None else "steps"


def examples_in_steps(steps: int, pass_size: int, batch_size: int) -> int:
    """Return how many examples steps of passes of one size see: the last batch of a pass is short where it must be."""
    passes, rest = divmod(steps, -(-pass_size // batch_size))
    return passes * pass_size + min(rest * batch_size, pass_size)


def _is_even(strategy: Composed) -> bool:
    """Tell whether all passes of a strategy are as large as its budget, or as the pool."""
    if strategy.schedule == "epoch":
        return strategy.spends() == "per_epoch"
    if strategy.schedule == "rounds":
        return strategy.rounds == 1
    return strategy.spends() != "none" or (isinstance(strategy.inner, All) and not strategy.pre)
