"""Strategies beside each other: how good, and at what cost."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from raybert.analysis.plots.labels import label_points
from raybert.analysis.plots.style import (
    GREY,
    KINDS,
    add_title,
    budget_colours,
    budget_entries,
    kind_entries,
    kind_of,
    number_log_ticks,
    place_legend,
    short_name,
    tidy,
)
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.summary import best_configurations

_WIDE = 8.0
"""From this ratio of the largest to the smallest cost on the axis is logarithmic."""
_TALL = 20


def draw_accuracy(sweep: Sweep) -> Figure:
    """Return test accuracy per strategy: mean, 95 % interval over seeds (or folds), and every trial as a faint dot.

    One row per strategy, best at the top, its budgets in one colour each; the marker tells the budget kind.
    """
    best = best_configurations(sweep.summary)
    names = list(best.groupby("strategy")["test_accuracy_mean"].max().sort_values(kind="stable").index)
    colours = budget_colours(best)
    most = int(best.groupby("strategy").size().max())
    figure = Figure(figsize=(7.2, 1.6 + (0.16 + 0.1 * most) * len(names)), layout="constrained")
    axes = figure.subplots()
    for y, name in enumerate(names):
        rows = best[best["strategy"] == name].sort_values("budget").to_dict("records")
        for row, shift in zip(rows, _shifts(len(rows)), strict=True):
            _draw_interval(axes, sweep, row, y + shift, colours[row["budget"]])
    lines = _draw_baselines(axes, best, colours)
    axes.set_yticks(range(len(names)), [_row_label(name, best, colours) for name in names])
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel(f"test accuracy (mean and 95 % interval over {sweep.replicates}; faint: single trials)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if len(names) > _TALL:
        axes.tick_params(axis="x", labeltop=True)
    add_title(axes, "Which strategy finds the examples worth training on?")
    tidy(axes, grid="x")
    kinds = {kind_of(row) for row in best.to_dict("records")}
    place_legend(figure, [*budget_entries(colours), *kind_entries(kinds), *lines])
    return figure


def draw_cost(sweep: Sweep) -> Figure:
    """Return test accuracy against total cost: training, selection, and signals as if computed for it alone.

    One named point per strategy, at its largest budget; its smaller budgets are joined to it by a line. The grey
    steps are the best accuracy that any strategy reaches for the cost.
    """
    best = best_configurations(sweep.summary).dropna(subset=["total_seconds_mean", "test_accuracy_mean"])
    colours = budget_colours(best)
    crowd = max(0, best["strategy"].nunique() - 10)
    figure = Figure(figsize=(7.6 + 0.07 * crowd, 5.2 + 0.11 * crowd), layout="constrained")
    axes = figure.subplots()
    named: dict[str, tuple[float, float]] = {}
    for name, rows in best.sort_values("budget", kind="stable").groupby("strategy", sort=False):
        seconds, accuracy = rows["total_seconds_mean"].to_numpy(), rows["test_accuracy_mean"].to_numpy()
        axes.plot(seconds, accuracy, color=GREY, linewidth=0.7, alpha=0.6, zorder=2)
        for row, x, y in zip(rows.to_dict("records"), seconds, accuracy, strict=True):
            is_named = x == seconds[-1] and y == accuracy[-1]
            size, alpha = (5.5, 1.0) if is_named else (4.0, 0.6)
            axes.plot(
                x, y, KINDS[kind_of(row)][0], color=colours[row["budget"]], markersize=size, alpha=alpha, zorder=3
            )
        named[str(name)] = float(seconds[-1]), float(accuracy[-1])
    _draw_front(axes, best)
    _scale_costs(axes, best["total_seconds_mean"])
    axes.set_ylabel("test accuracy (mean over seeds)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    add_title(axes, "What does each strategy's accuracy cost?")
    tidy(axes, grid="both")
    kinds = {kind_of(row) for row in best.to_dict("records")}
    front = Line2D([], [], color=GREY, linewidth=1, linestyle="--", label="best for the cost")
    place_legend(figure, [*budget_entries(colours), *kind_entries(kinds), front])
    others = list(zip(best["total_seconds_mean"], best["test_accuracy_mean"], strict=True))
    label_points(axes, list(named.values()), [short_name(name) for name in named], avoid=others)
    return figure


def _draw_interval(axes: Axes, sweep: Sweep, row: dict[Any, Any], y: float, colour: str) -> None:
    mean, low, high = (row[f"test_accuracy_{end}"] for end in ("mean", "low", "high"))
    seeds = sweep.trials_of(row)["test_accuracy"]
    axes.plot(seeds, np.full(len(seeds), y), "o", color=colour, alpha=0.25, markersize=3.5, zorder=2)
    axes.errorbar(
        mean,
        y,
        xerr=None if np.isnan(low) else [[mean - low], [high - mean]],
        fmt=KINDS[kind_of(row)][0],
        color=colour,
        capsize=2.5,
        markersize=5.5,
        linewidth=1.3,
        zorder=3,
    )


def _shifts(count: int) -> np.ndarray:
    """Return where in its row each budget is drawn: the largest highest."""
    return (np.arange(count) - (count - 1) / 2) * min(0.26, 0.75 / count)


def _row_label(name: str, best: pd.DataFrame, colours: dict[int, str]) -> str:
    if len(colours) > 1:
        return short_name(name)
    return f"{short_name(name)}  ({best.loc[best['strategy'] == name, 'budget'].iloc[0]:,})"


def _draw_baselines(axes: Axes, best: pd.DataFrame, colours: dict[int, str]) -> list[Line2D]:
    """Draw the means of random (per budget) and all through all rows; return their legend entries."""
    entries = []
    styles: tuple[tuple[str, Literal["--", ":"]], ...] = (("random", "--"), ("all", ":"))
    for strategy, style in styles:
        rows = best[(best["strategy"] == strategy) & (best["role"] != "proxy")]
        for row in rows.to_dict("records"):
            axes.axvline(
                row["test_accuracy_mean"], color=colours[row["budget"]], linestyle=style, linewidth=1, zorder=1
            )
        if len(rows):
            entries.append(Line2D([], [], color=GREY, linestyle=style, linewidth=1, label=f"mean of {strategy}"))
    return entries


def _draw_front(axes: Axes, best: pd.DataFrame) -> None:
    """Draw the best accuracy that is reached at each cost or less."""
    ordered = best.sort_values("total_seconds_mean", kind="stable")
    front = ordered[ordered["test_accuracy_mean"] > ordered["test_accuracy_mean"].cummax().shift(fill_value=-np.inf)]
    seconds, highest = front["total_seconds_mean"], front["test_accuracy_mean"]
    axes.step(seconds, highest, where="post", color=GREY, linewidth=1, linestyle="--", zorder=1)


def _scale_costs(axes: Axes, seconds: pd.Series[float]) -> None:
    axes.set_xlabel("cost in seconds: training + selection + signals, each strategy on its own (mean over seeds)")
    low, high = float(seconds.min()), float(seconds.max())
    if low <= 0 or high / low < _WIDE:
        axes.margins(x=0.12, y=0.08)
        return
    axes.set_xscale("log")
    number_log_ticks(axes.xaxis)
    axes.margins(x=0.12, y=0.08)
