"""What a sweep file asks for, and what it will take."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from raybert.sweeping.preview import PlannedSweep
from raybert.terminal.console import say


def print_plan(planned: PlannedSweep) -> None:
    """Print trials, search and data, and where it was asked for what is left will take, or why nobody can tell."""
    Console().print(_plan_table(planned))
    if planned.plan.arms:
        Console().print(_search_table(planned))
    for line in planned.lines():
        say(Console(), line)


def _plan_table(planned: PlannedSweep) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("strategy", "budget", "steps", "trials", "examples trained on", "signals"):
        table.add_column(column, justify="left" if column in ("strategy", "signals") else "right")
    rows = planned.table
    for label, budget, steps, count, seen, signals in rows.itertuples(index=False, name=None):
        table.add_row(label, f"{budget:,}", f"{steps:,}", str(count), f"{seen:,}", signals)
    total, seen = rows["num_trials"].sum(), rows["examples_seen"].sum()
    table.add_row("total", "", "", str(total), f"{seen:,}", "", style="bold")
    return table


def _search_table(planned: PlannedSweep) -> Table:
    """Return a row per arm: what is searched before the trials above, each run finished."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("search", "suggestions", "seeds", "steps", "examples trained on", "keys"):
        table.add_column(column, justify="left" if column in ("search", "keys") else "right")
    rows = planned.search
    for name, *counts, num_keys in rows.itertuples(index=False, name=None):
        table.add_row(name, *(f"{count:,}" for count in counts), str(num_keys))
    runs, seen = rows["num_suggestions"].sum(), rows["examples_seen"].sum()
    table.add_row("at most", f"{runs:,}", "", "", f"{seen:,}", "", style="bold")
    return table
