"""What a sweep file asks for, and what it will take."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from raybert.display import Row, TextTable
from raybert.sweeping.estimate.describe import duration
from raybert.sweeping.preview import PlannedSweep
from raybert.terminal.console import Console, say
from raybert.terminal.table import FittingTable

if TYPE_CHECKING:
    from raybert.sweeping.preview_study import PlannedStudy


def print_plan(planned: PlannedSweep) -> None:
    """Print trials, search and data, and where it was asked for what is left will take, or why nobody can tell."""
    Console().print(_plan_table(planned))
    if planned.plan.arms:
        Console().print(_search_table(planned))
    for line in planned.lines():
        say(Console(), line)


def print_planned_study(planned: PlannedStudy) -> None:
    """Print the models of a pretraining file, and where it was asked for what is left of them will take."""
    found = planned.models
    columns = ("model", "words", "sequences", "steps", "word pieces", "left to do", "model size")
    rows = [Row(_model_cells(row)) for row in found.to_dict("records")]
    left, size = found["seconds"].sum(), found["bytes"].sum()
    sums = (f"{found['steps'].sum():,}", f"{found['tokens'].sum():,}")
    whole = (
        f"{len(found)} models",
        "",
        "",
        *sums,
        duration(left) if left else "",
        f"{size / 1e6:,.1f} MB" if size else "",
    )
    table = TextTable(columns, (*rows, Row(whole, "strong")), left=frozenset({0}), spare=(2, 6, 1))
    Console().print(FittingTable(table, gap=1))
    for line in planned.lines():
        say(Console(), line)


def _model_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    left = "" if isnan(row["seconds"]) else duration(row["seconds"])
    return (
        str(row["model"]),
        f"{row['words']:,}",
        f"{row['sequences']:,}",
        *(f"{row[name]:,}" if row["steps"] else "" for name in ("steps", "tokens")),
        "finished" if row["status"] == "complete" else left,
        "" if isnan(row["bytes"]) else f"{row['bytes'] / 1e6:,.1f} MB",
    )


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
