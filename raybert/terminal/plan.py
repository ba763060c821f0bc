"""What a sweep file asks for, and what it will take."""

from __future__ import annotations

from raybert.display import Row, TextTable
from raybert.sweeping.preview import PlannedSweep
from raybert.terminal.console import Console, say
from raybert.terminal.table import FittingTable


def print_plan(planned: PlannedSweep) -> None:
    """Print trials, search and data, and where it was asked for what is left will take, or why nobody can tell."""
    Console().print(_plan_table(planned))
    if planned.plan.arms:
        Console().print(_search_table(planned))
    for line in planned.lines():
        say(Console(), line)


def _plan_table(planned: PlannedSweep) -> FittingTable:
    columns = ("strategy", "budget", "steps", "trials", "examples trained on", "signals")
    found = planned.table
    rows = [
        Row((label, f"{budget:,}", f"{steps:,}", str(count), f"{seen:,}", signals))
        for label, budget, steps, count, seen, signals in found.itertuples(index=False, name=None)
    ]
    total, seen = found["num_trials"].sum(), found["examples_seen"].sum()
    rows.append(Row(("total", "", "", str(total), f"{seen:,}", ""), "strong"))
    return FittingTable(TextTable(columns, tuple(rows), left=frozenset({0, 5}), spare=(4, 5, 2, 1)), gap=1)


def _search_table(planned: PlannedSweep) -> FittingTable:
    """Return a row per arm: what is searched before the trials above, each run finished."""
    columns = ("search", "suggestions", "seeds", "steps", "examples trained on", "keys")
    found = planned.search
    rows = [
        Row((name, *(f"{count:,}" for count in counts), str(num_keys)))
        for name, *counts, num_keys in found.itertuples(index=False, name=None)
    ]
    runs, seen = found["num_suggestions"].sum(), found["examples_seen"].sum()
    rows.append(Row(("at most", f"{runs:,}", "", "", f"{seen:,}", ""), "strong"))
    return FittingTable(TextTable(columns, tuple(rows), left=frozenset({0, 5}), spare=(4, 5, 3, 2)), gap=1)
