"""A search: how the best value grew, what became of the suggestions, which parameters matter."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from raybert.analysis.plots.style import (
    ALERT,
    GREY,
    INK,
    StrategyStyle,
    add_heading,
    cell_grid,
    distinct_short_names,
    number_in_percent,
    place_legend,
    tidy,
    write_in_cell,
)
from raybert.analysis.search import Search
from raybert.analysis.search.importances import OVERALL, UNPREDICTABLE
from raybert.analysis.search.labels import Arm, arm_names, short_parameter_names
from raybert.tables.search import ARM_KEYS

LIGHT = "#d0d0d0"
_STATE_MARKS = {"pruned": "|", "failed": "x"}
STATE_COLOURS = {"complete": INK, "pruned": "#b9b9b9", "failed": ALERT, "running": "#ffffff"}
"""Of states: greys and the colour of what went wrong, which no strategy has."""
_STATE_HATCHES = {"failed": "////", "running": "...."}
_LETTER = 0.062  # inches
_DIVERGED = 0.1
"""Share of the complete values that lie below the axis: what diverged would flatten the rest."""


def arm_labels(search: Search) -> dict[Arm, str]:
    """Return a label per arm that leaves room for the plot beside it."""
    names = arm_names(search.pruning)
    return dict(zip(names, distinct_short_names(list(names.values())), strict=True))


def value_limits(search: Search) -> tuple[float, float]:
    """Return the ends of an axis of values: all but the worst tenth, which may have diverged."""
    values = search.suggestions.loc[search.suggestions["state"] == "complete", "value"].dropna()
    if values.empty:
        return 0.0, 1.0
    worst = values.quantile(_DIVERGED if search.maximize else 1 - _DIVERGED)
    low, high = (worst, values.max()) if search.maximize else (values.min(), worst)
    pad = 0.08 * (high - low) or 0.01 * abs(high) or 0.5
    return float(low - pad), float(high + pad)


def plot_values(
    axes: Axes, x: np.ndarray, values: np.ndarray, limits: tuple[float, float], *, maximize: bool, **style: Any
) -> None:
    """Draw values as points, and those off the axis as triangles at its bad end; neither changes the layout.

    Args:
        axes: where.
        x: (n,) places.
        values: (n,) heights.
        limits: ends of the axis of values.
        maximize: whether low values are the bad ones.
        style: of points and triangles.
    """
    inside = (values >= limits[0]) & (values <= limits[1])
    edge, marker = (limits[0], "v") if maximize else (limits[1], "^")
    marks = axes.plot(x[inside], values[inside], "o", clip_on=False, **style)
    marks += axes.plot(x[~inside], np.full((~inside).sum(), edge), marker, clip_on=False, **style)
    for mark in marks:
        mark.set_in_layout(False)


def panel_grid(count: int) -> tuple[int, int]:
    """Return rows and columns of so many small panels."""
    columns = min(count, max(3, min(5, math.ceil(math.sqrt(count)))))
    return math.ceil(count / columns), columns


def hide_rest(grid: np.ndarray, count: int) -> None:
    """Hide the panels after the first ones, and label the axis of those above them."""
    for number, axes in enumerate(grid.flat):
        if number >= count:
            axes.set_visible(False)
        elif number + grid.shape[1] >= count:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("suggestion", fontsize=8)


def draw_search_history(search: Search, styles: Mapping[str, StrategyStyle] | None = None) -> Figure:
    """Return a panel per arm: complete suggestions as dots, the best so far as a line, those of other arms in grey.

    Ticks at the bottom are what was pruned or failed; triangles are complete values off the axis.
    optuna's own plot lays all arms over each other, with two legend entries each.

    Args:
        search: of the sweep.
        styles: of its strategies, by label; default: the best so far is black.
    """
    labels, limits = arm_labels(search), value_limits(search)
    history = dict(list(search.history.groupby(list(ARM_KEYS), sort=False)))
    rows, columns = panel_grid(len(labels))
    size = max(5.8, 2.35 * columns + 0.6), max(3.2, 1.65 * rows + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (arm, label) in zip(grid.flat, labels.items(), strict=False):
        for other in history.values():
            axes.step(other["number"], other["best_value"], where="post", color=LIGHT, linewidth=0.7, zorder=1)
        if arm in history:
            look = (styles or {}).get(arm[1], StrategyStyle("#000000", "", "-"))
            _draw_history(axes, history[arm], limits, look, maximize=search.maximize)
        axes.set_title(label, loc="left", fontsize=7.5).set_in_layout(False)
        tidy(axes, grid="y")
        axes.tick_params(labelsize=7.5)
    hide_rest(grid, len(labels))
    grid[0, 0].set_ylim(limits)
    grid[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supylabel(f"validation {search.metric}", fontsize=9)
    add_heading(figure, "How did each strategy's search go?")
    place_legend(figure, _history_entries(set(search.suggestions["state"]), has_others=len(labels) > 1), columns=3)
    return figure


def _draw_history(
    axes: Axes, rows: pd.DataFrame, limits: tuple[float, float], look: StrategyStyle, *, maximize: bool
) -> None:
    complete = rows[rows["state"] == "complete"]
    number, value = complete["number"].to_numpy(), complete["value"].to_numpy()
    plot_values(axes, number, value, limits, maximize=maximize, color=GREY, markersize=3, zorder=2)
    axes.step(rows["number"], rows["best_value"], where="post", color=look.colour, linewidth=1.6, zorder=4)
    for state in ("pruned", "failed"):
        numbers = rows.loc[rows["state"] == state, "number"]
        axes.plot(
            numbers,
            np.full(len(numbers), 0.04),
            _STATE_MARKS[state],
            color=STATE_COLOURS[state],
            markersize=5,
            transform=axes.get_xaxis_transform(),
            zorder=2,
        )


def _history_entries(states: Collection[str], *, has_others: bool) -> list[Line2D]:
    others = Line2D([], [], color=LIGHT, linewidth=1, label="other strategies")
    return [
        Line2D([], [], color=INK, linewidth=1.6, label="best so far (in the colour of the strategy)"),
        *([others] if has_others else []),
        Line2D([], [], color=GREY, marker="o", markersize=3, linestyle="", label="complete (triangle: off the axis)"),
        *(
            Line2D([], [], color=STATE_COLOURS[state], marker=mark, markersize=5, linestyle="", label=state)
            for state, mark in _STATE_MARKS.items()
            if state in states
        ),
    ]


def draw_search_cost(search: Search) -> Figure:
    """Return per arm what became of its suggestions, and the examples that they trained on.

    The line is what they would have cost had none been stopped.
    """
    labels, pruning = arm_labels(search), search.pruning
    y = np.arange(len(pruning))
    figure = Figure(figsize=(8.4, 1.5 + 0.22 * len(pruning)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    start = np.zeros(len(pruning))
    for state in STATE_COLOURS:
        left.barh(y, pruning[f"num_{state}"], left=start, height=0.7, **_bar(state))
        start += pruning[f"num_{state}"].to_numpy()
    kept = (pruning["examples_seen"] - pruning["examples_pruned"]).to_numpy()
    right.barh(y, kept, height=0.7, **_bar("complete"))
    right.barh(y, pruning["examples_pruned"], left=kept, height=0.7, **_bar("pruned"))
    full = (pruning["examples_seen"] / pruning["full_cost_fraction"]).to_numpy("float64")
    right.vlines(full, y - 0.4, y + 0.4, color="black", linewidth=1.2)
    for at, row in zip(y, pruning.to_dict("records"), strict=True):
        if not math.isnan(row["full_cost_fraction"]):
            words = f" {100 * row['full_cost_fraction']:.0f} %"
            right.text(np.nanmax([full[at], row["examples_seen"]]), at, words, va="center", fontsize=7)
    left.set_yticks(y, list(labels.values()), fontsize=8)
    left.set_ylim(len(pruning) - 0.4, -0.6)
    left.set_xlabel("suggestions")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("examples trained on, % of the full cost")
    right.margins(x=0.14)
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in (left, right):
        tidy(axes, grid="x")
    add_heading(figure, "What became of the suggestions, and what did they cost?")
    occurring = [state for state in STATE_COLOURS if pruning[f"num_{state}"].any()]
    entries = [Patch(label=state, **_bar(state)) for state in occurring]
    line = Line2D([], [], color="black", linewidth=1.2, label="cost if none were stopped")
    place_legend(figure, [*entries, line], columns=5)
    return figure


def _bar(state: str) -> dict[str, Any]:
    """Return how the suggestions of a state are filled: in grey, too, they stay apart."""
    edge = INK if state == "running" else "white" if state in _STATE_HATCHES else STATE_COLOURS[state]
    return {"facecolor": STATE_COLOURS[state], "edgecolor": edge, "hatch": _STATE_HATCHES.get(state), "linewidth": 0.5}


def draw_importances(search: Search) -> Figure | None:
    """Return the importance of each parameter over all strategies as bars, and per strategy as a heat map.

    Grey: the forest does not predict unseen suggestions (p > 0.05), so its importances mean little. None where
    nothing could be computed, no heat map where only all strategies together have enough suggestions. optuna's
    own plot has one study only.
    """
    table = search.importances.dropna(subset="importance")
    if table.empty:
        return None
    overall = table[table["strategy"] == OVERALL]
    others = table[table["strategy"] != OVERALL]
    largest = table.groupby("parameter")["importance"].max()
    ranked = [*overall["parameter"], *largest.drop(overall["parameter"]).sort_values(ascending=False).index][:12]
    strategies = list(others["strategy"].unique())
    names = distinct_short_names(short_parameter_names(ranked))
    columns = distinct_short_names(strategies)
    longest = max((len(name) for name in columns), default=0)
    width, height = 5.0 + 0.3 * len(strategies), 1.0 + 0.26 * len(ranked) + _LETTER * longest
    figure = Figure(figsize=(max(6.4, width), max(2.6, height)), layout="constrained")
    widths = [2.4, max(1.0, 0.3 * len(strategies))] if strategies else [1.0]
    grid = figure.add_gridspec(1, len(widths), width_ratios=widths)
    bars = figure.add_subplot(grid[0])
    shown = overall.set_index("parameter")["importance"].reindex(ranked)
    colour = LIGHT if (overall["p"] > UNPREDICTABLE).any() else INK
    bars.barh(range(len(ranked)), shown.fillna(0.0), color=colour, height=0.65)
    bars.set_yticks(range(len(ranked)), names, fontsize=8)
    number_in_percent(bars.xaxis)
    bars.set_xlabel("share of the variance", fontsize=8)
    bars.tick_params(axis="x", labelsize=8)
    bars.set_title("all strategies", loc="left", fontsize=9)
    tidy(bars, grid="x")
    if strategies:
        cells = figure.add_subplot(grid[1], sharey=bars)
        cells.tick_params(labelleft=False)
        _draw_importance_cells(cells, others, ranked, strategies)
        cells.set_xticks(range(len(strategies)), columns, rotation=90, fontsize=7.5)
        cells.set_title("each alone, %", loc="left", fontsize=9)
    bars.set_ylim(len(ranked) - 0.5, -0.5)
    bars.tick_params(which="minor", length=0)
    if (table["p"] > UNPREDICTABLE).any():
        words = "grey: too few or too noisy to tell, unseen suggestions are not predicted (p > 0.05)"
        figure.supxlabel(words, fontsize=8, color=GREY)
    more = f"; the first {len(ranked)} of {len(largest)}" if len(ranked) < len(largest) else ""
    add_heading(figure, f"Which parameters does the result depend on? (fANOVA{more})")
    return figure


def _draw_importance_cells(axes: Axes, table: pd.DataFrame, ranked: list[str], strategies: list[str]) -> None:
    wide = table.pivot_table(index="parameter", columns="strategy", values="importance")
    shares = wide.reindex(index=ranked, columns=strategies).to_numpy("float64")
    predicts = (table.groupby("strategy")["p"].min() <= UNPREDICTABLE).reindex(strategies).to_numpy()
    image = axes.imshow(np.ma.masked_invalid(np.where(predicts, shares, np.nan)), cmap="Blues", vmin=0, vmax=1)
    axes.set_aspect("auto")
    for (y, x), share in np.ndenumerate(shares):
        if math.isnan(share):
            continue
        if predicts[x]:
            write_in_cell(axes, image, x, y, share, f"{100 * share:.0f}")
        else:
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="#8a8a8a")
    cell_grid(axes, len(strategies), len(ranked))
