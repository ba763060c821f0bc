"""Every comparison as a row: the difference to its baseline with interval, single seeds, Holm's p and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.strategy_styles import StrategyStyle
from raybert.analysis.plots.style import GREY, distinct_short_names, short_name, tidy
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import BETTER, NOT_COMPARED, WORSE
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.pair_differences import BASELINE_KEY
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import difference_words

MOST_ROWS = 60
_ROW = 0.23
"""Inches of a row."""
_BETWEEN = 0.42
"""Inches between two panels, with the heading of the lower one."""
_PLOT = 3.9
_GAP = 0.15
_FOOT = 0.6
_BELOW = 0.24
"""How far below the line of its row single seeds stand, in rows."""
_LONGEST_NAME = 64
_MARKS = {BETTER: "+ better", WORSE: "- worse"}
_SIZE = 8.0


@dataclass(frozen=True)
class _Words:
    """What stands beside a row: its name, and the columns to the right of the plot."""

    name: str
    difference: str
    p: str
    verdict: str


def draw_forest(
    comparisons: pd.DataFrame, differences: pd.DataFrame, styles: Mapping[str, StrategyStyle], replicates: str = "seeds"
) -> Figure | None:
    """Return a forest plot: a panel per baseline, a row per configuration that is compared with it.

    A marker is the mean of the paired differences, a line their 95 % interval, faint dots single seeds or folds. It is
    full where Holm's correction leaves a difference, else hollow. Configurations stand by the
    difference, the best on top. Of more than 60 rows those with the largest differences are drawn, either way.

    Args:
        comparisons: rows of `COMPARISONS`, all of one metric.
        differences: of `pair_differences`, of these rows.
        styles: of each strategy, by its label.
        replicates: `seeds` or `folds`.

    Returns:
        The figure; None: nothing was compared.
    """
    known = comparisons.dropna(subset=["difference"])
    if known.empty:
        return None
    scale = Scale(str(known["metric"].iloc[0]))
    largest = known["difference"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    rows = known[known.index.isin(largest)]
    panels = [_best_first(own, scale) for _, own in rows.groupby("baseline", sort=False)]
    words = [_words_of(own) for own in panels]
    lines = _lines(rows, len(known), replicates)
    figure, axes = _panels(words, f"How much does each strategy change test {scale.words}?", lines)
    widths = _column_widths([row for panel in words for row in panel])
    for each, own, beside in zip(axes, panels, words, strict=True):
        _draw_rows(each, own, differences, styles)
        _write_columns(each, beside, widths, with_headings=each is axes[0])
        heading = f"compared with {short_name(str(own['baseline'].iloc[0]), _LONGEST_NAME)}"
        each.set_title(heading, loc="left", fontsize=9)
    _scale(axes, rows, differences, scale)
    return figure


def _best_first(rows: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """Return the rows of a panel: strategies by their largest gain, their budgets one below the other."""
    gain = scale.sign * rows["difference"]
    best = gain.groupby(rows["strategy"]).transform("max")
    order = rows.assign(_best=best, _gain=gain).sort_values(
        ["_best", "strategy", "budget", "_gain"], ascending=[False, True, True, False], kind="stable"
    )
    return order.drop(columns=["_best", "_gain"])


def _words_of(rows: pd.DataFrame) -> list[_Words]:
    beside = rows.groupby(KEY)[BASELINE_KEY].transform("nunique") > 1  # as beside every budget of a baseline
    names = [
        f"{row[KEY]} (to {row[BASELINE_KEY]})" if is_several else str(row[KEY])
        for row, is_several in zip(rows.to_dict("records"), beside, strict=True)
    ]
    return [
        _Words(
            name,
            difference_words(row),
            "" if pd.isna(row["holm_p"]) else _p_words(row["holm_p"]),
            "" if row["verdict"] == NOT_COMPARED else _MARKS.get(row["verdict"], str(row["verdict"])),
        )
        for name, row in zip(distinct_short_names(names, _LONGEST_NAME), rows.to_dict("records"), strict=True)
    ]


def _p_words(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _lines(rows: pd.DataFrame, number: int, replicates: str) -> list[str]:
    most = int(rows["num_replicates"].max())
    words = f"one {replicates.rstrip('s')}: no interval, no verdict"
    if most == FEWEST - 1:
        words = f"markers: mean of both {replicates} (dots), no interval, no verdict"
    elif most >= FEWEST:
        words = f"markers: mean paired difference; lines: its 95 % interval, not adjusted; dots: single {replicates}"
    lines = [words]
    if rows["holm_p"].notna().any():
        lines.append("full markers: different at 5 % after Holm's correction (p); hollow: not shown to differ")
    if number > len(rows):
        lines.append(f"{len(rows)} of {number} comparisons: those with the largest differences; tables have all")
    return lines


def _panels(words: Sequence[Sequence[_Words]], title: str, lines: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each baseline, whose rows have the same height in all of them."""
    every = [row for panel in words for row in panel]
    left = 0.25 + width_of((row.name for row in every), _SIZE)
    right = sum(_column_widths(every)) + 0.1
    width = max(left + _PLOT + right, 0.3 + width_of([title], 11.0), 0.3 + width_of(lines, 8.0))
    head = head_height(lines)
    heights = [_ROW * len(panel) for panel in words]
    figure = Figure(figsize=(width, head + sum(heights) + _BETWEEN * len(words) + _FOOT))
    write_head(figure, 0.15, title, lines)
    axes: list[Axes] = []
    top = head
    for height in heights:
        top += _BETWEEN
        axes.append(add_panel(figure, left, top, width - left - right, height))
        top += height
    return figure, axes


def _columns(every: Sequence[_Words]) -> list[list[str]]:
    """Return the texts of each column to the right, its heading first; those of a column without any are empty."""
    columns = (
        [
            "difference [95 %]" if any("[" in row.difference for row in every) else "difference",
            *(row.difference for row in every),
        ],
        ["Holm p", *(row.p for row in every)],
        ["", *(row.verdict for row in every)],
    )
    return [column if any(column[1:]) else [""] * len(column) for column in columns]


def _column_widths(every: Sequence[_Words]) -> list[float]:
    return [width_of(column, _SIZE) + _GAP if any(column) else 0.0 for column in _columns(every)]


def _write_columns(axes: Axes, words: Sequence[_Words], widths: Sequence[float], *, with_headings: bool) -> None:
    """Write names to the left of the rows, and what was found to the right.

    Args:
        axes: of a panel.
        words: of its rows, from the top.
        widths: of the columns, in inches.
        with_headings: above the columns.
    """
    axes.set_yticks(range(len(words)), [row.name for row in words], fontsize=_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(words) - 0.5, -0.5)
    inches = axes.get_position().width * float(axes.get_figure(root=True).get_size_inches()[0])  # type: ignore[union-attr]
    x = 1 + _GAP / inches
    for column, width in zip(_columns(words), widths, strict=True):
        shown = column if with_headings else ["", *column[1:]]
        for y, text in enumerate(shown, start=-1):
            if text:
                colour = GREY if y < 0 else "black"
                axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=_SIZE, color=colour)
        x += width / inches


def _draw_rows(axes: Axes, rows: pd.DataFrame, differences: pd.DataFrame, styles: Mapping[str, StrategyStyle]) -> None:
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    single = {key: own["difference"].to_numpy() for key, own in differences.groupby([BASELINE_KEY, KEY], sort=False)}
    for y, row in enumerate(rows.to_dict("records")):
        style = styles[row["strategy"]]
        dots = single[row[BASELINE_KEY], row[KEY]]
        if len(dots) > 1:
            axes.plot(
                dots, np.full(len(dots), y + _BELOW), "o", color=style.colour, alpha=0.6, markersize=2.8, zorder=2
            )
        if not pd.isna(row["difference_low"]):
            ends = [row["difference_low"], row["difference_high"]]
            axes.plot(ends, [y, y], "-", color=style.colour, linewidth=1.4, zorder=3)
        is_shown = row["verdict"] in _MARKS
        axes.plot(row["difference"], y, **style.point(1.0 if is_shown else 0.0, size=6.5, zorder=4))


def _scale(axes: Sequence[Axes], rows: pd.DataFrame, differences: pd.DataFrame, scale: Scale) -> None:
    """Give all panels one scale that holds every interval, dot and zero."""
    shown = differences[differences[KEY].isin(rows[KEY])]["difference"]
    values = np.concatenate([rows["difference_low"], rows["difference_high"], rows["difference"], shown, [0.0]])
    values = values[np.isfinite(values.astype(float))].astype(float)
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low) or 0.01
    side = "right" if scale.sign > 0 else "left"
    for each in axes:
        each.set_xlim(low - margin, high + margin)
        each.xaxis.set_major_locator(MaxNLocator(6))
        each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, scale)))
        each.tick_params(axis="x", labelsize=_SIZE, labelbottom=each is axes[-1])
        tidy(each, grid="x")
    words = "points" if scale.is_percent else "test " + scale.words
    axes[-1].set_xlabel(f"paired difference to the baseline, {words} ({side} of 0: better)", fontsize=_SIZE + 0.5)


def _tick(value: float, scale: Scale) -> str:
    size = round(100 * value if scale.is_percent else value, 9) + 0.0
    return f"{size:+g}" if size else "0"
