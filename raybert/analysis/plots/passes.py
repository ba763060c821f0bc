"""From pass to pass: losses, accuracies, learning rate and examples of every strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raybert.analysis.plots.lines import (
    CURVE,
    best_ends,
    curve_entries,
    curve_styles,
    draw_curve,
    looks,
    panels_of,
    what_bands_are,
)
from raybert.analysis.plots.style import (
    in_two_lines,
    number_in_percent,
    scale_counts,
    short_counts,
    tidy,
)
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.scales import Scale
from raybert.config.tasks import REGRESSION
from raybert.tables import own_metric_columns

_PANEL = (2.75, 2.1)
"""Inches of a panel, with the room for its numbers."""
_MARGINS = {"left": 0.75, "right": 0.25, "top": 0.85, "bottom": 0.15}
_LINE = 0.19
"""Inches of a line of the legend."""
_LETTER = 0.075


def draw_per_pass(sweep: Sweep) -> Figure:
    """Return losses, accuracies, learning rate and examples per pass: a row of panels per budget and point of the grid.

    Lines are means over seeds; bands are 95 % intervals, of two seeds both values. A strategy looks the same in the
    whole figure; with many the controls and those that end best are in colour, the others grey.
    """
    table = sweep.per_pass[sweep.per_pass["role"] == "trial"]
    rows = list(panels_of(sweep, table))
    columns = _columns(sweep)
    look = looks(best_ends(rows, sweep.metric), curve_styles(sweep))
    figure, grid = _grid_of_panels(max(1, len(rows)), len(columns), curve_entries(look))
    for r, (title, panel) in enumerate(rows):
        grid[r, 0].set_ylabel(in_two_lines(title, 26), fontsize=8)
        curves = [(panel[panel[CURVE] == name], style) for name, style in look.items()]
        for c, (column, words) in enumerate(columns.items()):
            for own, style in curves:
                if len(own):
                    draw_curve(grid[r, c], own, "pass", column, style)
            grid[r, c].set_title(words if r == 0 else "", fontsize=9, loc="left")
    _finish(grid, columns, "pass over what the strategy chose")
    _say(figure, "What happens from pass to pass?", table, sweep.replicates)
    return figure


def _columns(sweep: Sweep) -> dict[str, str]:
    """Return the quantities of the panels that were measured, and their words."""
    metric = sweep.metric
    unit = "" if sweep.task == REGRESSION else " (nat)"
    wanted = {
        "train_loss": f"training loss{unit}",
        "validation_loss": f"validation loss{unit}",
        "train_accuracy": "training accuracy",
        "validation_accuracy": "validation accuracy",
        f"validation_{metric}": f"validation {Scale(metric).words}",
        **{
            name: f"validation {Scale(name.partition('_')[2]).words}"
            for name in own_metric_columns(sweep.evaluations, "validation")
        },
        "learning_rate": "learning rate",
        "samples": "examples in the pass",
    }
    if metric == "loss":
        wanted["validation_loss"] = f"validation loss{unit}"
    known = sweep.per_pass
    return {
        name: words
        for name, words in wanted.items()
        if f"{name}_mean" in known and (known[f"{name}_mean"].notna().any() or known.empty)
    }


def _grid_of_panels(rows: int, columns: int, entries: Sequence[Line2D]) -> tuple[Figure, np.ndarray]:
    """Return a figure with panels at places in inches, which no layout engine has to find: it would take seconds.

    Args:
        rows: of panels.
        columns: of panels.
        entries: of the legend below.
    """
    width = _MARGINS["left"] + columns * _PANEL[0] + _MARGINS["right"]
    longest = max((len(str(entry.get_label())) for entry in entries), default=0) * _LETTER + 0.6
    per_line = max(1, min(len(entries) or 1, int(width / longest)))
    legend = _LINE * -(-len(entries) // per_line) + 0.1
    height = _MARGINS["top"] + rows * _PANEL[1] + _MARGINS["bottom"] + legend
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False, sharey="col")
    inner = (_PANEL[0] - 0.6, _PANEL[1] - 0.45)
    for r in range(rows):
        for c in range(columns):
            left = _MARGINS["left"] + c * _PANEL[0]
            bottom = height - _MARGINS["top"] - r * _PANEL[1] - inner[1]
            grid[r, c].set_position((left / width, bottom / height, inner[0] / width, inner[1] / height))
    if entries:
        figure.legend(
            handles=list(entries),
            loc="lower center",
            ncols=per_line,
            frameon=False,
            fontsize=8,
            bbox_to_anchor=(0.5, 0.0),
            borderaxespad=0.2,
        )
    return figure, grid


def _finish(grid: np.ndarray, columns: Mapping[str, str], x_words: str) -> None:
    for axes in grid.flat:
        tidy(axes, grid="y")
        axes.tick_params(labelsize=7.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        short_counts(axes.xaxis)
    for c, column in enumerate(columns):
        first = grid[0, c]
        metric = column.partition("_")[2]
        if column == "samples":
            scale_counts(first)
        elif column == "learning_rate":
            first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
            first.set_ylim(bottom=0)
        elif Scale(metric).is_percent:
            low, high = first.get_ylim()
            first.set_ylim(max(low, 0.0), min(high, 1.0))
            for axes in grid[:, c]:
                number_in_percent(axes.yaxis)
        if column in ("learning_rate", "samples"):
            for axes in grid[1:, c]:
                axes.yaxis.set_major_formatter(first.yaxis.get_major_formatter())
    for axes in grid[-1]:
        axes.set_xlabel(x_words, fontsize=7.5)


def _say(figure: Figure, title: str, table: pd.DataFrame, replicates: str) -> None:
    """Write the title, and what lines and bands are."""
    words = what_bands_are(table, replicates)
    width, height = figure.get_size_inches()
    left = _MARGINS["left"] / width
    figure.text(left, 1 - 0.22 / height, title, fontsize=11, va="center")
    figure.text(left, 1 - 0.42 / height, words, fontsize=8, va="center", color="#444444")
