"""The comparison of a sweep as a table of words, for every place that shows it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from raybert.analysis.statistics.summary import BETTER, WORSE, best_configurations, verdict_sentences
from raybert.display import Row, Style, TextTable

_DIFFERENCE = 5
"""The column of what a verdict is about."""
_MARKS: dict[str, tuple[str, Style]] = {BETTER: ("+", "good"), WORSE: ("-", "bad")}


def comparison_table(summary: pd.DataFrame, replicates: str) -> TextTable:
    """Return the comparison: strategies by mean test accuracy, at equal budget and steps.

    Accuracy (with the half-width of its 95 % interval over seeds or folds) and macro-F1 are percentages. The cost is
    training plus selection plus the strategy's signals, as if it had computed them alone.

    Args:
        summary: of a sweep.
        replicates: what means are over: `seeds` or `folds`.
    """
    columns = ("strategy", "budget", replicates, "accuracy", "macro-F1", "vs random [95 %]", "cost s")
    best = best_configurations(summary).sort_values("test_accuracy_mean", ascending=False)
    failed = summary[(summary["num_complete"] == 0) & (summary["num_failed"] > 0)]
    rows = [_row(row) for row in best.to_dict("records")]
    rows += [
        Row((str(row["strategy"]), f"{row['budget']:,}", f"0/{row['num_trials']}", "failed"), "bad")
        for row in failed.to_dict("records")
    ]
    return TextTable(columns, tuple(rows))


def comparison_lines(summary: pd.DataFrame) -> list[str]:
    """Return what is to say below the table: what a proxy is, and which differences are significant."""
    lines = verdict_sentences(summary)[-1:]
    if (best_configurations(summary)["role"] == "proxy").any():
        lines.insert(0, "proxy: the model that scored the pool, had one stopped there; it saw the whole pool once.")
    return lines


def _row(row: dict[Any, Any]) -> Row:
    seeds = str(row["num_seeds"])
    if row["folds"] > 1:
        seeds = f"{row['num_folds']} x {seeds}" if row["num_seeds"] > 1 else str(row["num_folds"])
    if row["num_failed"]:
        seeds = f"{seeds} ({row['num_failed']} failed)"
    mark, style = _MARKS.get(row["verdict"], ("", ""))
    cells = (
        str(row["strategy"]),
        f"{row['budget']:,}",
        seeds,
        _percent(row, "test_accuracy"),
        f"{100 * row['test_macro_f1_mean']:.1f}",
        f"{_difference(row)} {mark}".rstrip(),
        f"{row['total_seconds_mean']:.1f}",
    )
    return Row(cells, "dim" if row["role"] == "proxy" else "", ((_DIFFERENCE, style),))


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
