"""A search by its parameters: what was tried, what it gave, and where the best of each strategy lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from raybert.analysis.plots.search import arm_labels, plot_values, value_limits
from raybert.analysis.plots.strategy_styles import StrategyStyle, blend, style_at
from raybert.analysis.plots.style import (
    GREY,
    PALETTE,
    add_heading,
    distinct_short_names,
    number_log_ticks,
    place_legend,
    tidy,
)
from raybert.analysis.search import Parameter, Search
from raybert.analysis.search.labels import Arm, short_parameter_names
from raybert.analysis.search.tables import complete_suggestions
from raybert.tables.search import ARM_KEYS

_MOST = 8
"""Parameters in one plot."""
_COLOURED = len(PALETTE)
"""Arms in colour; where there are more, the best ones are."""
_OTHERS = "#c4c4c4"
_DECADES = 100.0
"""Ratio of the ends from which on a logarithmic axis is labelled at powers of ten only."""
_FEW_TICKS = 12.0
"""Ratio of the ends up to which there is room for three labels a decade."""
_CHOICE_LETTERS, _LABEL_LETTERS = 22, 14
_ABSENT = -0.12
"""Where a parallel axis holds the suggestions that do not have the parameter."""


def draw_search_slices(search: Search, styles: Mapping[str, StrategyStyle] | None = None) -> Figure | None:
    """Return the value of every complete suggestion against each parameter, in the colour of its strategy.

    Further arms of a strategy (other points of the grid) are paler.

    The best of each arm is a larger point; values far below the others are triangles at the edge. None without a
    complete suggestion. optuna's own plot has one study, and colours by the number of the suggestion.

    Args:
        search: of the sweep.
        styles: of its strategies, by label; default: colours by the order of the arms.
    """
    complete, parameters = complete_suggestions(search.suggestions), _shown(search)
    if complete.empty:
        return None
    colours, limits = _arm_colours(search, styles or {}), value_limits(search)
    rows, columns = _panels(len(parameters))
    figure = Figure(figsize=(max(6.0, 2.6 * columns + 0.5), 2.5 * rows + 1.2), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, parameter, name in zip(grid.flat, parameters, _labels(parameters), strict=False):
        for arm in sorted(colours, key=lambda arm: colours[arm] != _OTHERS):
            own = complete[(complete["arm"] == arm[0]) & (complete["strategy"] == arm[1])]
            _draw_slice(axes, own, parameter, colours[arm], limits, search.maximize)
        _scale(axes, parameter)
        axes.set_xlabel(name, fontsize=8.5)
        tidy(axes, grid="both")
        axes.tick_params(labelsize=7.5)
    for axes in list(grid.flat)[len(parameters) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(limits)
    figure.supylabel(f"validation {search.metric}", fontsize=9)
    add_heading(figure, f"What did each value of a parameter give?{_more(search, parameters)}")
    place_legend(figure, _arm_entries(search, colours, "o"), columns=max(2, columns))
    return figure


def _draw_slice(
    axes: Axes, own: pd.DataFrame, parameter: Parameter, colour: str, limits: tuple[float, float], maximize: bool
) -> None:
    """Draw the suggestions of an arm; those far below the others are triangles at the edge."""
    own = own.dropna(subset=parameter.name)
    x = _positions(own[parameter.name], parameter)
    order = 2 if colour == _OTHERS else 3
    values = own["value"].to_numpy()
    small: dict[str, Any] = {"markersize": 3, "alpha": 0.55, "markeredgewidth": 0, "zorder": order}
    plot_values(axes, x, values, limits, maximize=maximize, color=colour, **small)
    if len(own):
        best = [int((values if maximize else -values).argmax())]
        large: dict[str, Any] = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.6}
        plot_values(axes, x[best], values[best], limits, maximize=maximize, color=colour, zorder=order + 2, **large)


def draw_search_parallel(search: Search) -> Figure | None:
    """Return a line per complete suggestion through the parameters that strategies share, to its value.

    Colours are ranks within the arm, so that strategies of different quality stand beside each other; the best of each
    arm is drawn last. None without a complete suggestion. A parameter that a suggestion does not have is below its
    axis. optuna's own plot turns an axis with such gaps into one tick per value.
    """
    complete, parameters = complete_suggestions(search.suggestions), _shown(search, only_shared=True)
    if complete.empty:
        return None
    signed = complete["value"] * (1 if search.maximize else -1)
    ranks = signed.groupby([complete[key] for key in ARM_KEYS]).rank(pct=True).to_numpy()
    limits = value_limits(search)
    last = np.clip((complete["value"].to_numpy() - limits[0]) / (limits[1] - limits[0]), 0, 1)
    heights = np.column_stack([*(_fractions(complete[p.name], p) for p in parameters), last])
    figure = Figure(figsize=(max(5.6, 1.35 * (len(parameters) + 1) + 0.8), 4.2), layout="constrained")
    axes = figure.subplots()
    order = np.argsort(ranks, kind="stable")
    lines = LineCollection(
        [np.column_stack([np.arange(heights.shape[1]), heights[i]]) for i in order],
        array=ranks[order],
        cmap="cividis_r",
        linewidths=np.where(ranks[order] == 1, 1.5, 0.7),
        alpha=np.clip(60 / len(order), 0.15, 0.6) + 0.4 * ranks[order] ** 4,
    )
    axes.add_collection(lines)
    for at, parameter in enumerate(parameters):
        _draw_scale(axes, at, _ticks(parameter), has_gaps=bool(complete[parameter.name].isna().any()))
    values = MaxNLocator(5).tick_values(*limits)
    inside = [
        (float(v - limits[0]) / (limits[1] - limits[0]), f"{v:.4g}") for v in values if limits[0] <= v <= limits[1]
    ]
    _draw_scale(axes, len(parameters), inside, has_gaps=False)
    names = [*_labels(parameters), search.metric]
    axes.set_xticks(range(len(names)), [_in_two_lines(name) for name in names], fontsize=8)
    axes.set_xlim(-0.15, len(parameters) + 0.45)
    axes.set_ylim((_ABSENT if (heights < 0).any() else 0) - 0.04, 1.03)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(lines, ax=axes, fraction=0.03, pad=0.01, aspect=30)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    bar.set_ticks([ranks.min(), 1.0], labels=["worst", "best"])
    bar.set_label("rank within the strategy", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    add_heading(figure, f"Which combinations were good?{_more(search, parameters, only_shared=True)}")
    return figure


def _in_two_lines(name: str) -> str:
    head, separator, tail = name.partition("_") if len(name) > _LABEL_LETTERS else (name, "", "")
    return f"{head}{separator}\n{tail}" if separator else name


def _draw_scale(axes: Axes, at: int, ticks: Sequence[tuple[float, str]], has_gaps: bool) -> None:
    """Draw a vertical axis with its own labels to the right of it."""
    axes.vlines(at, 0, 1, color="black", linewidth=0.8, zorder=4)
    for height, label in [*ticks, *([(_ABSENT, "not set")] if has_gaps else [])]:
        axes.hlines(height, at, at + 0.03, color="black", linewidth=0.8, zorder=4)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3}
        axes.text(at + 0.05, height, label, fontsize=7, va="center", zorder=5, bbox=box)


def draw_best_values(search: Search, styles: Mapping[str, StrategyStyle] | None = None) -> Figure | None:
    """Return the best value of each parameter that several strategies have, per arm, with how well it is known.

    Dot: that of the best suggestion. Thick: all suggestions that may be the best (`Search.near_best`). Thin: to the
    nearest ones outside, or the end of the space. None where no numeric parameter is shared.

    Args:
        search: of the sweep.
        styles: of its strategies, by label; default: colours by the order of the arms.
    """
    near = search.near_best.dropna(subset="low")
    shared = near.groupby("parameter", sort=False)["arm"].size()
    labels = arm_labels(search)
    names = [name for name in search.parameters if shared.get(name, 0) > 1 or (len(labels) == 1 and name in shared)]
    num_shared, names = len(names), names[:_MOST]
    if not names:
        return None
    arms = [arm for arm in labels if (near["arm"].eq(arm[0]) & near["strategy"].eq(arm[1])).any()]
    rows, columns = _panels(len(names))
    size = max(6.6, 2.2 * columns + 2.4), rows * (0.6 + 0.2 * len(arms)) + 1.3
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    shorts = _labels([search.parameters[name] for name in names])
    colours = _arm_colours(search, styles or {}, most=len(arms))
    for axes, name, short in zip(grid.flat, names, shorts, strict=False):
        for row in near[near["parameter"] == name].to_dict("records"):
            arm = (str(row["arm"]), str(row["strategy"]))
            _draw_near(axes, arms.index(arm), row, colours[arm])
        _scale(axes, search.parameters[name])
        axes.set_xlabel(short, fontsize=8.5)
        tidy(axes, grid="x")
        axes.tick_params(axis="x", labelsize=7.5)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    grid[0, 0].set_yticks(range(len(arms)), [labels[arm] for arm in arms])
    for axes in grid[:, 0]:
        axes.tick_params(axis="y", labelsize=8)
    grid[0, 0].set_ylim(len(arms) - 0.4, -0.6)
    more = f" (the first {len(names)} of {num_shared} parameters)" if len(names) < num_shared else ""
    add_heading(figure, f"Does selection change the best hyperparameters?{more}")
    place_legend(figure, _near_entries(search), columns=3)
    return figure


def _draw_near(axes: Axes, y: int, row: Mapping[Any, Any], colour: str) -> None:
    axes.plot([row["tried_below"], row["tried_above"]], [y, y], color=colour, linewidth=1, zorder=2)
    axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=3.5, solid_capstyle="butt", zorder=3)
    axes.plot(row["best"], y, "o", color="white", markeredgecolor="black", markersize=4.5, zorder=4)


def _near_entries(search: Search) -> list[Line2D]:
    noise = search.noise
    words = "within 1 % of it" if noise is None else f"not told apart from it ({100 * noise.coverage:.0f} %)"
    return [
        Line2D([], [], color="white", marker="o", markeredgecolor="black", markersize=4.5, label="best suggestion"),
        Line2D([], [], color=GREY, linewidth=3.5, label=words),
        Line2D([], [], color=GREY, linewidth=1, label="to the nearest worse one"),
    ]


def _shown(search: Search, only_shared: bool = False) -> list[Parameter]:
    """Return the parameters to draw."""
    return _every(search, only_shared=only_shared)[:_MOST]


def _every(search: Search, *, only_shared: bool) -> list[Parameter]:
    """Return the parameters, those of several strategies first."""
    rows = search.suggestions
    number = {name: rows.loc[rows[name].notna(), "strategy"].nunique() for name in search.parameters}
    fewest = 2 if only_shared and rows["strategy"].nunique() > 1 else 1
    known = [parameter for name, parameter in search.parameters.items() if number[name] >= fewest]
    return sorted(known, key=lambda parameter: -number[parameter.name])


def _more(search: Search, shown: Sequence[Parameter], *, only_shared: bool = False) -> str:
    """Return what a title says of parameters that are not drawn."""
    number = len(_every(search, only_shared=only_shared))
    of = "parameters that strategies share" if only_shared else "parameters"
    return f" (the first {len(shown)} of {number} {of})" if len(shown) < number else ""


def _labels(parameters: Sequence[Parameter]) -> list[str]:
    return distinct_short_names(short_parameter_names([parameter.name for parameter in parameters]))


def _panels(count: int) -> tuple[int, int]:
    """Return rows and columns, at most four, as full as can be."""
    rows = math.ceil(count / 4)
    return rows, math.ceil(count / rows)


def _arm_colours(search: Search, styles: Mapping[str, StrategyStyle], most: int = _COLOURED) -> dict[Arm, str]:
    """Return a colour per arm; with many arms the best ones have one, the others are grey."""
    arms = named = list(arm_labels(search))
    if len(arms) > most:
        best = search.best.sort_values("value", ascending=not search.maximize, kind="stable")
        named = [(str(arm), str(strategy)) for arm, strategy in best[list(ARM_KEYS)].head(most - 1).to_numpy()]
    colours = {}
    for number, arm in enumerate(named):
        of_strategy = [other for other in named if other[1] == arm[1]]
        fill = 1 - 0.7 * of_strategy.index(arm) / len(of_strategy)
        colours[arm] = blend(styles[arm[1]].colour, fill) if arm[1] in styles else style_at(number).colour
    return {arm: colours.get(arm, _OTHERS) for arm in arms}


def _arm_entries(search: Search, colours: dict[Arm, str], marker: str) -> list[Line2D]:
    labels = arm_labels(search)
    named = [
        Line2D([], [], color=colour, marker=marker, markersize=5, linestyle="", label=labels[arm])
        for arm, colour in colours.items()
        if colour != _OTHERS
    ]
    num_others = len(colours) - len(named)
    words = f"{num_others} others"
    others = [Line2D([], [], color=_OTHERS, marker=marker, markersize=5, linestyle="", label=words)]
    return [*named, *(others if num_others else [])]


def _positions(values: pd.Series[Any], parameter: Parameter) -> np.ndarray:
    """Return where values stand on an axis: choices at 0, 1, ..."""
    if parameter.is_number:
        return values.to_numpy("float64")
    return np.array([parameter.choices.index(value) for value in values], dtype=np.float64)


def _scale(axes: Axes, parameter: Parameter) -> None:
    """Give the horizontal axis the scale and the ends of the space."""
    if parameter.low is None or parameter.high is None:
        names = distinct_short_names([str(choice) for choice in parameter.choices])
        axes.set_xticks(range(len(names)), names, rotation=30 if len("".join(names)) > _CHOICE_LETTERS else 0)
        axes.set_xlim(-0.5, len(names) - 0.5)
        return
    low, high = parameter.low, parameter.high
    if parameter.log:
        axes.set_xscale("log")
        if high / low < _DECADES:
            number_log_ticks(axes.xaxis, (1.0, 2.0, 5.0) if high / low < _FEW_TICKS else (1.0, 3.0))
        axes.xaxis.set_minor_formatter(NullFormatter())
        pad = (high / low) ** 0.04
        axes.set_xlim(low / pad, high * pad)
        return
    pad = 0.04 * (high - low) or 0.5
    axes.set_xlim(low - pad, high + pad)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=parameter.is_whole))


def _fractions(values: pd.Series[Any], parameter: Parameter) -> np.ndarray:
    """Return (n,) heights on a parallel axis of length 1; below it where a value is missing."""
    heights = np.full(len(values), _ABSENT)
    there = values.notna().to_numpy()
    heights[there] = _heights(_positions(values[there], parameter), parameter)
    return heights


def _heights(positions: np.ndarray, parameter: Parameter) -> np.ndarray:
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        return (positions + 0.5) / len(parameter.choices)
    if low == high:
        return np.full(len(positions), 0.5)
    if parameter.log:
        return np.log(positions / low) / math.log(high / low)
    return (positions - low) / (high - low)


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    """Return heights and labels of a parallel axis."""
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        places = np.arange(len(parameter.choices), dtype=np.float64)
        labels = distinct_short_names([str(choice) for choice in parameter.choices])
        return list(zip(_heights(places, parameter), labels, strict=True))
    if low == high:
        return [(0.5, f"{low:g}")]
    if parameter.log:
        places = np.asarray(
            LogLocator(subs=(1.0,) if high / low >= _DECADES else (1.0, 2.0, 5.0)).tick_values(low, high)
        )
    else:
        places = np.asarray(MaxNLocator(5, integer=parameter.is_whole).tick_values(low, high))
    inside = places[(places >= low * (1 - 1e-9)) & (places <= high * (1 + 1e-9))]
    return list(zip(_heights(inside, parameter), (f"{value:g}" for value in inside), strict=True))
