"""How much room words need, so that figures can place panels in inches: a layout engine takes seconds to find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from raybert.analysis.plots.style import WHOLE_POOL
from raybert.plain import printable

_POINTS = 72.0
_HINTED = 1.02
"""Letters on pixels are up to 2 % wider than their outlines."""


def width_of(words: Iterable[str], fontsize: float) -> float:
    """Return the inches that the longest of some lines takes."""
    font = FontProperties(size=fontsize)
    widths = (text_to_path.get_text_width_height_descent(printable(line), font, ismath=False)[0] for line in words)
    return _HINTED * float(max(widths, default=0.0)) / _POINTS


def add_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return new axes at a place.

    Args:
        figure: with its final size.
        left: inches from its left edge.
        top: inches from its upper edge.
        width: in inches.
        height: in inches.
    """
    full = figure.get_size_inches()
    return figure.add_axes((left / full[0], 1 - (top + height) / full[1], width / full[0], height / full[1]))


def write_head(figure: Figure, left: float, title: str, lines: Sequence[str] = ()) -> None:
    """Write the title of a figure, and below it what is drawn, a line each."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.22 / height, title, fontsize=11, va="center")
    for number, line in enumerate(lines):
        y = 1 - (0.43 + 0.17 * number) / height
        figure.text(left / width, y, line, fontsize=8, va="center", color=WHOLE_POOL)


def head_height(lines: Sequence[str]) -> float:
    """Return the inches that `write_head` needs."""
    return 0.42 + 0.17 * len(lines)
