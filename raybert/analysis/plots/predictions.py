"""What strategies predicted of the test split, seed by seed: ranking, calibration, and what is taken for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.strategy_styles import StrategyStyle
from raybert.analysis.plots.style import GREY, distinct_short_names, short_name, write_in_cell
from raybert.analysis.results.predicted import Predicted
from raybert.analysis.statistics.prediction_curves import GRID, OfTrial

MOST_CLASSES = 12
"""Of more classes those that are mistaken most are shown: a cell must be seen."""
_PANEL = (1.75, 1.15)
"""Inches of a panel."""
_PITCH = (1.95, 1.32)
"""Inches from a panel to the next."""
_TITLE = "How well does each strategy rank and judge the test split?"
_SIZE = 8.0
_WRITTEN = 4
"""Up to so many classes cells hold their numbers."""
_PER_LINE = 4
_SCALE = 0.35
"""Inches of the scale of shades."""
_CELL = 0.155
"""Inches of a cell."""


def draw_prediction_curves(
    found: Sequence[Predicted], styles: Mapping[str, StrategyStyle], left_out: Sequence[str] = ()
) -> Figure | None:
    """Return ROC, precision over recall and reliability on the test split: a row of panels per strategy.

    Of more than two classes the first two are means over classes, each against the rest. Lines are means over seeds,
    bands reach from the lowest to the highest. The dashed line is that of `random`, or of the first strategy.

    Args:
        found: of `predicted_of_test`, its strategies.
        styles: of each strategy, by its label.
        left_out: what is not drawn, a line each.

    Returns:
        The figure; None: there are no predictions.
    """
    if not found:
        return None
    beside = next((each for each in found if each.strategy == "random"), found[0])
    lines = _lines(found, beside.strategy, left_out)
    names = [f"{name}\n({each.budget:,})" for name, each in zip(_short(found), found, strict=True)]
    left = 0.5 + width_of((line for name in names for line in name.split("\n")), _SIZE)
    head = head_height(lines)
    inside = len(_CURVES) * _PITCH[0], 0.45 + len(found) * _PITCH[1] + 0.3
    width = max(left + inside[0] + 0.1, 0.3 + width_of(lines, 8.0), 0.3 + width_of([_TITLE], 11.0))
    figure = Figure(figsize=(width, head + inside[1]))
    write_head(figure, 0.15, _TITLE, lines)
    axes = add_panel(figure, left, head, *inside)
    axes.set_xlim(0, inside[0])
    axes.set_ylim(inside[1], 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axis("off")
    for column, curve in enumerate(_CURVES):
        axes.text(column * _PITCH[0], 0.4, curve.title, va="bottom", fontsize=_SIZE)
        panels = [(column * _PITCH[0], 0.5 + row * _PITCH[1] + _PANEL[1]) for row in range(len(found))]
        _draw_column(axes, curve, found, beside, panels, styles)
    for row, name in enumerate(names):
        y = 0.5 + row * _PITCH[1] + _PANEL[1]
        axes.text(-0.42, y - _PANEL[1] / 2, name, ha="right", va="center", fontsize=_SIZE)
        for share, words in ((0, "0"), (1, "100 %")):
            axes.text(-0.04, y - share * _PANEL[1], words, ha="right", va="center", fontsize=7)
    return figure


@dataclass(frozen=True)
class _Curve:
    """A column of panels.

    Attributes:
        title: above it.
        values: of a trial: at `GRID`, or in bins of equal width.
        number: of a trial, which sums the curve up.
        name: of that number.
        corner: where it is written, as shares of the panel: where curves are not.
        has_diagonal: from (0, 0) to (1, 1): chance, or what is calibrated.
    """

    title: str
    values: Callable[[OfTrial], np.ndarray]
    number: Callable[[OfTrial], float]
    name: str
    corner: tuple[float, float]
    has_diagonal: bool


_CURVES = (
    _Curve("ROC: recall over\n1 - specificity", lambda t: t.roc, lambda t: t.auc_roc, "area", (0.98, 0.04), True),
    _Curve("precision\nover recall", lambda t: t.precision, lambda t: t.auc_pr, "area", (0.02, 0.04), False),
    _Curve(
        "share that is right\nover confidence",
        lambda t: t.reliability.accuracy,
        lambda t: t.reliability.error,
        "ECE",
        (0.02, 0.96),
        True,
    ),
)


def _draw_column(
    axes: Axes,
    curve: _Curve,
    found: Sequence[Predicted],
    beside: Predicted,
    panels: Sequence[tuple[float, float]],
    styles: Mapping[str, StrategyStyle],
) -> None:
    """Draw a column of panels into one axes, whose scale is inches: 36 axes would take three times as long.

    Args:
        axes: of the figure.
        curve: what is drawn.
        found: a panel each.
        beside: drawn dashed in the panels of the others.
        panels: where the lower left corner of each is.
        styles: of strategies.
    """
    colours = [styles[each.strategy].colour for each in found]
    frame = np.array([(0, 1), (0, 0), (1, 0)])
    axes.add_collection(_lines_at([(panel, frame) for panel in panels], colors="black", linewidths=0.8))
    if curve.has_diagonal:
        ends = np.array([(0, 0), (1, 1)])
        style = {"colors": GREY, "linewidths": 0.7, "linestyles": ":"}
        axes.add_collection(_lines_at([(panel, ends) for panel in panels], **style))
    bands = [_band(each, curve) if len(each.trials) > 1 else np.zeros((0, 2)) for each in found]
    shapes = [_placed(panel, band) for panel, band in zip(panels, bands, strict=True)]
    axes.add_collection(PolyCollection(shapes, facecolors=colours, alpha=0.25, linewidths=0, label="_bands"))
    other = _points(beside, curve)
    dashed = [(panel, other) for panel, each in zip(panels, found, strict=True) if each is not beside]
    dashes = (0, (4, 2))
    axes.add_collection(_lines_at(dashed, colors="black", linewidths=0.8, linestyles=[dashes], label="_beside"))
    means = [(panel, _points(each, curve)) for panel, each in zip(panels, found, strict=True)]
    axes.add_collection(_lines_at(means, colors=colours, linewidths=1.4, label="_means"))
    for panel, each in zip(panels, found, strict=True):
        _write_number(axes, panel, curve, [curve.number(trial) for trial in each.trials])
    x, y = panels[-1]
    for share, words, side in ((0, "0", "left"), (1, "100 %", "right")):
        axes.text(x + share * _PANEL[0], y + 0.05, words, ha=side, va="top", fontsize=7)


def _placed(panel: tuple[float, float], points: np.ndarray) -> np.ndarray:
    """Return points of the unit square in inches, y downwards."""
    return np.column_stack([panel[0] + points[:, 0] * _PANEL[0], panel[1] - points[:, 1] * _PANEL[1]])


def _lines_at(lines: Sequence[tuple[tuple[float, float], np.ndarray]], **style: Any) -> LineCollection:
    return LineCollection([_placed(panel, points) for panel, points in lines], **style)


def _places(number: int) -> np.ndarray:
    """Return where values stand from 0 to 1: at the points of the grid, or in the middle of bins."""
    return GRID if number == len(GRID) else (np.arange(number) + 0.5) / number


def _points(each: Predicted, curve: _Curve) -> np.ndarray:
    """Return (points, 2) of the mean of a strategy, where it has one."""
    mean = each.mean(curve.values)
    is_known = ~np.isnan(mean)
    return np.column_stack([_places(len(mean))[is_known], mean[is_known]])


def _band(each: Predicted, curve: _Curve) -> np.ndarray:
    """Return (2 points, 2) of the outline of a band."""
    low, high = each.band(curve.values)
    is_known = ~np.isnan(low)
    x = _places(len(low))[is_known]
    return np.column_stack([np.concatenate([x, x[::-1]]), np.concatenate([low[is_known], high[is_known][::-1]])])


def _write_number(axes: Axes, panel: tuple[float, float], curve: _Curve, values: Sequence[float]) -> None:
    """Write the mean of a number over trials, and how far they reach, into a corner where curves are not."""
    mean = float(np.mean(values))
    words = "not defined" if np.isnan(mean) else f"{curve.name} {mean:.3f}"
    if len(values) > 1 and not np.isnan(mean):
        words += f"\n{min(values):.3f} to {max(values):.3f}"
    (at,) = _placed(panel, np.array([curve.corner]))
    sides: dict[str, Any] = {"ha": "right" if curve.corner[0] > 0.5 else "left"}
    sides["va"] = "top" if curve.corner[1] > 0.5 else "bottom"
    axes.text(at[0], at[1], words, fontsize=7, linespacing=1.1, **sides)


def _lines(found: Sequence[Predicted], beside: str, left_out: Sequence[str]) -> list[str]:
    words = _trials_words(found)
    several = max(len(each.trials) for each in found) > 1
    seeds = f"lines: means of {words}; bands: from the lowest to the highest" if several else "one trial each"
    num_classes = len(found[0].trials[0].confusion)
    lines = [f"{seeds}; dashed: {short_name(beside)}"]
    if num_classes > 2:
        lines.append(f"ROC and precision: means over {num_classes} classes, each against the rest")
    return [*lines, *left_out]


def _trials_words(found: Sequence[Predicted]) -> str:
    """Return over how many trials means are: `3 trials`, `2 to 3 trials`."""
    counts = sorted({len(each.trials) for each in found})
    return f"{counts[0]} trials" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} trials"


def _short(found: Sequence[Predicted]) -> list[str]:
    return distinct_short_names([each.strategy for each in found], 28)


def draw_confusions(
    found: Sequence[Predicted], label_names: Sequence[str], left_out: Sequence[str] = ()
) -> Figure | None:
    """Return how often each label (row) got each prediction on the test split: a matrix per strategy, mean over seeds.

    Shares are of each label. Beyond 12 classes those are shown, of all matrices the same, that are mistaken most.

    Args:
        found: of `predicted_of_test`, its strategies.
        label_names: by class number.
        left_out: what is not drawn, a line each.

    Returns:
        The figure; None: there are no predictions.
    """
    if not found:
        return None
    means = np.stack([each.mean(lambda trial: trial.confusion) for each in found])
    shown = _most_mistaken(means)
    means = means[:, shown][:, :, shown]
    number = len(shown)
    names = distinct_short_names([label_names[c] if c < len(label_names) else str(c) for c in shown], 22)
    titles = [
        f"{name} ({each.budget:,})\nmean of the diagonal {100 * _recall(each):.1f} %"
        for name, each in zip(_short(found), found, strict=True)
    ]
    lines = _confusion_lines(found, number, left_out)
    return _mosaic(means, names, titles, lines)


def _most_mistaken(means: np.ndarray) -> np.ndarray:
    """Return the classes to show, in their order: those with the largest shares off the diagonal."""
    errors = np.nan_to_num(means).sum(axis=0)
    np.fill_diagonal(errors, 0.0)
    worst = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MOST_CLASSES]
    return np.sort(worst)


def _recall(each: Predicted) -> float:
    """Return the mean recall over the classes that have examples."""
    return float(np.nanmean(np.diagonal(each.mean(lambda trial: trial.confusion))))


def _confusion_lines(found: Sequence[Predicted], number: int, left_out: Sequence[str]) -> list[str]:
    means = f", means of {_trials_words(found)}" if max(len(each.trials) for each in found) > 1 else ""
    lines = [f"% of each label (row) that got each prediction (column){means}"]
    num_classes = len(found[0].trials[0].confusion)
    if number < num_classes:
        lines.append(f"the {number} of {num_classes} classes that are mistaken most; a row need not sum to 100 %")
    return [*lines, *left_out]


def _mosaic(means: np.ndarray, names: Sequence[str], titles: Sequence[str], lines: Sequence[str]) -> Figure:
    """Return a figure of matrices side by side in one panel, whose scale is inches: axes for each would take longer."""
    number, per_line = len(names), min(_PER_LINE, len(means))
    cell = max(_CELL, 1.0 / number)
    pitch = max(cell * number, width_of((line for title in titles for line in title.split("\n")), 7.5)) + 0.25
    name_width = width_of(names, 7.0) + 0.1
    row_height = cell * number + 0.55
    num_rows = -(-len(means) // per_line)
    head = head_height(lines)
    left = 0.35 + name_width
    title_above = "What does each strategy take for what?"
    width = max(left + pitch * per_line, 0.3 + width_of(lines, 8.0), 0.3 + width_of([title_above], 11.0))
    height = num_rows * row_height + name_width + 0.2 + _SCALE
    figure = Figure(figsize=(width, head + height))
    write_head(figure, 0.15, title_above, lines)
    axes = add_panel(figure, left, head, width - left, height)
    axes.set_xlim(0, width - left)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axis("off")
    for place, (values, title) in enumerate(zip(means, titles, strict=True)):
        x, y = (place % per_line) * pitch, (place // per_line) * row_height + 0.5
        _draw_matrix(axes, values, x, y, cell)
        axes.text(x, y - 0.06, title, va="bottom", fontsize=7.5, linespacing=1.15)
        if place % per_line == 0:
            for i, name in enumerate(names):
                axes.text(-0.06, y + (i + 0.5) * cell, name, ha="right", va="center", fontsize=7)
        if place + per_line >= len(means):
            for i, name in enumerate(names):
                below = y + number * cell + 0.06
                axes.text(x + (i + 0.5) * cell, below, name, ha="center", va="top", rotation=90, fontsize=7)
    _draw_scale(axes, height)
    return figure


def _draw_scale(axes: Axes, height: float) -> None:
    """Draw what shades mean, at the foot of the panel."""
    y, width = height - 0.28, 1.2
    axes.imshow(
        np.linspace(0, 1, 64)[None], cmap="Blues", vmin=0, vmax=1, extent=(0, width, y + 0.09, y), aspect="auto"
    )
    for share, words in ((0.0, "0"), (0.5, "50"), (1.0, "100 %")):
        axes.text(share * width, y + 0.12, words, ha="center", va="top", fontsize=7)


def _draw_matrix(axes: Axes, values: np.ndarray, x: float, y: float, cell: float) -> None:
    number = len(values)
    side = number * cell
    image = axes.imshow(
        np.ma.masked_invalid(values),
        cmap="Blues",
        vmin=0,
        vmax=1,
        extent=(x, x + side, y + side, y),
        aspect="auto",
        interpolation="nearest",
    )
    edges = [i * cell for i in range(number + 1)]
    lines = [[(x, y + edge), (x + side, y + edge)] for edge in edges]
    lines += [[(x + edge, y), (x + edge, y + side)] for edge in edges]
    axes.add_collection(LineCollection(lines, colors="#d8d8d8", linewidths=0.5))
    if number <= _WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            if not np.isnan(value):
                at = x + (j + 0.5) * cell, y + (i + 0.5) * cell
                write_in_cell(axes, image, *at, value, f"{100 * value:.0f}", fontsize=8)
