"""Curves over training: which panel each is in, how it looks, and its mean with its band."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from raybert.analysis.plots.strategy_styles import CONTROLS, StrategyStyle, strategy_styles, styles_of
from raybert.analysis.plots.style import distinct_short_names
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY, has_budget
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale

CURVE = "_curve"
"""The column that names the curve of a row."""
MOST_NAMED = 8
"""Curves in colour besides the controls; the others are grey."""
_OTHERS: dict[str, Any] = {"color": "#c9c9c9", "linewidth": 0.8, "linestyle": "-"}
_MARKS = 5
"""Markers on a curve: they tell it apart in grey, and more would hide it."""


def panels_of(sweep: Sweep, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield title and rows of every panel, a budget at a point of the grid, with the name of each row's curve in it.

    A curve is a strategy; of a single strategy a panel is a budget, and a curve a point.
    """
    known = sweep.configurations
    others = [column for column in known.headers if column in rows]
    by_point = bool(others) and rows["strategy"].nunique() > 1
    for point, at_point in grid_points(rows, others if by_point else ()):
        budgets = at_point.groupby(["budget", ~has_budget(at_point)], sort=True)
        for (budget, whole), own in budgets:
            title = f"{'no budget:' if whole else 'budget'} {budget:,}"
            if point:
                most = max((known[name] for name in own[KEY].unique()), key=lambda one: len(one.point))
                title = f"{title}, {most.point}" if most.point else title
            curves = [
                known[name].strategy if by_point else known[name].point or known[name].strategy for name in own[KEY]
            ]
            yield title, own.assign(**{CURVE: curves})


def curve_styles(sweep: Sweep) -> dict[str, StrategyStyle]:
    """Return the style of every curve that `panels_of` may name."""
    points = [one.point for one in sweep.configurations.by_name.values() if one.point]
    return strategy_styles(points) | styles_of(sweep)


def best_ends(panels: Iterable[tuple[str, pd.DataFrame]], metric: str) -> dict[str, float]:
    """Return the best end that every curve comes to in any panel, higher = better.

    Args:
        panels: of `panels_of`, with rows of `per_pass`.
        metric: of validation.
    """
    ends: dict[str, float] = {}
    column = f"validation_{metric}_mean"
    for _, panel in panels:
        for name, own in panel.groupby(CURVE, sort=False):
            value = Scale(metric).sign * float(own[column].iloc[-1]) if column in own else np.nan
            ends[str(name)] = float(np.nanmax([ends.get(str(name), np.nan), value, -np.inf]))
    return ends


def worth_colour(ends: Mapping[str, float]) -> list[str]:
    """Return the curves to name, in their own order: the controls, and those that end best.

    Args:
        ends: of every curve its end, higher = better.
    """
    ranked = sorted((name for name in ends if name not in CONTROLS), key=lambda name: -np.nan_to_num(ends[name]))
    named = {*ranked[:MOST_NAMED], *(name for name in ends if name in CONTROLS)}
    return [name for name in ends if name in named]


def looks(ends: Mapping[str, float], styles: Mapping[str, StrategyStyle]) -> dict[str, dict[str, Any]]:
    """Return how each curve is drawn, grey ones first: they are behind the others.

    Args:
        ends: of every curve.
        styles: by the name of a curve.
    """
    named = worth_colour(ends)
    grey = {name: dict(_OTHERS) for name in ends if name not in named}
    width = {name: 1.8 if name == "random" else 1.4 for name in named}
    return grey | {name: {**styles[name].point(size=4.5), **styles[name].line(linewidth=width[name])} for name in named}


def curve_entries(looks: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    """Return legend entries of the curves in colour, and one that counts the others."""
    named = [name for name, look in looks.items() if "marker" in look]
    short = distinct_short_names(named)
    entries = [Line2D([], [], **looks[name], label=label) for name, label in zip(named, short, strict=True)]
    others = len(looks) - len(named)
    if others:
        entries.append(Line2D([], [], **_OTHERS, label=f"{others} other{'s' if others > 1 else ''}"))
    return entries


def draw_curve(axes: Axes, own: pd.DataFrame, x: str, column: str, look: Mapping[str, Any]) -> None:
    """Draw a mean and its band, up to where the first replicate has stopped: a mean over fewer is another one.

    Args:
        axes: to draw on.
        own: rows of `per_pass` of one configuration.
        x: a column of it.
        column: a quantity with columns `<column>_mean` and so on.
        look: of `looks`; without a marker there is no band.
    """
    needed = dict.fromkeys([x, "num_replicates", *(f"{column}_{part}" for part in ("mean", "std", "low", "high"))])
    own = own[list(needed)]  # of a hundred columns, which would be copied for every curve
    own = own[(own["num_replicates"] == own["num_replicates"].max()) & own[f"{column}_mean"].notna()]
    if own.empty:
        return
    # Where markers begin goes by the marker, so that curves that lie on each other show all of theirs.
    step = max(1, round(len(own) / _MARKS))
    first = sum(map(ord, str(look.get("marker", "")))) % step
    axes.plot(own[x], own[f"{column}_mean"], markevery=(first, step), clip_on=False, **look)
    if "marker" not in look:
        return
    low, high = own[f"{column}_low"], own[f"{column}_high"]
    if own["num_replicates"].iloc[0] == FEWEST - 1:
        half = own[f"{column}_std"] / np.sqrt(2)  # the two values
        low, high = own[f"{column}_mean"] - half, own[f"{column}_mean"] + half
    if low.isna().all():  # all replicates are equal, as of learning rates
        return
    if len(own) > 1:
        axes.fill_between(own[x], low, high, color=look["color"], alpha=0.14, linewidth=0)
    else:
        axes.vlines(own[x], low, high, color=look["color"], linewidth=1)


def what_bands_are(table: pd.DataFrame, replicates: str) -> str:
    """Return what lines and bands show, by how many replicates there are."""
    most = int(table["num_replicates"].max()) if len(table) else 0
    is_cut = len(table) > 0 and bool((table.groupby(KEY)["num_replicates"].nunique() > 1).any())
    until = f"; a line ends with the first of its {replicates}" if is_cut else ""
    if most >= FEWEST:
        return f"lines: means over {most} {replicates}; bands: 95 % t intervals{until}"
    if most == FEWEST - 1:
        return f"lines: means; bands: both {replicates}{until}"
    return f"one {replicates.rstrip('s')}, no bands"
