"""Which place each strategy takes: seed by seed in one sweep, and over data sets with a critical difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.strategy_styles import StrategyStyle, strategy_styles
from raybert.analysis.plots.style import GREY, distinct_short_names, tidy
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.ranks import alike_groups
from raybert.analysis.statistics.scales import Scale

MOST_BUDGETS = 4
_ROW = 0.24
"""Inches of a row."""
_PANEL = 2.3
_WIDEST = 3.8
_SIZE = 8.0
_BAR = 0.13
"""Inches between the bars of two groups."""
_LINE = 0.21
"""Inches between two names of a critical-difference diagram."""
_AXIS = 4.6
_REACH = 0.3
"""Inches beside the axis to the names."""


def draw_ranks(
    ranks: pd.DataFrame, metric: str, styles: Mapping[str, StrategyStyle], replicates: str = "seeds"
) -> Figure | None:
    """Return the ranks of strategies among those with the same budget, a panel per budget, a row per strategy.

    A marker is the mean rank, a line its 95 % interval, dots are single seeds or folds. Strategies stand by their mean
    rank over the panels. Nothing is tested: seeds of one data set do not tell which strategy is better elsewhere.

    Args:
        ranks: of `ranks_over_replicates`.
        metric: that they are ranked by.
        styles: of each strategy, by its label.
        replicates: `seeds` or `folds`.

    Returns:
        The figure; None: no budget has three strategies to rank.
    """
    if ranks.empty:
        return None
    budgets = sorted(ranks["budget"].unique())
    shown = budgets if len(budgets) <= MOST_BUDGETS else [*budgets[: MOST_BUDGETS - 1], budgets[-1]]
    rows = ranks[ranks["budget"].isin(shown)]
    names = [str(name) for name in rows.groupby("strategy", sort=False)["mean"].mean().sort_values(kind="stable").index]
    lines = _lines(rows, replicates, len(budgets) - len(shown))
    short = distinct_short_names(names)
    left = 0.25 + width_of(short, _SIZE)
    title = f"Which place does each strategy take by test {Scale(metric).words}?"
    panel = max(_PANEL, _WIDEST / len(shown))
    width = max(left + panel * len(shown) + 0.2, 0.3 + width_of([title], 11.0), 0.3 + width_of(lines, 8.0))
    head = head_height(lines) + 0.35
    figure = Figure(figsize=(width, head + _ROW * len(names) + 0.55))
    write_head(figure, 0.15, title, lines)
    for number, budget in enumerate(shown):
        axes = add_panel(figure, left + panel * number, head, panel - 0.2, _ROW * len(names))
        _draw_panel(axes, rows[rows["budget"] == budget], names, styles)
        axes.set_title(f"budget {budget:,}", loc="left", fontsize=9)
        axes.set_yticks(range(len(names)), short if number == 0 else [""] * len(names), fontsize=_SIZE)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, names: Sequence[str], styles: Mapping[str, StrategyStyle]) -> None:
    for row in rows.to_dict("records"):
        y, style = names.index(row["strategy"]), styles[row["strategy"]]
        places, counts = np.unique(row["ranks"], return_counts=True)
        if row["num_replicates"] > 1:  # a dot is larger the more often a rank is taken
            axes.scatter(places, np.full(len(places), y), 16 * counts, color=style.colour, alpha=0.4, linewidths=0)
        if not np.isnan(row["low"]):
            axes.plot([row["low"], row["high"]], [y, y], "-", color=style.colour, linewidth=1.3, zorder=3)
        axes.plot(row["mean"], y, **style.point(0.0, size=6, zorder=4))
    most = int(rows["num_strategies"].max())
    axes.set_xlim(0.5, most + 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(min(most, 6), integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", labelsize=_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"rank of {most} (1: best)", fontsize=_SIZE)
    tidy(axes, grid="both")


def _lines(rows: pd.DataFrame, replicates: str, num_left_out: int) -> list[str]:
    most, dropped = int(rows["num_replicates"].max()), int(rows["num_dropped"].max())
    words = f"one {replicates.rstrip('s')}: what another one would give is not known"
    if most >= 2:
        interval = "; lines: its 95 % interval" if most >= FEWEST else ""
        words = f"markers: mean rank{interval}; dots: single {replicates}, larger where several take the same place"
    lines = [words, "ranks on these data only; nothing is tested"]
    if dropped:
        lines.append(f"up to {dropped} {replicates} left out that not every strategy has finished")
    if num_left_out:
        lines.append(f"{num_left_out} budgets between the last two panels left out; tables have all")
    return lines


def draw_critical_difference(
    ranks: Mapping[str, float],
    groups: Sequence[Sequence[str]] | None = None,
    *,
    difference: float | None = None,
    num_data_sets: int | None = None,
    styles: Mapping[str, StrategyStyle] | None = None,
) -> Figure:
    """Return a critical-difference diagram: strategies by mean rank, and bars over those that are not told apart.

    The best are on the left. `raybert.analysis.statistics.ranks.critical_difference` gives the difference.

    Args:
        ranks: of each strategy (two at least) its mean rank, 1 = best.
        groups: strategies that are not different, a bar each; default: `alike_groups` by the difference.
        difference: the critical one, which is drawn above the axis.
        num_data_sets: that ranks are means over, for the words.
        styles: of each strategy; default: those of `strategy_styles`.

    Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", figure 1.
    """
    names = sorted(ranks, key=lambda name: ranks[name])
    own = dict(styles or strategy_styles(list(ranks)))
    bars = [list(group) for group in groups] if groups is not None else []
    if groups is None and difference is not None:
        bars = [list(group) for group in alike_groups(ranks, difference)]
    short = dict(zip(names, distinct_short_names(names), strict=True))
    margin = 0.15 + _REACH + width_of((f"{ranks[name]:.2f}   {short[name]}" for name in names), _SIZE)
    per_side = -(-len(names) // 2)
    lines = [
        "mean ranks" + (f" over {num_data_sets} data sets" if num_data_sets is not None else "") + ", the best left; "
        "a bar joins strategies that are not told apart"
    ]
    head = head_height(lines) + (0.75 if difference is not None else 0.45)
    below = 0.1 + _BAR * len(bars) + _LINE * per_side + 0.15
    title = "Which strategies rank differently?"
    width = max(2 * margin + _AXIS, 0.3 + width_of(lines, 8.0))
    figure = Figure(figsize=(width, head + below))
    write_head(figure, 0.15, title, lines)
    axes = add_panel(figure, (width - _AXIS) / 2, head, _AXIS, below)
    _draw_axis(axes, len(names), below)
    for number, group in enumerate(bars):
        y = 0.1 + _BAR * number
        ends = [ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04]
        axes.plot(ends, [y, y], color="#333333", linewidth=3.2, solid_capstyle="butt", clip_on=False, label="_group")
    for place, name in enumerate(names):
        _write_name(
            axes,
            name=short[name],
            rank=ranks[name],
            place=place,
            number=len(names),
            style=own[name],
            top=0.1 + _BAR * len(bars),
        )
    if difference is not None:
        _draw_difference(axes, difference, len(names))
    return figure


def _draw_axis(axes: Axes, number: int, below: float) -> None:
    """Draw ranks along the upper edge; what hangs below it is placed in inches."""
    axes.set_xlim(1, number)
    axes.set_ylim(below, 0)
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.set_yticks([])
    axes.xaxis.set_ticks_position("top")
    axes.set_xticks(range(1, number + 1, max(1, round(number / 10))))
    axes.tick_params(axis="x", labelsize=_SIZE)


def _write_name(axes: Axes, name: str, rank: float, place: int, number: int, style: StrategyStyle, top: float) -> None:
    """Write a name beside the axis, on the side of its rank, with a line to it.

    Args:
        axes: with a scale of inches, downwards.
        name: to write.
        rank: its mean rank.
        place: its place by rank, from 0.
        number: of all.
        style: of the line.
        top: inches from the axis to the first names.
    """
    is_left = place < -(-number // 2)
    y = top + _LINE * ((place if is_left else number - 1 - place) + 0.5)
    low, high = axes.get_xlim()
    reach = _REACH / _AXIS * (high - low)
    end = low - reach if is_left else high + reach
    axes.plot([rank, rank, end], [0, y, y], color=style.colour, linewidth=1.0, clip_on=False, zorder=2)
    axes.plot(rank, 0, clip_on=False, **style.point(size=5, zorder=4))
    words = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
    side = -1 if is_left else 1
    axes.text(end + 0.15 * side * reach, y, words, ha="right" if is_left else "left", va="center", fontsize=_SIZE)


def _draw_difference(axes: Axes, difference: float, number: int) -> None:
    """Draw the critical difference above the axis; one that is longer than the axis is only written."""
    words = f"critical difference {difference:.2f}"
    y = -0.42
    if difference <= number - 1:
        axes.plot([1, 1 + difference], [y, y], "|-", color=GREY, markersize=6, linewidth=1.2, clip_on=False)
        axes.text(1, y - 0.08, words, va="bottom", fontsize=_SIZE, color="#444444")
        return
    axes.text(1, y, f"{words}, more than all ranks: nothing is told apart", fontsize=_SIZE, color="#444444")
