"""Where in the pool strategies choose: one projection of its embeddings, a panel for each strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raybert.analysis.plots.style import (
    GREY,
    StrategyStyle,
    add_heading,
    distinct_short_names,
    place_legend,
    short_name,
    strategy_styles,
)
from raybert.analysis.statistics.projection import Projection
from raybert.analysis.statistics.subsets import Subset

_COLUMNS = 4
_PANEL = 2.3
_MOST_DRAWN, _MOST_CHOSEN = 4_000, 1_000
"""Points of the pool, and of a strategy, that are drawn: more hide each other."""
_MOST_PANELS = 24
_CLASS_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_BACKGROUND = "#d9d9d9"


def draw_embeddings(
    projection: Projection,
    labels: np.ndarray,
    label_names: Sequence[str],
    subsets: Sequence[Subset],
    styles: Mapping[str, StrategyStyle] | None = None,
) -> Figure:
    """Return the pool with the examples that each strategy has trained on, all panels in the same projection.

    The first panel is the pool, by class: a marker and a shade each where there are at most eight. The others have the
    colour of their strategy, and the markers of classes. Of many points some are drawn, the same ones in every panel,
    and titles say how many.

    Args:
        projection: of the pool.
        labels: (n,) class numbers.
        label_names: by class number; fewer: the number is the name.
        subsets: of this pool: of one budget, seed and fold, a strategy each.
        styles: by label; default: by the order of the subsets.
    """
    shown = list(subsets)[: _MOST_PANELS - 1]
    styles = styles or strategy_styles([subset.strategy for subset in subsets])
    count = len(shown) + 1
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(_PANEL * columns + 0.3, _PANEL * rows + 1.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    classes = np.unique(labels)
    generator = np.random.default_rng(0)
    n = len(projection.points)
    drawn = np.sort(generator.permutation(n)[:_MOST_DRAWN])
    order = np.argsort(generator.permutation(n))  # which of many chosen examples are drawn, alike in all panels
    _scatter(grid[0], projection.points[drawn], labels[drawn], classes, None, size=5)
    grid[0].set_title(f"the pool {_counted(len(drawn), n)}", fontsize=8, loc="left")
    names = distinct_short_names([subset.strategy for subset in shown], 26)
    for axes, subset, name in zip(grid[1:], shown, names, strict=False):
        axes.scatter(*projection.points[drawn].T, s=3, color=_BACKGROUND, linewidths=0, rasterized=True)
        chosen = np.flatnonzero(subset.chosen)
        some = chosen[np.argsort(order[chosen])][:_MOST_CHOSEN]
        _scatter(axes, projection.points[some], labels[some], classes, styles[subset.strategy].colour, size=9)
        axes.set_title(f"{name} {_counted(len(some), len(chosen))}", fontsize=8, loc="left")
    for axes, frame in zip(grid, ["#bbbbbb", *(styles[subset.strategy].colour for subset in shown)], strict=False):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(frame)
        axes.spines[:].set_linewidth(1.4)
    for axes in grid[count:]:
        axes.set_visible(False)
    add_heading(figure, _title(projection, shown, len(subsets)))
    if len(classes) <= len(_CLASS_MARKERS):
        names = [short_name(label_names[c] if c < len(label_names) else str(c), 24) for c in classes.tolist()]
        looks = zip(names, _CLASS_MARKERS, _shades(len(classes)), strict=False)
        place_legend(
            figure,
            [Line2D([], [], linestyle="", marker=mark, color=colour, label=name) for name, mark, colour in looks],
        )
    return figure


def _scatter(
    axes: Axes, points: np.ndarray, labels: np.ndarray, classes: np.ndarray, colour: str | None, size: float
) -> None:
    """Draw points by class in one colour, or None in shades of their own; of many classes all alike."""
    look: dict[str, Any] = {"linewidths": 0, "alpha": 0.7, "rasterized": True}
    if len(classes) > len(_CLASS_MARKERS):
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour or GREY, **look)
        return
    for number, marker, shade in zip(classes, _CLASS_MARKERS, _shades(len(classes)), strict=False):
        own = points[labels == number]
        axes.scatter(own[:, 0], own[:, 1], s=size, marker=marker, color=colour or shade, **look)


def _shades(number: int) -> list[str]:
    """Return a shade for each class: no colour of a strategy, whose panels stand beside."""
    return [to_hex(colormaps["cividis"](share)) for share in np.linspace(0, 0.9, number)]


def _counted(drawn: int, number: int) -> str:
    """Return how many points there are, and how many of them are drawn."""
    return f"({number:,})" if drawn == number else f"({drawn:,} of {number:,} drawn)"


def _title(projection: Projection, shown: Sequence[Subset], count: int) -> str:
    of = (
        "UMAP"
        if projection.shares is None
        else "PCA, {:.0f} % and {:.0f} % of the variance".format(*(100 * share for share in projection.shares))
    )
    words = f"Where in the pool do strategies choose? ({of}"
    if shown:
        words += f"; seed {shown[0].seed}"
    if len(shown) < count:
        words += f"; {len(shown)} of {count} strategies"
    return f"{words})"
