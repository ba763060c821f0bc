"""Budgets with fewer examples than there are classes: allowed, and said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import PoolFacts, RunSpec


def small_budget_notes(trials: Iterable[RunSpec], pools: Mapping[str, PoolFacts]) -> list[str]:
    """Return a note for every budget that cannot hold an example of each class.

    Args:
        trials: of the comparison.
        pools: facts of their data, by `data_key`.
    """
    small = {
        (spec.budget.count, pools[spec.data_key].num_classes)
        for spec in trials
        if spec.role == TRIAL and spec.budget is not None and spec.budget.count < pools[spec.data_key].num_classes
    }
    return [
        f"selection.budget: {count:,} examples are fewer than the {num_classes:,} classes: at least "
        f"{num_classes - count:,} {'class is' if num_classes - count == 1 else 'classes are'} never trained on "
        "(the report lists them)"
        for count, num_classes in sorted(small)
    ]
