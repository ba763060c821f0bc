"""What happens during training: examples per pass, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybert.analysis.plots.style import (
    DASHES,
    PALETTE,
    add_title,
    distinct_short_names,
    in_two_lines,
    number_log_ticks,
    place_legend,
    scale_axis,
    tidy,
)
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY, Configurations, has_budget
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale

_NAMED = 2
"""Strategies that one legend entry names before it counts the others."""
_LONG_ENTRY = 50
"""Letters from which on legend entries stand one below the other."""
_COLOURED = 7
"""Learning curves in colour; one more is random, the others are grey."""
_WIDE = 20.0
_LONG_TITLE = 50


def draw_samples_per_pass(sweep: Sweep) -> Figure:
    """Return how many examples each pass of each configuration trained on, one line each (mean over seeds).

    Configurations with the same line at a budget share it and its legend entry.
    """
    complete = sweep.comparable_trials()
    several = complete.loc[has_budget(complete), "budget"].nunique() > 1
    lines: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for name, group in complete.groupby(KEY, sort=False):
        passes = [list(counts) for counts in group["samples_per_pass"]]
        shortest = min(len(counts) for counts in passes)
        mean = tuple(np.mean([counts[:shortest] for counts in passes], axis=0))
        budget = sweep.configurations[str(name)].budget
        heading = f"budget {budget:,}: " if several and budget is not None else ""
        lines.setdefault((heading, mean), []).append(str(name))
    names = {line: _shared_names(sweep.configurations, own, lines) for line, own in lines.items()}
    labels = [heading + _named(names[heading, counts]) for heading, counts in lines]
    columns = 1 if max(map(len, labels), default=0) > _LONG_ENTRY else 2
    figure = Figure(figsize=(7.6, 4.2 + 0.17 * math.ceil(len(lines) / columns)), layout="constrained")
    axes = figure.subplots()
    for i, ((_, counts), label) in enumerate(zip(lines, labels, strict=True)):
        axes.plot(
            np.arange(1, len(counts) + 1),
            counts,
            **line_style(i),
            marker="o" if len(counts) <= 30 else None,
            markersize=3.5,
            label=label,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("pass over what the strategy chose")
    axes.set_ylabel("examples in the pass")
    _scale_counts(axes, [count for _, counts in lines for count in counts])
    add_title(axes, "How many examples does each pass train on?")
    tidy(axes, grid="y")
    place_legend(figure, axes.get_lines(), columns)
    return figure


def _shared_names(configurations: Configurations, own: list[str], lines: Mapping[Any, list[str]]) -> list[str]:
    """Return what a line is called: a strategy by its name alone where no point of the grid has another line."""
    shown: dict[str, None] = {}
    for name in own:
        one = configurations[name]
        alike = {
            other
            for other in (name for names in lines.values() for name in names)
            if (configurations[other].strategy, configurations[other].budget) == (one.strategy, one.budget)
        }
        shown[one.strategy if alike <= set(own) else one.label] = None
    return distinct_short_names(list(shown))


def draw_learning_curves(sweep: Sweep) -> Figure:
    """Return the sweep's metric on validation against examples seen, mean over seeds.

    A panel per budget and point of the grid, a curve per strategy; of a single strategy a panel per budget, a curve
    per point. With many curves those that end best and random are in colour, the others grey.
    """
    compared = sweep.trials.loc[sweep.trials["role"] == "trial", ["trial_id", "budget_kind"]]
    # A grid may vary `best_metric`: not every run measures that of the sweep.
    metric = sweep.metric if f"validation_{sweep.metric}" in sweep.evaluations else "accuracy"
    column = f"validation_{metric}"
    evaluations = sweep.evaluations.merge(compared, on="trial_id").dropna(subset=[column])
    panels = list(panels_of(sweep, evaluations))
    columns = max(1, math.ceil(math.sqrt(len(panels)))) if len(panels) > 8 else min(2, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(7.2 if columns == 1 else 5.3 * columns, 0.6 + 4.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    scale = Scale(metric)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        _draw_curves(axes, panel, column, scale)
        axes.set_title(in_two_lines(title, _LONG_TITLE), loc="left", fontsize=10)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    if panels:
        scale_axis(grid.flat[0], "y", scale)
    figure.supxlabel("examples seen (repetitions included)", fontsize=10)
    figure.supylabel(f"validation {scale.words} (mean over seeds)", fontsize=10)
    figure.suptitle("How fast does each strategy learn?", fontsize=11)
    return figure


CURVE = "_curve"
"""The column that names the curve of a row."""


def panels_of(sweep: Sweep, evaluations: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield title and evaluations of every panel, with the name of each row's curve in it."""
    known = sweep.configurations
    others = [column for column in known.headers if column in evaluations]
    by_point = bool(others) and evaluations["strategy"].nunique() > 1
    for point, at_point in grid_points(evaluations, others if by_point else ()):
        budgets = at_point.groupby(["budget", ~has_budget(at_point)], sort=True)
        for (budget, whole), rows in budgets:
            title = f"{'whole pool' if whole else 'budget'} {budget:,}"
            if point:
                most = max((known[name] for name in rows[KEY].unique()), key=lambda one: len(one.point))
                title = f"{title}, {most.point}" if most.point else title
            curves = [
                known[name].strategy if by_point else known[name].point or known[name].strategy for name in rows[KEY]
            ]
            yield title, rows.assign(**{CURVE: curves})


def _draw_curves(axes: Axes, panel: pd.DataFrame, column: str, scale: Scale) -> None:
    curves = {
        str(name): group.groupby("evaluation")[["examples_seen", column]].mean()
        for name, group in panel.groupby(CURVE, sort=False)
    }
    shown = worth_colour({name: scale.sign * float(curve[column].iloc[-1]) for name, curve in curves.items()})
    short = dict(zip(shown, distinct_short_names(shown), strict=True))
    for name in [*(name for name in curves if name not in shown), *shown]:
        style = line_style(shown.index(name)) if name in shown else {"color": "#c9c9c9", "linewidth": 0.8}
        if name == "random":
            style = {"color": "black", "linestyle": "--", "linewidth": 1.8}
        curve = curves[name]
        axes.plot(curve["examples_seen"], curve[column], label=short.get(name, f"_{name}"), **style)
    num_grey = len(curves) - len(shown)
    if num_grey:
        axes.plot([], [], color="#c9c9c9", linewidth=0.8, label=f"{num_grey} other{'s' if num_grey > 1 else ''}")
    axes.legend(frameon=False, fontsize=7.5, loc="lower right" if scale.sign > 0 else "upper right")
    tidy(axes, grid="y")


def worth_colour(final: dict[str, float]) -> list[str]:
    """Return the curves to name: random, and those that end best.

    Args:
        final: of every curve its end, higher = better.
    """
    ranked = sorted((name for name in final if name != "random"), key=lambda name: -np.nan_to_num(final[name]))
    return ranked[:_COLOURED] + (["random"] if "random" in final else [])


def line_style(i: int) -> dict[str, Any]:
    """Return colour and dashes of the i-th curve."""
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": DASHES[(i // len(PALETTE)) % len(DASHES)]}


def _scale_counts(axes: Axes, counts: list[float]) -> None:
    positive = [count for count in counts if count > 0]
    if positive and max(positive) / min(positive) > _WIDE:
        axes.set_yscale("log")
        number_log_ticks(axes.yaxis)
        axes.set_ylabel("examples in the pass (log)")
    else:
        axes.set_ylim(bottom=0)


def _named(names: list[str]) -> str:
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
