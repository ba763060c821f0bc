"""Figures as files: PNG to look at, SVG to print; names in them as they are."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter
from matplotlib.transforms import Bbox

from raybert.analysis.plot_formats import FORMATS, Format, wanted_formats
from raybert.durable import atomic_path
from raybert.plain import printable_lines

_HEAD, _LINE = 0.25, 0.16
"""Inches of a line above a figure, and of each further one."""
_LETTER = 0.063
"""Inches of a letter of these lines, rather too many."""
_DPI = 150
_PAD = 0.07
"""Inches between what a layout engine places and the edge: letters end at a box that is a little too small."""
_METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
"""No time and no version: the same figure is the same file."""
_SVG: Any = {
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "svg.hashsalt": "raybert",  # names of its parts by their content, in place of random ones
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # with the widths that it is laid out for
}


def save_figure(figure: Figure, path: Path, *left_out: str) -> list[Path]:
    """Write a figure in each format, atomically, and return the files; one that is not asked for is removed.

    Args:
        figure: laid out when it is written.
        path: of the .png; other formats stand beside it.
        left_out: what it does not show, for lines above it; empty ones are none.
    """
    wanted = wanted_formats()
    if not wanted:
        remove_figure(path)
        return []
    width, height = figure.get_size_inches()
    lines = _wrapped([words for words in left_out if words], width)
    head = _HEAD + _LINE * (len(lines) - 1) if lines else 0.0
    # Above the figure: its layout places titles and legends at its very ends.
    for number, line in enumerate(reversed(lines)):
        y = 1 + (0.3 * _HEAD + _LINE * number) / height
        figure.text(0.1 / width, y, line, fontsize=8, color="#444444")
    make_plain(figure)
    lay_out(figure)
    box = Bbox.from_extents(0, 0, width, height + head)
    written = []
    for each in FORMATS:
        target = path.with_suffix(f".{each}")
        if each not in wanted:
            target.unlink(missing_ok=True)
            continue
        with atomic_path(target) as temporary:
            draw(figure, temporary, each, box)
        written.append(target)
    return written


def _wrapped(words: Sequence[str], width: float) -> list[str]:
    """Return lines that a figure of so many inches has room for."""
    most = max(20, int((width - 0.2) / _LETTER))
    return [line for each in words for line in textwrap.wrap(each, most)]


def remove_figure(path: Path) -> None:
    """Delete a figure that would not be written now, in all formats.

    Args:
        path: of the .png.
    """
    for each in FORMATS:
        path.with_suffix(f".{each}").unlink(missing_ok=True)


def draw(figure: Figure, path: Path, kind: Format, box: Bbox) -> None:
    """Draw a figure into a file."""
    with mpl.rc_context(_SVG):
        figure.savefig(path, dpi=_DPI, format=kind, bbox_inches=box, metadata=_METADATA[kind])


def lay_out(figure: Figure) -> None:
    """Find the places of everything once: each format would do it anew, and take half of its time for it."""
    engine = figure.get_layout_engine()
    figure.set_dpi(_DPI)
    FigureCanvasAgg(figure)
    if engine is not None:
        if isinstance(engine, ConstrainedLayoutEngine):
            engine.set(w_pad=_PAD, h_pad=_PAD)
        engine.execute(figure)
        figure.set_layout_engine("none")


def make_plain(figure: Figure) -> None:
    """Let every name in a figure be shown as it is: `$x$` in a label is no mathematics, and may not be valid as such.

    Powers of ten at a logarithmic axis are matplotlib's own mathematics, and stay.
    """
    powers: set[int] = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        formatters = (axis.get_major_formatter(), axis.get_minor_formatter())
        if any(isinstance(formatter, LogFormatter) for formatter in formatters):
            powers |= {id(label) for label in axis.findobj(Text)} - {id(axis.label)}
        for formatter in formatters:
            # Names at an axis, too. Axes that share a scale share its formatter, and a figure may come here twice.
            if isinstance(formatter, FuncFormatter) and not isinstance(formatter.func, _Printed):
                formatter.func = _Printed(formatter.func)
    for label in figure.findobj(Text):
        if isinstance(label, Text) and id(label) not in powers:
            label.set_parse_math(False)
            label.set_usetex(False)  # which a matplotlibrc of the working folder may have set
            label.set_text(printable_lines(label.get_text()))


@dataclass(frozen=True)
class _Printed:
    """What an axis writes, without characters that cannot be printed."""

    words: Callable[..., str]

    def __call__(self, *place: Any) -> str:
        return printable_lines(str(self.words(*place)))
