"""Rules that drop examples, and how what they drop is taken back when too few are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from raybert.errors import SelectionError
from raybert.selection.pool import Pool, Selection
from raybert.selection.strategy import BudgetKind, Strategy


@dataclass(frozen=True)
class Kept:
    """What a filter decided.

    Attributes:
        keep: (n,) bool.
        badness: (n,) float, the lowest of the dropped come back first when too few are left.
        conflicts: as in `Selection`.
    """

    keep: np.ndarray
    badness: np.ndarray
    conflicts: np.ndarray | None = None


class Filter(Strategy):
    """Base of strategies that drop examples by a rule, whatever the budget, and let `then` choose among the rest.

    In another strategy's `pre` only the rule is used.
    """

    added: ClassVar[frozenset[str]] = frozenset({"budget"})

    then: SerializeAsAny[Strategy] | None = Field(None, description="chooses among the rest")
    budget: Literal["auto"] | None = Field(
        None,
        description="auto: all that it keeps is trained on, however many that is, and a random draw of as many stands "
        "beside it; default: `then` chooses the sweep's budget",
    )

    @model_validator(mode="after")
    def _nobody_chooses_among_all(self) -> Filter:
        if self.budget is not None and "then" in self.model_fields_set:
            raise ValueError("then: must be left out with `budget: auto`, which takes all that is kept")
        return self

    def keep(self, pool: Pool) -> Kept:
        """Return which examples stay."""
        raise NotImplementedError

    def all_signals(self) -> frozenset[str]:
        return self.required_signals() | (self.then.all_signals() if self.then is not None else frozenset())

    def spends(self) -> BudgetKind:
        return "none" if self.budget == "auto" else super().spends()

    def takes_by_rule(self) -> bool:
        return self.budget == "auto"

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return a draw of what is kept, dropped examples last, the least bad first: what there is without `then`.

        With `budget: auto` it is all that is kept.

        Raises:
            SelectionError: that is nothing.
        """
        kept = self.keep(pool)
        if self.budget == "auto":
            rows = np.flatnonzero(kept.keep)
            if not len(rows):
                raise nothing_kept(self.title, len(pool))
            return Selection(rows, kept.badness[rows], pool_scores=kept.badness, conflicts=kept.conflicts)
        keys = np.where(kept.keep, pool.draw_keys, pool.tie_keys)
        order = np.lexsort((keys, np.where(kept.keep, -np.inf, kept.badness)))
        fresh = order[~np.isin(order, pool.selected)]
        positions = np.concatenate([pool.selected, fresh[: budget - len(pool.selected)]])
        refilled = int((~kept.keep[positions]).sum())
        return Selection(positions, kept.badness[positions], refilled=refilled, pool_scores=kept.badness)


def nothing_kept(title: str, pool_size: int) -> SelectionError:
    """Return the error of a strategy that is to take all that is kept, where that is nothing."""
    return SelectionError(
        f"{title}: must keep some examples to train on all that it keeps, keeps none of {pool_size:,}; give it other "
        "parameters, or a budget"
    )


def keep_by_all(decisions: Sequence[Kept], pool: Pool) -> Kept:
    """Return what all filters keep; what earlier rounds chose always stays.

    Of what they drop, what fewest filters dropped is least bad, then what they rank lowest.
    """
    keep = np.all([decision.keep for decision in decisions], axis=0)
    keep[pool.selected] = True
    times = np.sum([~decision.keep for decision in decisions], axis=0)
    worst = np.max([_ranks(decision) for decision in decisions], axis=0)
    conflicts = [decision.conflicts for decision in decisions if decision.conflicts is not None]
    return Kept(keep, times + worst, np.concatenate(conflicts) if conflicts else None)


def _ranks(decision: Kept) -> np.ndarray:
    """Return (n,) badness as a number in [0, 1) with the same order, equal for equals; NaN is worst."""
    badness = np.where(np.isnan(decision.badness), np.inf, decision.badness)
    _, inverse = np.unique(badness, return_inverse=True)
    return np.asarray(inverse / (len(badness) + 1.0))


def refill(chosen: Selection, pool: Pool, kept: Kept, budget: int) -> Selection:
    """Append the least bad of what was dropped until the budget is met."""
    missing = budget - len(chosen.positions)
    if missing <= 0:
        return chosen
    dropped = np.flatnonzero(~kept.keep)
    back = dropped[np.lexsort((pool.tie_keys[dropped], kept.badness[dropped]))][:missing]
    weights = chosen.weights
    return replace(
        chosen,
        positions=np.concatenate([chosen.positions, back]),
        scores=np.concatenate([chosen.scores, np.full(len(back), np.nan)]),
        weights=None if weights is None else np.concatenate([weights, np.ones(len(back), np.float32)]),
        refilled=chosen.refilled + len(back),
    )
