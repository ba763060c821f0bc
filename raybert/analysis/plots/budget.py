"""Quality against budget: a curve per strategy with its intervals, and beside it how high each is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from raybert.analysis.plots.lines import MOST_NAMED
from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.strategy_styles import CONTROLS, StrategyStyle, styles_of
from raybert.analysis.plots.style import GREY, distinct_short_names, scale_axis, short_name, tidy
from raybert.analysis.results.failed_runs import scored_summary
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY, has_budget
from raybert.analysis.statistics.intervals import FEWEST, two_values
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale, interval_words

_OTHERS = "#c9c9c9"
_SIZE = 8.0
_PANEL, _SMALL_PANEL = (4.4, 3.6), (3.1, 2.3)
"""Inches of the only panel, and of each of several."""
_LEFT, _FOOT, _BESIDE, _BELOW = 0.75, 0.6, 0.25, 0.5
_LINE, _SAMPLE, _GAP = 0.2, 0.5, 0.2
"""Of the key: inches of a line, of what a curve looks like, and between two columns."""
_SPREAD = 0.5
"""Share of the narrowest step between two budgets over which the curves are moved apart."""


@dataclass(frozen=True)
class _KeyLine:
    """A line of the key: what a curve looks like, its name, and numbers; no style: a heading."""

    style: StrategyStyle | None
    cells: tuple[str, ...]


def draw_budget(sweep: Sweep) -> Figure | None:
    """Return the sweep's metric on test against the budget: means, and their 95 % intervals as whiskers.

    A panel per point of the grid. What has no budget stands at the size of the pool, `all` is a dotted line, too. Where
    there is one panel the key has the mean height of each curve and its difference to the baseline. Of many curves the
    controls and those with the best means are in colour.

    Returns:
        The figure; None: no strategy has finished runs at two budgets.
    """
    rows, mean = scored_summary(sweep.summary()), f"test_{sweep.metric}_mean"
    rows = rows[rows["role"] == "trial"].dropna(subset=[mean])
    budgets = rows[has_budget(rows)].groupby("strategy")["budget"].nunique()
    if budgets.empty or budgets.max() < 2:
        return None
    scale, styles, panels = Scale(sweep.metric), styles_of(sweep), list(_panels(sweep, rows))
    named = _named(scale.sign * rows.groupby("strategy", sort=False)[mean].mean())
    key = _numbered_key(sweep, rows, named, styles) if len(panels) == 1 else _plain_key(rows, named, styles)
    lines = _lines(rows, sweep.replicates)
    if len(panels) == 1:
        lines.append("mean height: area under the curve divided by its length; of what has no budget the mean")
    figure, axes, beside = _places(len(panels), key, f"What is each budget worth in test {scale.words}?", lines)
    for each, (title, own) in zip(axes, panels, strict=True):
        _draw_panel(each, own, sweep.metric, {name: styles[name] for name in named})
        each.set_title(short_name(title, 44), loc="left", fontsize=9)
    _share_scale(axes, scale)
    axes[0].set_ylabel(f"test {scale.axis_words}", fontsize=_SIZE + 1)
    _write_key(beside, key)
    return figure


def _panels(sweep: Sweep, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the words of each point of the grid, and what stands there."""
    others = [name for name in sweep.grid_columns if name != BUDGET_KEY and name in sweep.configurations.headers]
    for _, own in grid_points(rows, others):
        yield max((sweep.configurations[name].point for name in own[KEY]), key=len), own


def _named(heights: pd.Series[float]) -> list[str]:
    """Return the strategies in colour, the best first: the controls, and the best of the others."""
    names = [str(name) for name in heights.sort_values(ascending=False, kind="stable").index]
    others = [name for name in names if name not in CONTROLS][:MOST_NAMED]
    return [name for name in names if name in CONTROLS or name in others]


def _lines(rows: pd.DataFrame, replicates: str) -> list[str]:
    """Return what is drawn, by how many replicates there are at most."""
    most = int(rows["num_replicates"].max())
    if most == 1:
        return [f"one {replicates.rstrip('s')}, no intervals"]
    if most < FEWEST:
        return [f"lines: means; whiskers: both {replicates}"]
    return [f"lines: means over {most} {replicates}; whiskers: 95 % intervals, not adjusted"]


def _plain_key(rows: pd.DataFrame, named: Sequence[str], styles: Mapping[str, StrategyStyle]) -> list[_KeyLine]:
    lines = [_KeyLine(styles[name], (label,)) for name, label in zip(named, distinct_short_names(named), strict=True)]
    return [*lines, *_others(rows, named)]


def _others(rows: pd.DataFrame, named: Sequence[str]) -> list[_KeyLine]:
    count = rows["strategy"].nunique() - len(named)
    words = f"{count} other{'s' if count > 1 else ''}"
    return [_KeyLine(StrategyStyle(_OTHERS, "", "-"), (words,))] if count else []


def _numbered_key(
    sweep: Sweep, rows: pd.DataFrame, named: Sequence[str], styles: Mapping[str, StrategyStyle]
) -> list[_KeyLine]:
    """Return the key with numbers, the best first: of curves the mean height, of what has no budget the metric."""
    scale, name = Scale(sweep.metric), f"test_{sweep.metric}"
    curves = sweep.budget_curve()
    known = {str(row["strategy"]): (row, "area", "area") for row in curves.to_dict("records")}
    whole = rows[~has_budget(rows)].to_dict("records")
    known |= {str(row["strategy"]): (row, f"{name}_mean", name) for row in whole}
    order = [one for one in named if one in known]
    order.sort(key=lambda one: -np.nan_to_num(scale.sign * known[one][0][known[one][1]], nan=-np.inf))
    short = dict(zip(named, distinct_short_names(named), strict=True))
    lines = []
    for one in [*order, *(one for one in named if one not in known)]:
        row, mean, ends = known.get(one, ({}, "", ""))
        difference = _words(row, "difference", "difference", scale, of_difference=True)
        lines.append(_KeyLine(styles[one], (short[one], _words(row, mean, ends, scale), difference)))
    with_interval = " [95 %]" if curves["area_low"].notna().any() else ""
    baselines = set(curves["baseline"]) - {""}
    against = f"to {baselines.pop()}" if len(baselines) == 1 else "to its baseline"
    heading = _KeyLine(None, ("", f"mean height{with_interval}", f"{against}{with_interval}"))
    return [heading, *lines, *_others(rows, named)]


def _words(row: Mapping[Any, Any], mean: str, ends: str, scale: Scale, *, of_difference: bool = False) -> str:
    """Return a value with its interval; nothing for what is not known."""
    if pd.isna(row.get(mean, math.nan)):
        return ""
    words = scale.difference if of_difference else scale.value
    return words(row[mean]) + interval_words(
        row[f"{ends}_low"], row[f"{ends}_high"], scale, of_difference=of_difference
    )


def _draw_panel(axes: Axes, rows: pd.DataFrame, metric: str, styles: Mapping[str, StrategyStyle]) -> None:
    """Draw the curves of a point of the grid.

    Args:
        axes: to draw on.
        rows: of the summary.
        metric: of the sweep.
        styles: of the strategies in colour.
    """
    places = np.log(sorted(rows["budget"].unique()))
    curves = {str(name): own.sort_values("budget") for name, own in rows.groupby("strategy", sort=False)}
    narrowest = np.diff(places).min() if len(places) > 1 else 1.0
    shown = [name for name in curves if name in styles]
    shifts = (np.arange(len(shown)) - (len(shown) - 1) / 2) * _SPREAD * narrowest / max(1, len(shown))
    for name in (name for name in curves if name not in styles):
        axes.plot(np.log(curves[name]["budget"]), curves[name][f"test_{metric}_mean"], color=_OTHERS, linewidth=0.8)
    for name, shift in zip(shown, shifts, strict=True):
        own, style = curves[name], styles[name]
        x, mean = np.log(own["budget"]) + shift, own[f"test_{metric}_mean"]
        axes.plot(x, mean, **{**style.point(5), **style.line(linewidth=1.3, zorder=3, clip_on=False)})
        for at, row in zip(x, own.to_dict("records"), strict=True):
            axes.plot([at, at], _ends(row, f"test_{metric}"), "-", color=style.colour, linewidth=1, zorder=2)
        if name == "all" and len(own) == 1:
            axes.axhline(float(mean.iloc[0]), color=style.colour, linestyle=style.dash, linewidth=0.9, zorder=1)
    _number_budgets(axes, rows, places)
    tidy(axes, grid="y")


def _ends(row: Mapping[Any, Any], name: str) -> tuple[float, float]:
    """Return the ends of an interval, of two replicates both values, else nothing that is drawn."""
    if row["num_replicates"] == FEWEST - 1:
        return two_values(row[f"{name}_mean"], row[f"{name}_std"])
    return row[f"{name}_low"], row[f"{name}_high"]


def _number_budgets(axes: Axes, rows: pd.DataFrame, places: np.ndarray) -> None:
    """Write the budgets at a logarithmic axis, where they are, and what is the whole pool."""
    pools = set(rows.loc[~has_budget(rows), "budget"]) - set(rows.loc[has_budget(rows), "budget"])

    def words(place: float, _: int) -> str:
        budget = round(math.exp(place))
        return f"{budget:,}\nwhole pool" if budget in pools else f"{budget:,}"

    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(words))
    axes.tick_params(labelsize=_SIZE)
    axes.set_xlabel("budget: examples that may be chosen (logarithmic)", fontsize=_SIZE + 0.5)
    axes.margins(x=0.06, y=0.06)


def _share_scale(axes: Sequence[Axes], scale: Scale) -> None:
    """Give all panels the heights of all, ended where the metric does."""
    limits = [each.get_ylim() for each in axes]
    for each in axes:
        each.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        scale_axis(each, "y", scale)


def _places(count: int, key: Sequence[_KeyLine], title: str, lines: Sequence[str]) -> tuple[Figure, list[Axes], Axes]:
    """Return a figure with panels in rows of three at most, and the key to the right of them."""
    columns = min(3, math.ceil(math.sqrt(count)))
    width, height = _PANEL if count == 1 else _SMALL_PANEL
    down = math.ceil(count / columns)
    widths = _key_widths(key)
    left = _LEFT + columns * (width + _LEFT) - _LEFT + _BESIDE
    head = head_height(lines) + (0.25 if count > 1 else 0.1)
    tall = max(down * (height + _FOOT + _BELOW) - _BELOW, _LINE * len(key) + 0.1)
    wide = max(left + sum(widths) + 0.15, 0.3 + width_of([title], 11.0), 0.3 + width_of(lines, 8.0))
    figure = Figure(figsize=(wide, head + tall))
    write_head(figure, 0.15, title, lines)
    axes = [
        add_panel(
            figure,
            _LEFT + (number % columns) * (width + _LEFT),
            head + (number // columns) * (height + _FOOT + _BELOW),
            width,
            height,
        )
        for number in range(count)
    ]
    beside = add_panel(figure, left, head, sum(widths), _LINE * len(key))
    beside.set_axis_off()
    beside.set_xlim(0, sum(widths))
    beside.set_ylim(len(key) - 0.5, -0.5)
    return figure, axes, beside


def _key_widths(key: Sequence[_KeyLine]) -> list[float]:
    """Return the inches of what a curve looks like, and of every column of words."""
    most = max(len(line.cells) for line in key)
    columns = ([line.cells[i] for line in key if i < len(line.cells)] for i in range(most))
    return [_SAMPLE, *(width_of(column, _SIZE) + _GAP for column in columns)]


def _write_key(axes: Axes, key: Sequence[_KeyLine]) -> None:
    widths = _key_widths(key)
    for y, line in enumerate(key):
        if line.style is not None:
            look = {**line.style.point(5), **line.style.line(linewidth=1.3)}
            axes.plot([0.02, _SAMPLE / 2, _SAMPLE - 0.1], [y] * 3, markevery=[1], clip_on=False, **look)
        x = _SAMPLE
        for cell, width in zip(line.cells, widths[1:], strict=False):
            colour = GREY if line.style is None else "black"
            axes.text(x, y, cell, va="center", fontsize=_SIZE, color=colour)
            x += width
