"""Names beside points, moved apart where they would cover each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from raybert.analysis.plots.saving import lay_out, make_plain
from raybert.analysis.plots.style import GREY

_DISTANCES = (5, 11, 18, 26, 36, 48, 62, 78)  # points
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 67, 293, 113, 247])
_OUTSIDE = 1e6
_MARKER = 4.0


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    avoid: Sequence[tuple[float, float]] = (),
    fontsize: float = 7,
) -> None:
    """Write a name beside every point, as near as there is room, with a thin line to it.

    Names are placed one by one, those of crowded points first, at the place that covers the least of other names,
    points and the world outside the axes. Limits and scales of the axes must be final.

    Args:
        axes: with the points drawn.
        points: (x, y) in data coordinates.
        names: one per point.
        avoid: further points that names should not cover.
        fontsize: in points.
    """
    labels = [_label(axes, point, name, fontsize) for point, name in zip(points, names, strict=True)]
    if not labels:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    make_plain(figure)
    lay_out(figure)
    axes.get_xlim()  # which takes in what was drawn last
    axes.get_ylim()
    scale = axes.figure.dpi / 72
    centres = axes.transData.transform(np.asarray(points))  # (m, 2) pixels
    frame = np.asarray(axes.get_window_extent().extents)
    marks = axes.transData.transform(np.asarray([*points, *avoid]))
    taken = np.hstack([marks - _MARKER * scale, marks + _MARKER * scale])  # (boxes, 4): x0, y0, x1, y1
    for i in _crowded_first(centres):
        extent = Text.get_window_extent(labels[i])  # without the line to the point
        boxes, offsets = _candidates(centres[i], extent.width, extent.height, scale)
        covered = _covered(boxes, taken) + _OUTSIDE * _sticks_out(boxes, frame)
        best = int(np.argmin(covered + 1e-3 * np.hypot(*offsets.T)))
        labels[i].set_position((offsets[best, 0], offsets[best, 1]))
        taken = np.vstack([taken, boxes[best]])


def _label(axes: Axes, point: tuple[float, float], name: str, fontsize: float) -> Annotation:
    label = axes.annotate(
        name,
        point,
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=fontsize,
        ha="center",
        va="center",
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
    )
    label.set_in_layout(False)
    return label


def _crowded_first(centres: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    return np.argsort(-np.exp(-distances / 60).sum(axis=1), kind="stable")


def _candidates(centre: np.ndarray, width: float, height: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (m, 4) in pixels around a point, nearest first, and their offsets (m, 2) in points."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    # The nearest edge of the text, not its middle, is at the distance.
    reach = np.abs(directions) @ np.array([width, height]) / 2
    lengths = (np.asarray(_DISTANCES)[:, None] * scale + reach[None]).ravel()
    shifts = lengths[:, None] * np.tile(directions, (len(_DISTANCES), 1))
    half = np.array([width, height]) / 2
    middles = centre + shifts
    return np.hstack([middles - half, middles + half]), shifts / scale


def _covered(boxes: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return (m,) the area that each box shares with the taken ones, in square pixels."""
    low = np.maximum(boxes[:, None, :2], taken[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], taken[None, :, 2:])
    areas: np.ndarray = np.clip(high - low, 0, None).prod(axis=-1).sum(axis=1)
    return areas


def _sticks_out(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    outside: np.ndarray = ((boxes[:, :2] < frame[:2]) | (boxes[:, 2:] > frame[2:])).max(axis=1)
    return outside
