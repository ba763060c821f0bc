"""What is wrong with how a figure is laid out: measured on the canvas that it is saved to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

_SLACK = 1.0  # pixels
_SMALLEST = 7.0
"""Points: what a person reads on paper."""
_LARGEST_LEGEND = 0.25
_LARGEST_PANEL_LEGEND = 0.4
_NOUGHTS = re.compile(r"\.\d*0 ?%?$")
"""A digit after the point that says nothing, if all labels of an axis have one."""


def flaws(figure: Figure) -> list[str]:
    """Every text that is cut, too small or covers another of its kind, large legends, clipped points, numbers with idle noughts."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    canvas = figure.bbox
    return [
        *(f"cut: {name!r} {_beyond(box, canvas)}" for name, box in texts(figure) if _beyond(box, canvas)),
        *(f"{size:g} pt: {name!r}" for name, size in _sizes(figure) if size < _SMALLEST),
        *(f"legend takes {share:.0%} of the canvas" for share in _legend_shares(figure) if share > _LARGEST_LEGEND),
        *(flaw for axes in figure.axes if axes.get_visible() for flaw in _flaws_of(axes)),
        *_covered_titles(figure),
    ]


def texts(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """Every text that is seen, and where."""
    unseen = {id(text) for axes in figure.axes if not axes.get_visible() for text in axes.findobj(Text)}
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = {id(tick) for tick in axis._update_ticks()}  # type: ignore[attr-defined]  # not those beyond the limits
            for tick in [*axis.majorTicks, *axis.minorTicks]:  # type: ignore[attr-defined]
                if id(tick) not in drawn:
                    unseen |= {id(tick.label1), id(tick.label2)}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and id(text) not in unseen:
            yield text.get_text(), Text.get_window_extent(text)


def _sizes(figure: Figure) -> Iterator[tuple[str, float]]:
    seen = {words for words, _ in texts(figure)}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() in seen:
            yield text.get_text(), float(text.get_fontsize())


def _tick_labels(axis: Axis) -> list[Text]:
    ticks = axis._update_ticks()  # type: ignore[attr-defined]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


def _beyond(box: Bbox, canvas: Bbox) -> str:
    ends = {
        "left": canvas.x0 - box.x0,
        "bottom": canvas.y0 - box.y0,
        "right": box.x1 - canvas.x1,
        "top": box.y1 - canvas.y1,
    }
    return ", ".join(f"{pixels:.0f} px beyond the {end}" for end, pixels in ends.items() if pixels > _SLACK)


def _legend_shares(figure: Figure) -> list[float]:
    """Of each legend outside the axes: the share of the canvas beside or below them that it needs for itself."""
    frames = [axes.get_window_extent() for axes in figure.axes if axes.get_visible()]
    right = max(frame.x1 for frame in frames)
    boxes = [legend.get_window_extent() for legend in figure.legends]
    return [box.width / figure.bbox.width if box.x0 >= right else box.height / figure.bbox.height for box in boxes]


def _flaws_of(axes: Axes) -> Iterator[str]:
    legend, frame = axes.get_legend(), axes.get_window_extent()
    if legend is not None:
        box = legend.get_window_extent()
        share = box.width * box.height / (frame.width * frame.height)
        if share > _LARGEST_PANEL_LEGEND:
            yield f"legend takes {share:.0%} of its panel"
    for which, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        labels = _tick_labels(axis)
        if labels and all(_NOUGHTS.search(label.get_text()) for label in labels):
            yield f"noughts: {[label.get_text() for label in labels]}"
        boxes = [label.get_window_extent() for label in labels]
        for one, other in pairwise(boxes):
            if labels[0].get_rotation() in (0.0, 90.0) and one.overlaps(other) and _overlap(one, other) > 4.0:
                yield f"ticks of {which} cover each other: {[label.get_text() for label in labels[:4]]}"
                break
    yield from _clipped(axes, frame)


def _overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def _clipped(axes: Axes, frame: Bbox) -> Iterator[str]:
    for line in axes.lines:
        if line.get_marker() in (None, "None", "", "|", "_") or not line.get_clip_on() or not line.get_visible():
            continue
        radius = line.get_markersize() / 2 * axes.figure.dpi / 72
        points = line.get_transform().transform(np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float))
        inside = [frame.x0 - 0.5 <= x <= frame.x1 + 0.5 and frame.y0 - 0.5 <= y <= frame.y1 + 0.5 for x, y in points]
        for (x, y), is_inside in zip(points, inside, strict=True):
            room = min(x - frame.x0, frame.x1 - x, y - frame.y0, frame.y1 - y)
            if is_inside and room < radius - 0.75:
                yield f"point clipped at ({x:.0f}, {y:.0f}), {room:.1f} px from the edge of {axes.get_title(loc='left')!r}"
                return


def _covered_titles(figure: Figure) -> Iterator[str]:
    """Titles of panels, and that of the figure, are read one by one."""
    titles = [figure._suptitle] if figure._suptitle is not None else []  # type: ignore[attr-defined]
    for axes in figure.axes:
        if axes.get_visible():
            titles += [text for text in (axes.title, axes._left_title, axes._right_title) if text.get_text()]
    boxes = [(title.get_text(), title.get_window_extent()) for title in titles if title.get_text()]
    for i, (name, box) in enumerate(boxes):
        for other, another in boxes[:i]:
            if box.overlaps(another):
                yield f"titles cover each other: {name!r}, {other!r}"
