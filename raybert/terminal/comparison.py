"""The comparison of a sweep: the table, what a reader should know, what went wrong, how to go on."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from raybert.analysis.results.estimates import estimate_line
from raybert.analysis.results.notes import selection_notes
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.summary import BETTER, WORSE, best_configurations, verdict_sentences
from raybert.terminal.console import command_again, relative, say
from raybert.terminal.failures import print_failures
from raybert.terminal.search import search_table

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


def print_comparison(results: Sweep) -> None:
    """Print the table, and what a reader of it should know."""
    console = Console()
    console.print(summary_table(results))
    if results.search is not None and not results.search.best.empty:
        console.print(search_table(results.search))
    for note in selection_notes(results):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def print_results(results: Sweep) -> None:
    """Print the comparison of what has just been run, then where it is, then what went wrong and how to go on."""
    console, outcome = Console(), results.outcome
    assert outcome is not None
    print_comparison(results)
    for name in ("accuracy.png", "cost.png", "overlap.png", "samples_per_epoch.png"):
        plot = outcome.folder / "plots" / name
        if plot.exists():
            console.print(f"plot: {relative(plot)}", highlight=False, soft_wrap=True)
    console.print(f"results: {relative(outcome.folder)}", highlight=False, soft_wrap=True)
    line = estimate_line(results)
    if line is not None:
        say(console, line, None)
    print_failures(results)
    if outcome.num_failed:
        console.print(f"run the failed trials again:  {command_again()} --retry failed", markup=False, soft_wrap=True)
    if outcome.num_pending:
        console.print(
            f"{outcome.num_pending} trials are left; continue with:  {command_again()}",
            markup=False,
            soft_wrap=True,
        )
