"""Colours, markers and words that all plots share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from raybert.analysis.plots.saving import save_figure as save_figure
from raybert.analysis.plots.strategy_styles import CONTROLS as CONTROLS
from raybert.analysis.plots.strategy_styles import PALETTE as PALETTE
from raybert.analysis.plots.strategy_styles import StrategyStyle as StrategyStyle
from raybert.analysis.plots.strategy_styles import strategy_styles as strategy_styles
from raybert.analysis.plots.strategy_styles import styles_of as styles_of
from raybert.analysis.statistics.configurations import has_budget
from raybert.analysis.statistics.scales import Scale

GREY = "#8a8a8a"
INK = "#3d3d3d"
"""What belongs to no strategy: the one run or model that a picture is about, a state of a suggestion."""
ALERT = "#cc2200"
"""What went wrong: a loss spike, a suggestion that has failed."""
POSITIVE, NEGATIVE = "#542788", "#b35806"
"""The ends of the scale of differences (PuOr)."""
WHOLE_POOL = "#444444"
_LONGEST_NAME = 34
_WIDE = 20.0
"""From this ratio of the largest to the smallest count on an axis of counts is logarithmic."""


def budget_fills(rows: pd.DataFrame) -> dict[int, float]:
    """Return how full the points of each budget are, smallest first, the largest and what has no budget full."""
    limited = sorted(int(budget) for budget in rows.loc[has_budget(rows), "budget"].unique())
    fills = {budget: i / (len(limited) - 1) if len(limited) > 1 else 1.0 for i, budget in enumerate(limited)}
    return fills | {int(b): 1.0 for b in rows.loc[~has_budget(rows), "budget"].unique() if int(b) not in fills}


def short_name(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a label that leaves room for the plot beside it."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def distinct_short_names(names: Sequence[str], longest: int = _LONGEST_NAME) -> list[str]:
    """Return labels as short as `short_name`'s, and distinct.

    Names that would read alike lose their middle in place of their end, and get a number if that is not enough.
    """
    short = [short_name(name, longest) for name in names]
    half = (longest - 1) // 2
    short = [f"{n[:half]}…{n[-half:]}" if short.count(s) > 1 else s for n, s in zip(names, short, strict=True)]
    return [f"{s} ({i + 1})" if short.count(s) > 1 else s for i, s in enumerate(short)]


def in_two_lines(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a long name with a line break at a comma, or another gap, nearest to its middle."""
    gaps = [i + 1 for i, letter in enumerate(name[:-1]) if letter in " ,(/_"]
    if len(name) <= longest or not gaps:
        return name
    after_comma = [gap for gap in gaps if name[gap - 1] == " " and name[gap - 2] == ","]
    middle = len(name) / 2
    near = [gap for gap in after_comma if abs(gap - middle) < len(name) / 4]
    at = min(near or gaps, key=lambda gap: abs(gap - middle))
    return f"{name[:at].rstrip()}\n{name[at:].lstrip()}"


def budget_entries(rows: pd.DataFrame) -> list[Line2D]:
    """Return legend entries for the budgets, where there are several."""
    fills, limited = budget_fills(rows), set(rows.loc[has_budget(rows), "budget"])
    if len(limited) < 2:
        return []
    return [
        Line2D([], [], **StrategyStyle(WHOLE_POOL, "o", "-").point(fill=fills[budget]), label=f"budget {budget:,}")
        for budget in sorted(map(int, limited))
    ]


def place_legend(figure: Figure, entries: Sequence[Artist], columns: int = 4) -> None:
    """Put a legend under the axes, where it hides nothing."""
    if entries:
        figure.legend(
            handles=list(entries),
            loc="outside lower center",
            ncols=min(columns, len(entries)),
            frameon=False,
            fontsize=8,
        )


def add_heading(figure: Figure, title: str) -> None:
    """Write the title above all axes, from the left edge of the figure: it may be wider than they are."""
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")


def add_title(axes: Axes, title: str) -> None:
    """Write the title at the left edge."""
    axes.set_title(title, loc="left", fontsize=11)


def scale_axis(axes: Axes, which: Literal["x", "y"], scale: Scale) -> None:
    """Number an axis of a metric in its own words, and end it where the metric does.

    Points at an end must be drawn with `clip_on=False`.
    """
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    ends = max(low, scale.lowest), min(high, scale.highest)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xlim(*ends)
    else:
        axes.set_ylim(*ends)
    if scale.is_percent:
        number_in_percent(axis)


def number_in_percent(axis: Axis) -> None:
    """Label an axis of shares in per cent, with as many digits as are needed."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g} %"))


def short_counts(axis: Axis) -> None:
    """Label an axis of counts in few letters: `15k`, `2M`."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short_count(value)))


def scale_counts(axes: Axes) -> bool:
    """Number the vertical axis of counts from zero on, or by powers of ten where they differ widely; tell which.

    Args:
        axes: with the lines drawn.
    """
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.ones(1)])
    values = values[values > 0]
    if len(values) and values.max() / values.min() > _WIDE:
        axes.set_yscale("log")
        number_log_ticks(axes.yaxis)
        return True
    axes.set_ylim(bottom=0)
    short_counts(axes.yaxis)
    return False


def _short_count(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:,g}"


def number_log_ticks(axis: Axis, at: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Label a logarithmic axis at some multiples of the powers of ten, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=tuple(at)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def tidy(axes: Axes, grid: str) -> None:
    """Leave the frame away, draw a light grid of one or both directions, and write in the size of all pictures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e3e3e3", linewidth=0.8)  # type: ignore[arg-type]
    axes.tick_params(labelsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(min(9.0, float(axis.label.get_fontsize())))
    axes.set_axisbelow(True)


def write_in_cell(
    axes: Axes, image: AxesImage, x: float, y: float, value: float, text: str, fontsize: float = 7
) -> None:
    """Write into a cell of a heat map, in black or white, whichever is readable on its colour."""
    red, green, blue, _ = image.to_rgba(np.array([value]))[0]
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    axes.text(x, y, text, ha="center", va="center", fontsize=fontsize, color="black" if bright else "white")


def cell_grid(axes: Axes, columns: int, rows: int) -> None:
    """Draw thin white lines between the cells of a heat map, and no frame."""
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
