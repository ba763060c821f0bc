"""Configurations beside each other: how good, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raybert.analysis.plots.labels import label_points
from raybert.analysis.plots.style import (
    CONTROLS,
    GREY,
    StrategyStyle,
    add_heading,
    budget_entries,
    budget_fills,
    distinct_short_names,
    in_two_lines,
    number_log_ticks,
    place_legend,
    scale_axis,
    short_counts,
    styles_of,
    tidy,
)
from raybert.analysis.results.failed_runs import scored_summary
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.results.task import majority_words
from raybert.analysis.statistics.configurations import KEY, has_budget
from raybert.analysis.statistics.intervals import two_values
from raybert.analysis.statistics.pareto import COSTS as PARETO_COSTS
from raybert.analysis.statistics.pareto import FRONT, front_of
from raybert.analysis.statistics.scales import Scale
from raybert.config.tasks import MULTI_LABEL, Task
from raybert.tables import PRETRAINING_SECONDS

_WIDE = 8.0
"""From this ratio of the largest to the smallest cost on the axis is logarithmic."""
_TALL = 20
_COSTS = {
    "total_examples": "forward passes of examples (training counts 3), signals included",
    "total_seconds": "seconds: training + selection + signals",
}
_WITH_PRETRAINING = {
    "total_examples": "forward passes (training counts 3) with signals, pretraining",
    "total_seconds": "seconds: training + selection + signals + pretraining",
}
_COUNTED = {column: cost for cost, column in PARETO_COSTS.items()}
_RING_SIZE = 12.0
_LABEL = "_label"
_POOL = "pool size"
_FAILED = "1"
"""The marker of a failed run."""
_LONGEST_NAME = 90
"""In two lines."""
_USUAL_NAME = 24
_LETTER = 0.075  # inches


def draw_accuracy(sweep: Sweep) -> Figure:
    """Return the sweep's metric on test per configuration: mean, 95 % interval, and every trial as a faint dot.

    One row per strategy and point of the grid, the best at the top; of its budgets the largest is highest and full. Of
    two seeds there is no interval, but both values; trials that never predict a class are crosses.
    """
    scale, rows = Scale(sweep.metric), _rows(sweep)
    if rows.empty:
        return _nothing_to_draw(scale)
    mean = f"test_{sweep.metric}_mean"
    best = (scale.sign * rows[mean]).groupby(rows[_LABEL]).max()
    names = [str(name) for name in best.sort_values(kind="stable").index]
    styles, fills = styles_of(sweep), budget_fills(rows)
    most = int(rows.groupby(_LABEL).size().max())
    labels = _row_labels(names, rows)
    width = 5.4 + _LETTER * max(0, max(len(line) for label in labels for line in label.split("\n")) - _USUAL_NAME)
    height = max(0.16 + 0.1 * most, 0.34 if any("\n" in label for label in labels) else 0.0)
    figure = Figure(figsize=(width, 1.8 + height * len(names)), layout="constrained")
    axes = figure.subplots()
    for y, name in enumerate(names):
        own = rows[rows[_LABEL] == name].sort_values("budget").to_dict("records")
        for row, shift in zip(own, _shifts(len(own)), strict=True):
            _draw_interval(axes, sweep, row, y + shift, styles[row["strategy"]], fills[row["budget"]])
    lines = _draw_controls(axes, rows, mean)
    axes.set_yticks(range(len(names)), labels, fontsize=8 if any("\n" in label for label in labels) else None)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel(f"test {scale.axis_words}\n{_what_is_drawn(rows, sweep.replicates)}")
    scale_axis(axes, "x", scale)
    if len(names) > _TALL:
        axes.tick_params(axis="x", labeltop=True)
    add_heading(figure, "Which strategy finds the examples worth training on?")
    tidy(axes, grid="x")
    place_legend(
        figure,
        [*budget_entries(rows), *lines, *_collapse_entry(rows, sweep.task), *_failed_entry(rows, sweep.task)],
        columns=3,
    )
    return figure


def draw_cost(sweep: Sweep) -> Figure:
    """Return the sweep's metric on test against total cost, in examples and beside it in seconds.

    One named point per strategy and point of the grid, at its largest budget; its smaller budgets are joined to it by
    a line. The grey steps are the Pareto front of all that is drawn; a ring is around what is surely on it, see
    `pareto_table`. Examples are the same on any machine, seconds vary with its load.
    """
    rows = _rows(sweep)
    if rows.empty:
        return _nothing_to_draw(Scale(sweep.metric))
    costs = [cost for cost in _COSTS if rows[f"{cost}_mean"].notna().any()]
    styles, fills = styles_of(sweep), budget_fills(rows)
    crowd = max(0, rows[_LABEL].nunique() - 10)
    size = 5.4 + 0.1 * crowd, 4.4 + 0.13 * crowd
    figure = Figure(figsize=(size[0] * max(1.0, 0.9 * len(costs)), size[1]), layout="constrained")
    panels = figure.subplots(1, max(1, len(costs)), sharey=True, squeeze=False)[0]
    pareto = sweep.pareto()
    for axes, cost in zip(panels, costs, strict=False):
        _draw_costs(axes, rows, cost, sweep.metric, styles, fills)
        _draw_front(axes, front_of(pareto, _COUNTED[cost]))
    scale = Scale(sweep.metric)
    panels[0].set_ylabel(f"test {scale.axis_words}, mean over {sweep.replicates}")
    scale_axis(panels[0], "y", scale)
    add_heading(figure, f"What does each strategy's {scale.words} cost?")
    front = Line2D([], [], color=GREY, linewidth=1, linestyle="--", label="Pareto front, by the means")
    entries = [*budget_entries(rows), front]
    if any((front_of(pareto, _COUNTED[cost])["place"] == FRONT).any() for cost in costs):
        ring: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": _RING_SIZE, "markerfacecolor": "none"}
        entries.append(Line2D([], [], linestyle="", **ring, label="surely on it: 95 % intervals"))
    place_legend(figure, entries)
    for axes, cost in zip(panels, costs, strict=False):
        _name_points(axes, rows, cost, sweep.metric)
    return figure


def _rows(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of the summary with a value, failed runs scored, with the name of each row of a plot."""
    summary = scored_summary(sweep.summary())
    rows = summary.dropna(subset=[f"test_{sweep.metric}_mean"])
    labels = [sweep.configurations[name].label for name in rows[KEY]]
    pools = rows[KEY].map(sweep.trials.groupby(KEY)["pool_size"].min())
    return rows.assign(**{_LABEL: labels}).assign(**{_POOL: pools})


def _nothing_to_draw(scale: Scale) -> Figure:
    """Return a picture that says why there is none: a metric such as PR-AUC is undefined on a split of one class."""
    figure = Figure(figsize=(7.2, 1.2))
    figure.text(0.5, 0.5, f"test {scale.words} is undefined in all finished trials", ha="center", va="center")
    return figure


def _draw_interval(axes: Axes, sweep: Sweep, row: dict[Any, Any], y: float, style: StrategyStyle, fill: float) -> None:
    name = f"test_{sweep.metric}"
    mean, low, high = (row[f"{name}_{end}"] for end in ("mean", "low", "high"))
    counted = sweep.compared.counted
    trials = counted[(counted[KEY] == row[KEY]) & (counted["status"] == "complete")]
    failed = trials["trial_id"].isin(sweep.trials.loc[sweep.trials["status"] == "failed", "trial_id"])
    collapsed = ~failed & (trials["num_never_predicted"].fillna(0) > 0)
    kinds = ((~failed & ~collapsed, "o"), (collapsed, "x"), (failed, _FAILED))
    for values, dot in ((trials.loc[is_own, name], dot) for is_own, dot in kinds):
        if len(values):  # without points the layout takes the artist for one in the corner of the figure
            ys = np.full(len(values), y)
            size, alpha = (3.5, 0.35) if dot == "o" else (8.0, 0.9)  # its arms are seen beside the mean's marker
            axes.plot(values, ys, dot, color=style.colour, alpha=alpha, markersize=size, zorder=2, clip_on=False)
    point = style.point(fill, size=6.5, zorder=3, clip_on=False)
    if row["num_replicates"] == 2:
        both = two_values(mean, row[f"{name}_std"])
        axes.plot(both, [y, y], "-", color=style.colour, linewidth=0.7, zorder=2.5)
        for value in both:
            axes.plot(value, y, **point)
        return
    if not np.isnan(low):
        whiskers: dict[str, Any] = {"fmt": "none", "ecolor": style.colour, "capsize": 2.5, "linewidth": 1.3}
        axes.errorbar(mean, y, xerr=[[mean - low], [high - mean]], zorder=2.5, **whiskers)
    axes.plot(mean, y, **point)


def _what_is_drawn(rows: pd.DataFrame, replicates: str) -> str:
    """Return what the marks are, by how many replicates there are at most."""
    most = int(rows["num_replicates"].max())
    if most == 1:
        return f"(one {replicates.rstrip('s')})"
    if most == 2:
        return f"(both {replicates})"
    return f"(mean and 95 % interval over {replicates};\nfaint: single trials)"


def _collapse_entry(rows: pd.DataFrame, task: Task) -> list[Line2D]:
    if not rows["num_collapsed"].any():
        return []
    return [Line2D([], [], color=GREY, marker="x", linestyle="", label=f"a trial that never predicts a {_one(task)}")]


def _failed_entry(rows: pd.DataFrame, task: Task) -> list[Line2D]:
    if not (rows["num_failed"].gt(0) & rows["with_failures_mean"].notna()).any():
        return []
    return [
        Line2D(
            [], [], color=GREY, marker=_FAILED, linestyle="", label=f"a failed run, scored as {majority_words(task)}"
        )
    ]


def _one(task: Task) -> str:
    return "label" if task == MULTI_LABEL else "class"


def _shifts(count: int) -> np.ndarray:
    """Return where in its row each budget is drawn: the largest highest."""
    return (np.arange(count) - (count - 1) / 2) * min(0.26, 0.75 / count)


def _row_labels(names: list[str], rows: pd.DataFrame) -> list[str]:
    """Return the names with what their budget is."""
    short = distinct_short_names(names, _LONGEST_NAME)
    first = rows.drop_duplicates(_LABEL).set_index(_LABEL).loc[names]
    several = rows.loc[has_budget(rows), "budget"].nunique() > 1
    words = [_budget_words(row, several) for row in first.to_dict("records")]
    return [in_two_lines(f"{name}  ({word})" if word else name) for name, word in zip(short, words, strict=True)]


def _budget_words(row: dict[Any, Any], several: bool) -> str:
    """Return what a strategy's budget is, as far as a legend does not say it."""
    if row["role"] == "proxy":
        return ""
    if row["budget_kind"] == "none":
        return "whole pool" if row["budget"] >= row[_POOL] else f"{row['budget']:,}"
    anew = "anew in every pass" if row["budget_kind"] == "per_epoch" else ""
    return anew if several else f"{row['budget']:,}{' a pass' if anew else ''}"


def _draw_controls(axes: Axes, rows: pd.DataFrame, mean: str) -> list[Line2D]:
    """Draw the means of random (per budget) and all through all rows; return their legend entries.

    With a grid there are as many as there are points, and no line would be the one to compare with.
    """
    entries = []
    for strategy in ("random", "all"):
        own = rows[(rows["strategy"] == strategy) & (rows["role"] != "proxy")]
        if not len(own) or own["budget"].duplicated().any():
            continue
        look = CONTROLS[strategy].line(linewidth=0.9)
        for value in own[mean]:
            axes.axvline(value, zorder=1, **look)
        entries.append(Line2D([], [], **look, label=f"mean of {strategy}"))
    return entries


def _draw_costs(
    axes: Axes,
    rows: pd.DataFrame,
    cost: str,
    metric: str,
    styles: Mapping[str, StrategyStyle],
    fills: Mapping[int, float],
) -> None:
    known = rows.dropna(subset=[f"{cost}_mean"])
    for _, own in known.sort_values("budget", kind="stable").groupby(_LABEL, sort=False):
        spent, reached = own[f"{cost}_mean"].to_numpy(), own[f"test_{metric}_mean"].to_numpy()
        style = styles[own["strategy"].iloc[0]]
        if len(own) > 1:
            axes.plot(spent, reached, linewidth=0.7, alpha=0.6, zorder=2, color=style.colour)
        for budget, x, y in zip(own["budget"], spent, reached, strict=True):
            is_named = x == spent[-1] and y == reached[-1]
            axes.plot(x, y, **style.point(fills[budget], size=7.0 if is_named else 5.0, zorder=3, clip_on=False))
    words = (_WITH_PRETRAINING if f"{PRETRAINING_SECONDS}_mean" in known else _COSTS)[cost]
    _scale_costs(axes, known[f"{cost}_mean"], words)
    tidy(axes, grid="both")


def _name_points(axes: Axes, rows: pd.DataFrame, cost: str, metric: str) -> None:
    """Write the names beside the points; limits are final only now."""
    x, y = f"{cost}_mean", f"test_{metric}_mean"
    known = rows.dropna(subset=[x]).sort_values("budget", kind="stable")
    largest = known.drop_duplicates(_LABEL, keep="last")
    points = list(zip(largest[x], largest[y], strict=True))
    others = list(zip(known[x], known[y], strict=True))
    label_points(axes, points, distinct_short_names([str(name) for name in largest[_LABEL]]), avoid=others)


def _draw_front(axes: Axes, front: pd.DataFrame) -> None:
    """Draw the Pareto front, with a ring around each configuration that is surely on it.

    Args:
        axes: to draw on.
        front: rows of `pareto_table`.
    """
    axes.step(front["spent"], front["mean"], where="post", color=GREY, linewidth=1, linestyle="--", zorder=1)
    sure = front[front["place"] == FRONT]
    if len(sure):  # without points the layout takes the artist for one in the corner of the figure
        ring: dict[str, Any] = {"s": _RING_SIZE**2, "facecolors": "none", "edgecolors": GREY, "zorder": 1.5}
        axes.scatter(sure["spent"], sure["mean"], **ring, clip_on=False)


def _scale_costs(axes: Axes, costs: pd.Series[float], words: str) -> None:
    axes.set_xlabel(words, fontsize=9)
    low, high = float(costs.min()), float(costs.max())
    if low > 0 and high / low >= _WIDE:
        axes.set_xscale("log")
        number_log_ticks(axes.xaxis)
    else:
        short_counts(axes.xaxis)
    axes.margins(x=0.12, y=0.08)
