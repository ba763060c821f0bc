"""A strategy as a sweep file composes it: filters before it, a second one after it, and when it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from raybert.config.tasks import EVERY_TASK, Task
from raybert.errors import ConfigError
from raybert.selection.filter import Filter, keep_by_all, nothing_kept, refill
from raybert.selection.passes import REFRESHED, PassRequest
from raybert.selection.pool import Pool, Selection
from raybert.selection.stand_in import StandIn
from raybert.selection.strategy import BudgetKind, Schedule, Strategy
from raybert.training.interface import PassPlan


def _default_schedule(data: Mapping[str, Any]) -> Schedule:
    inner: Strategy = data["inner"]
    return inner.schedules[0]


class Composed(Strategy):
    """A strategy with what is around it; its fields but `inner` are keys of every strategy in the sweep file."""

    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    added: ClassVar[frozenset[str]] = frozenset({"random_start"})

    inner: SerializeAsAny[Strategy]
    schedule: Schedule = Field(default_factory=_default_schedule, description="when the strategy chooses")
    rounds: int = Field(5, ge=1, description="how often, if the schedule is `rounds`")
    random_start: int | float | None = Field(
        None,
        gt=0,
        description="of `rounds`: examples that the first round draws at random, a whole number or a share of the "
        "budget below 1; the others share the rest, and no proxy is trained for what the model in training says; "
        "null: the first round is the strategy's own",
    )
    pre: tuple[SerializeAsAny[Strategy], ...] = Field(
        (), description="filters before it: semdedup, label_errors, h_score, drop_hardest"
    )
    then: SerializeAsAny[Strategy] | None = Field(
        None, description="a second strategy that chooses the budget among what this one leaves"
    )
    candidates: float = Field(3.0, ge=1, description="what this one leaves for `then`, in budgets (default 3)")

    @model_validator(mode="after")
    def _schedule_is_known(self) -> Composed:
        if self.schedule not in self.inner.schedules:
            raise ValueError(f"schedule: must be one of {', '.join(self.inner.schedules)} for '{self.inner.name}'")
        if "rounds" in self.model_fields_set and self.schedule != "rounds":
            raise ValueError(f"rounds: must be left out without `schedule: rounds`, got {self.rounds}")
        if self.schedule == "epoch" and (self.pre or self.then):
            field = "pre" if self.pre else "then"
            raise ValueError(f"{field}: must be left out with the schedule epoch, which decides anew before every pass")
        return self

    @model_validator(mode="after")
    def _start_is_of_rounds(self) -> Composed:
        start = self.random_start
        if start is None:
            return self
        if self.schedule != "rounds" or self.rounds < 2:
            raise ValueError(f"random_start: must be left out without `schedule: rounds` and 2 rounds, got {start}")
        if isinstance(start, float) and start >= 1:
            raise ValueError(f"random_start: must be a whole number >= 1 or a share of the budget below 1, got {start}")
        return self

    @model_validator(mode="after")
    def _warm_up_is_of_passes(self) -> Composed:
        for key in ("warm_up", "refresh"):
            is_given = key in self.inner.model_fields_set and self.inner.schedules[0] != "epoch"
            if is_given and self.schedule != "epoch":
                raise ValueError(f"{key}: must be left out without `schedule: epoch`, got {getattr(self.inner, key)}")
        return self

    @model_validator(mode="after")
    def _filters_drop(self) -> Composed:
        for i, part in enumerate(self.pre):
            if not isinstance(part, Filter | StandIn):
                raise ValueError(
                    f"pre[{i}]: must be a filter (semdedup, label_errors, drop_hardest), got '{part.title}', which "
                    "has no rule for what to drop; to choose in two steps write it first and name the other in `then`"
                )
            for key, remedy in (("then", "`then`"), ("budget", "the budget")):
                if key in part.model_fields_set:
                    raise ValueError(
                        f"pre[{i}].{key}: must be left out, a filter in `pre` only drops; write {remedy} outside"
                    )
        return self

    @model_validator(mode="after")
    def _follower_chooses_the_budget(self) -> Composed:
        follower = self.follower
        if "candidates" in self.model_fields_set and isinstance(self.inner, Filter):
            raise ValueError(f"candidates: must be left out, '{self.inner.name}' leaves all that it does not drop")
        if "candidates" in self.model_fields_set and follower is None:
            raise ValueError(f"candidates: must be left out without `then`, got {self.candidates:g}")
        if follower is None:
            return self
        if self.inner.spends() != "distinct":
            raise ValueError(f"then: must be left out, '{self.inner.name}' leaves no smaller set to choose from")
        if self.schedule == "rounds" and "rounds" not in follower.inner.schedules:
            raise ValueError(
                f"then: must be a strategy that keeps what earlier rounds chose, which '{follower.title}' does not; "
                "leave out `schedule: rounds` or `then`"
            )
        if follower.spends() != "distinct" or follower.schedule != "once":
            raise ValueError(f"then: must choose a fixed number of examples once, which '{follower.title}' does not")
        return self

    @model_validator(mode="after")
    def _nulls_are_one(self) -> Composed:
        nulls = {part.null_inputs() for part in (*self.parts(), *self.inner.parts())} - {None}
        if len(nulls) > 1:
            raise ValueError(f"null_input: must be the same in all parts, got {' and '.join(sorted(map(str, nulls)))}")
        return self

    @property
    def follower(self) -> Composed | None:
        """What chooses among what it leaves: its own `then`, or that of a filter."""
        if isinstance(self.inner, Filter) and self.inner.budget == "auto":
            return None
        then = self.inner.then if isinstance(self.inner, Filter) else self.then
        return None if then is None else compose(then)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.inner.title

    def required_signals(self) -> frozenset[str]:
        return self.inner.required_signals()

    def all_signals(self) -> frozenset[str]:
        """Return the signals that must be there before training: not those that the model in training gives first."""
        if self.schedule == "rounds" and self.random_start is None:
            return self.read_signals()
        if self.schedule == "once" or (self.schedule == "epoch" and self.full_passes() == 0):
            return self.read_signals()
        filters: frozenset[str] = frozenset().union(*(part.all_signals() for part in self.pre))
        return self.read_signals() - (REFRESHED - filters)

    def read_signals(self) -> frozenset[str]:
        """Return the signals that it and what is composed with it read, whoever gives them."""
        return frozenset().union(*(part.all_signals() for part in self.parts()))

    def full_passes(self) -> int:
        return self.inner.full_passes()

    def first_round(self, budget: int) -> int | None:
        """Return how many examples the first round draws at random; None: it does not.

        Raises:
            ConfigError: that is more than the whole budget.
        """
        if self.random_start is None:
            return None
        count = self.random_start if isinstance(self.random_start, int) else max(1, round(self.random_start * budget))
        if count >= budget:
            raise ConfigError(
                f"random_start: must be below the budget ({budget}) of '{self.title}', got {count}; later rounds "
                "choose the rest"
            )
        return count

    def spends(self) -> BudgetKind:
        kind = self.inner.spends()
        is_asked_anew = self.schedule == "epoch" and self.inner.schedules[0] != "epoch"
        return "per_epoch" if is_asked_anew and kind == "distinct" else kind

    def takes(self, num_examples: int) -> int:
        return self.inner.takes(num_examples)

    def takes_by_rule(self) -> bool:
        return self.inner.takes_by_rule() or (bool(self.pre) and self.spends() == "none")

    def plan_pass(self, request: PassRequest) -> PassPlan:
        return self.inner.plan_pass(request)

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return what the strategy chooses together with its filters and its follower.

        What filters drop is taken back, the least bad first, when they leave fewer than the budget; `refilled` counts
        it. What earlier rounds chose is never dropped.

        Args:
            pool: candidates.
            budget: examples in all; strategies of budget kind `none` take all that is kept.
        """
        filters = [part for part in self.pre if isinstance(part, Filter)]
        chooser, by_filter = self._choose_in_two_steps, False
        if isinstance(self.inner, Filter) and self.follower is not None:
            filters, chooser, by_filter = [*filters, self.inner], self.follower.choose, True
        if not filters:
            return chooser(pool, budget)
        decisions = [part.keep(pool) for part in filters]
        kept = keep_by_all(decisions, pool)
        rows = np.flatnonzero(kept.keep)
        if not len(rows) and self.spends() == "none":
            raise nothing_kept(self.title, len(pool))
        if len(rows):
            part = chooser(pool.subset(rows), min(budget, len(rows)))
        else:  # all is dropped, and taken back below
            part = Selection(np.empty(0, np.int64), np.empty(0))
        chosen = _in_whole_pool(part, rows, len(pool))
        if by_filter:  # what the filter itself thinks of every example, if it ranks them
            badness = decisions[-1].badness
            chosen = replace(chosen, pool_scores=badness if np.ptp(badness) > 0 else None)
        if self.spends() != "none":
            chosen = refill(chosen, pool, kept, budget)
        return replace(chosen, conflicts=kept.conflicts)

    def _choose_in_two_steps(self, pool: Pool, budget: int) -> Selection:
        """Return what the strategy chooses, or what its follower does among its candidates."""
        if self.follower is None:
            return self.inner.choose(pool, budget)
        wanted = min(len(pool), max(budget, round(self.candidates * budget)))
        first = self.inner.choose(pool, wanted)
        rows = np.sort(first.positions)
        second = self.follower.choose(pool.subset(rows), budget)
        positions = rows[second.positions]
        taken_back = first.positions[len(first.positions) - first.refilled :]
        refilled = second.refilled + int(np.isin(positions, taken_back).sum())
        return Selection(positions, second.scores, second.weights, refilled, first.pool_scores)


def compose(strategy: Strategy) -> Composed:
    """Return a strategy with what is around it, which is nothing yet where it stands alone."""
    return strategy if isinstance(strategy, Composed) else Composed(inner=strategy)


def _in_whole_pool(part: Selection, rows: np.ndarray, num_examples: int) -> Selection:
    """Return the selection from some rows of a pool as one from the whole of it."""
    pool_scores = None
    if part.pool_scores is not None:
        pool_scores = np.full(num_examples, np.nan)
        pool_scores[rows] = part.pool_scores
    return Selection(rows[part.positions], part.scores, part.weights, part.refilled, pool_scores)


def read_parameter(strategy: Strategy, dotted: str) -> Any:
    """Return a parameter as a sweep file names it: `rounds`, `direction`, `then.balance`; None: there is none."""
    found: Any = strategy
    for key in dotted.split("."):
        if isinstance(found, Strategy):
            composed = compose(found)
            is_around = key in Composed.model_fields and not (key == "then" and isinstance(composed.inner, Filter))
            found = composed if is_around else composed.inner
        found = getattr(found, key, None)
    return found
