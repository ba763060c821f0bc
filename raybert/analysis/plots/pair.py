"""Two strategies beside each other while they train: both, and below them the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from raybert.analysis.plots.lines import draw_curve, what_bands_are
from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.strategy_styles import StrategyStyle, blend, styles_of
from raybert.analysis.plots.style import (
    GREY,
    WHOLE_POOL,
    number_in_percent,
    scale_axis,
    scale_counts,
    short_counts,
    short_name,
    tidy,
)
from raybert.analysis.results.pair import Pair
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.pair_differences import BASELINE_KEY
from raybert.analysis.statistics.scales import Scale
from raybert.config import is_metric
from raybert.config.tasks import REGRESSION

MOST_ROWS = 6
"""Pairs of configurations (budgets, points of the grid) in one picture."""
_SIZE = 8.0
_WIDTH, _HEIGHT, _LOWER = 2.15, 1.5, 0.85
"""Inches of a panel; height of those with a difference."""
_LEFT, _BESIDE, _ABOVE, _BETWEEN, _FOOT = 0.8, 0.6, 0.5, 0.14, 0.5
_KEY_LINE = 0.26


def draw_pair(sweep: Sweep, pair: Pair) -> Figure:
    """Return a pair beside each other, against the examples that they have seen: two rows per pair of configurations.

    The upper panels are means with bands over seeds; the lower ones are means of the paired difference, strategy -
    baseline, with its 95 % interval (of two seeds both values). Of more than six pairs of configurations those with the
    best means on test are drawn.

    Args:
        sweep: the results.
        pair: of `Sweep.pair`.
    """
    rows = _shown(pair)
    looks = _looks(sweep, pair)
    columns = _columns(sweep, rows)
    tables = [_curves_of(sweep, row) for row in rows.to_dict("records")]
    said = dict(zip(pair.comparisons.index, pair.sentences, strict=True))
    sentences = [short_name(said[row], 140) for row in rows.index]
    title = f"{short_name(pair.strategy, 60)} beside {short_name(pair.baseline, 60)}"
    lines = _lines(sweep, pair, pd.concat([table for both in tables for table in both]), len(rows))
    figure, grid = _places(title, lines, sentences, len(columns))
    for r, (row, both) in enumerate(zip(rows.to_dict("records"), tables, strict=True)):
        gaps = pair.curves[(pair.curves[KEY] == row[KEY]) & (pair.curves[BASELINE_KEY] == row[BASELINE_KEY])]
        for c, (column, words) in enumerate(columns.items()):
            upper, lower = grid[2 * r][c], grid[2 * r + 1][c]
            for table, look in zip(both, looks, strict=True):
                draw_curve(upper, table, "examples_seen_mean", column, look)
            upper.set_title(words, fontsize=_SIZE + 0.5, loc="left")
            own = gaps[gaps["quantity"] == column]
            _draw_difference(lower, own, looks[1]["color"])
            _number(upper, lower, column, is_flat=not own["difference"].abs().max() > 0)
    for c in range(len(columns)):
        grid[-1][c].set_xlabel("examples seen (repetitions included)", fontsize=_SIZE)
    for lower in (grid[2 * r + 1][0] for r in range(len(rows))):
        lower.set_ylabel("difference", fontsize=_SIZE)
    _write_key(figure, pair, looks)
    return figure


def _shown(pair: Pair) -> pd.DataFrame:
    """Return the pairs of configurations that are drawn, in the order of the table."""
    rows = pair.comparisons
    if len(rows) <= MOST_ROWS:
        return rows
    gain = Scale(str(rows["metric"].iloc[0])).sign * rows["mean"]
    return rows.loc[sorted(gain.sort_values(ascending=False, kind="stable").index[:MOST_ROWS])]


def _looks(sweep: Sweep, pair: Pair) -> list[dict[str, Any]]:
    """Return how baseline and strategy are drawn; two configurations of one strategy: the first pale and dashed."""
    styles = styles_of(sweep)
    first = pair.comparisons.iloc[0]
    beside, own = styles[str(first["baseline"])], styles[str(first["strategy"])]
    if beside == own:
        beside = StrategyStyle(blend(own.colour, 0.5), "o" if own.marker != "o" else "s", (0, (4, 1.6)))
    return [{**style.point(size=4.5), **style.line(linewidth=1.4)} for style in (beside, own)]


def _curves_of(sweep: Sweep, row: Mapping[Any, Any]) -> list[pd.DataFrame]:
    return [sweep.per_pass[sweep.per_pass[KEY] == row[key]] for key in (BASELINE_KEY, KEY)]


def _columns(sweep: Sweep, rows: pd.DataFrame) -> dict[str, str]:
    metric = str(rows["metric"].iloc[0])
    unit = "" if sweep.task == REGRESSION else " (nat)"
    wanted = {
        f"validation_{metric}": f"validation {Scale(metric).words}",
        "validation_loss": f"validation loss{unit}",
        "train_loss": f"training loss{unit}",
        "samples": "examples in the pass",
    }
    return {name: words for name, words in wanted.items() if f"{name}_mean" in sweep.per_pass}


def _lines(sweep: Sweep, pair: Pair, shown: pd.DataFrame, number: int) -> list[str]:
    """Return what is drawn, and what is not."""
    most = int(shown["num_replicates"].max()) if len(shown) else 0
    words = what_bands_are(shown, sweep.replicates)
    gap = "below: paired difference, strategy - baseline"
    if most >= FEWEST:
        gap += ", with its 95 % interval at each place, not adjusted"
    elif most == FEWEST - 1:
        gap += f", of both {sweep.replicates}"
    lines = [f"{words}; {gap}"]
    if pair.curves["is_interpolated"].any():
        lines.append(
            "evaluations of the two stand at other numbers of examples: differences on straight lines between them"
        )
    if number < len(pair.comparisons):
        lines.append(
            f"{number} of {len(pair.comparisons)} pairs of configurations: those best on test; tables have all"
        )
    return [*lines, *pair.notes]


def _places(
    title: str, lines: Sequence[str], sentences: Sequence[str], columns: int
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with two rows of panels under each sentence, and room for a key at its foot."""
    width = max(
        _LEFT + columns * (_WIDTH + _BESIDE),
        0.3 + width_of([title], 11.0),
        0.3 + width_of(lines, _SIZE),
        _LEFT + 0.2 + width_of(sentences, _SIZE),
    )
    head = head_height(lines)
    block = _ABOVE + _HEIGHT + _BETWEEN + _LOWER + 0.3
    height = head + block * len(sentences) + _FOOT
    figure = Figure(figsize=(width, height))
    write_head(figure, 0.15, title, lines)
    grid: list[list[Axes]] = []
    for number, sentence in enumerate(sentences):
        top = head + number * block
        figure.text(_LEFT / width, 1 - (top + 0.16) / height, sentence, fontsize=_SIZE, va="center", color=WHOLE_POOL)
        lefts = [_LEFT + c * (_WIDTH + _BESIDE) for c in range(columns)]
        grid.append([add_panel(figure, left, top + _ABOVE, _WIDTH, _HEIGHT) for left in lefts])
        below = top + _ABOVE + _HEIGHT + _BETWEEN
        grid.append([add_panel(figure, left, below, _WIDTH, _LOWER) for left in lefts])
    return figure, grid


def _draw_difference(axes: Axes, gaps: pd.DataFrame, colour: str) -> None:
    """Draw the means of a difference, and where they may lie."""
    axes.axhline(0, color=GREY, linewidth=1, zorder=1)
    if gaps.empty:
        return
    gaps = gaps[gaps["num_replicates"] == gaps["num_replicates"].max()]
    low, high = gaps["difference_low"], gaps["difference_high"]
    if gaps["num_replicates"].iloc[0] == FEWEST - 1:
        half = gaps["difference_std"] / np.sqrt(2)  # the two values
        low, high = gaps["difference"] - half, gaps["difference"] + half
    axes.plot(gaps["examples_seen"], gaps["difference"], "o-", color=colour, linewidth=1.2, markersize=2.5, zorder=3)
    axes.fill_between(gaps["examples_seen"], low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)


def _number(upper: Axes, lower: Axes, column: str, *, is_flat: bool) -> None:
    """Give both panels of a quantity one horizontal axis, and vertical ones in its unit."""
    metric = column.partition("_")[2]
    is_percent = is_metric(metric) and Scale(metric).is_percent
    _number_differences(lower, is_percent=is_percent, is_flat=is_flat)
    if column == "samples":
        scale_counts(upper)
    elif is_metric(metric):
        scale_axis(upper, "y", Scale(metric))
    if is_percent:
        number_in_percent(upper.yaxis)
    low, high = upper.get_xlim()
    for axes in (upper, lower):
        tidy(axes, grid="y")
        axes.tick_params(labelsize=_SIZE - 0.5)
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        short_counts(axes.xaxis)
    upper.tick_params(labelbottom=False)


def _number_differences(axes: Axes, *, is_percent: bool, is_flat: bool) -> None:
    """Number an axis of differences with their signs; one that is nothing but zero has no other number."""
    factor = 100 if is_percent else 1
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{round(factor * value, 9):+,g}" if round(value, 12) else "0")
    )
    if is_flat:
        axes.set_ylim(-1, 1)
    axes.yaxis.set_major_locator(FixedLocator([0]) if is_flat else MaxNLocator(3))


def _write_key(figure: Figure, pair: Pair, looks: Sequence[Mapping[str, Any]]) -> None:
    names = [short_name(name, 60) for name in (pair.baseline, pair.strategy)]
    entries = [Line2D([], [], **look, label=name) for look, name in zip(looks, names, strict=True)]
    figure.legend(
        handles=entries,
        loc="lower left",
        ncols=2,
        frameon=False,
        fontsize=_SIZE,
        bbox_to_anchor=(_LEFT / figure.get_size_inches()[0], 0.0),
        borderaxespad=0.2,
    )
