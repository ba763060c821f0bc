"""What happens during training: examples per pass, and learning curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from raybert.analysis.plots.style import DASHES, PALETTE, add_title, number_log_ticks, short_name, tidy
from raybert.analysis.results.sweep import Sweep

_NAMED = 4
"""Strategies that one legend entry names before it counts the others."""
_COLOURED = 7
"""Learning curves in colour; one more is random, the others are grey."""
_WIDE = 20.0


def draw_samples_per_pass(sweep: Sweep) -> Figure:
    """Return how many examples each pass of each strategy trained on, one line per strategy (mean over seeds).

    Strategies with the same line at a budget share it and its legend entry.
    """
    complete = sweep.comparable_trials()
    several = complete.loc[complete["budget_kind"] != "none", "budget"].nunique() > 1
    lines: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for (strategy, budget, kind), group in complete.groupby(["strategy", "budget", "budget_kind"], sort=False):
        passes = [list(counts) for counts in group["samples_per_pass"]]
        shortest = min(len(counts) for counts in passes)
        mean = tuple(np.mean([counts[:shortest] for counts in passes], axis=0))
        heading = f"budget {budget:,}:\n" if several and kind != "none" else ""
        lines.setdefault((heading, mean), []).append(short_name(str(strategy)))
    figure = Figure(figsize=(8.4, max(4.0, 1.2 + 0.36 * len(lines))), layout="constrained")
    axes = figure.subplots()
    for i, ((heading, counts), names) in enumerate(lines.items()):
        axes.plot(
            np.arange(1, len(counts) + 1),
            counts,
            **_line_style(i),
            marker="o" if len(counts) <= 30 else None,
            markersize=3.5,
            label=heading + _named(names),
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("pass over what the strategy chose")
    axes.set_ylabel("examples in the pass")
    _scale_counts(axes, [count for _, counts in lines for count in counts])
    add_title(axes, "How many examples does each pass train on?")
    tidy(axes, grid="y")
    if lines:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def draw_learning_curves(sweep: Sweep) -> Figure:
    """Return validation accuracy against examples seen, mean over seeds, a panel per budget.

    With many strategies those that end best and random are in colour, the others grey.
    """
    compared = sweep.trials.loc[sweep.trials["role"] == "trial", ["trial_id", "budget_kind"]]
    evaluations = sweep.evaluations.merge(compared, on="trial_id")
    panels = [rows for _, rows in evaluations.groupby(["budget", evaluations["budget_kind"] == "none"])]
    columns = min(2, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(7.2 if columns == 1 else 10.6, 0.6 + 4.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_curves(axes, panel)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("examples seen (repetitions included)", fontsize=10)
    figure.supylabel("validation accuracy (mean over seeds)", fontsize=10)
    figure.suptitle("How fast does each strategy learn?", fontsize=11)
    return figure


def _draw_curves(axes: Axes, panel: pd.DataFrame) -> None:
    curves = {
        str(strategy): group.groupby("evaluation")[["examples_seen", "validation_accuracy"]].mean()
        for strategy, group in panel.groupby("strategy", sort=False)
    }
    shown = _worth_colour({name: curve["validation_accuracy"].iloc[-1] for name, curve in curves.items()})
    for name in [*(name for name in curves if name not in shown), *shown]:
        style = _line_style(shown.index(name)) if name in shown else {"color": "#c9c9c9", "linewidth": 0.8}
        if name == "random":
            style = {"color": "black", "linestyle": "--", "linewidth": 1.8}
        curve = curves[name]
        axes.plot(
            curve["examples_seen"],
            curve["validation_accuracy"],
            label=short_name(name) if name in shown else f"_{name}",
            **style,
        )
    num_grey = len(curves) - len(shown)
    if num_grey:
        axes.plot([], [], color="#c9c9c9", linewidth=0.8, label=f"{num_grey} others")
    whole = panel["budget_kind"].iloc[0] == "none"
    axes.set_title(f"{'whole pool' if whole else 'budget'} {panel['budget'].iloc[0]:,}", loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.legend(frameon=False, fontsize=7.5, loc="lower right")
    tidy(axes, grid="y")


def _worth_colour(final: dict[str, float]) -> list[str]:
    """Return the strategies to name: random, and those that end best."""
    ranked = sorted((name for name in final if name != "random"), key=lambda name: -np.nan_to_num(final[name]))
    return ranked[:_COLOURED] + (["random"] if "random" in final else [])


def _line_style(i: int) -> dict[str, Any]:
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
    shown = names if len(names) <= _NAMED + 1 else [*names[:_NAMED], f"and {len(names) - _NAMED} more"]
    return "\n".join(shown)
