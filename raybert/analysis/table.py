"""The comparison as a table for the terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.summary import BETTER, WORSE, best_configurations, verdict_sentences

_MARKS = {BETTER: ("+", "green"), WORSE: ("-", "red")}


def summary_table(sweep: Sweep) -> Group:
    """Return the comparison: strategies by mean test accuracy, at equal budget and steps, then notes.

    Accuracy (with the half-width of its 95 % interval over seeds or folds) and macro-F1 are percentages. The cost is
    training plus selection plus the strategy's signals, as if it had computed them alone.
    """
    best = best_configurations(sweep.summary)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("strategy", overflow="fold", min_width=18)
    for column in ("budget", sweep.replicates, "accuracy", "macro-F1", "vs random [95 %]", "cost s"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in best.sort_values("test_accuracy_mean", ascending=False).to_dict("records"):
        table.add_row(*_cells(row), style="dim" if row["role"] == "proxy" else None)
    failed = sweep.summary[sweep.summary["num_complete"] == 0]
    for row in failed[failed["num_failed"] > 0].to_dict("records"):
        table.add_row(str(row["strategy"]), f"{row['budget']:,}", f"0/{row['num_trials']}", "failed", style="red")
    lines = [*verdict_sentences(sweep.summary)[-1:], *(f"note: {note}" for note in sweep.notes)]
    if (best["role"] == "proxy").any():
        lines.insert(0, "proxy: the model that scored the pool, had one stopped there; it saw the whole pool once.")
    return Group(table, *(Text(line, style="dim") for line in lines))


def _cells(row: dict[Any, Any]) -> list[Any]:
    seeds = str(row["num_seeds"])
    if row["folds"] > 1:
        seeds = f"{row['num_folds']} x {seeds}" if row["num_seeds"] > 1 else str(row["num_folds"])
    if row["num_failed"]:
        seeds = f"{seeds} ({row['num_failed']} failed)"
    mark, style = _MARKS.get(row["verdict"], ("", ""))
    return [
        str(row["strategy"]),
        f"{row['budget']:,}",
        seeds,
        _percent(row, "test_accuracy"),
        f"{100 * row['test_macro_f1_mean']:.1f}",
        Text(f"{_difference(row)} {mark}".rstrip(), style=style),
        f"{row['total_seconds_mean']:.1f}",
    ]


def _percent(row: dict[Any, Any], metric: str) -> str:
    mean, low, high = (row[f"{metric}{suffix}"] for suffix in ("_mean", "_low", "_high"))
    half = (high - low) / 2
    return f"{100 * mean:.1f}" if math.isnan(half) else f"{100 * mean:.1f} ±{100 * half:.1f}"


def _difference(row: dict[Any, Any]) -> str:
    mean, low, high = (row[f"test_accuracy_vs_random{suffix}"] for suffix in ("", "_low", "_high"))
    if math.isnan(mean):
        return ""
    interval = "" if math.isnan(low) else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * mean:+.1f}{interval}"
