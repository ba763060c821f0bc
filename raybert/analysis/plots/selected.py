"""What was selected: overlap of strategies, classes and lengths against the pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from raybert.analysis.plots.style import (
    GREY,
    StrategyStyle,
    add_heading,
    budget_entries,
    budget_fills,
    cell_grid,
    distinct_short_names,
    place_legend,
    short_name,
    strategy_styles,
    tidy,
    write_in_cell,
)
from raybert.analysis.statistics.configurations import has_budget
from raybert.analysis.statistics.subsets import POOL

_CELL = 0.34  # inches: room for two digits
_LETTER = 0.065
_MAX_CLASSES = 40
_SHORT = 4
"""Letters of a class that fit under a cell."""
_MAX_RATIO = 3.0
_EMPTY = "#f0f0f0"
RANGES = "ranges of numbers"
"""What is chosen of a pool of numbers."""


def draw_overlap(overlap: pd.DataFrame, headers: Mapping[str, str] | None = None) -> Figure:
    """Return a heat map per budget and grid point: Jaccard in the lower triangle, Spearman correlation in the upper.

    Values are percentages. Strategies that agree stand together (average linkage on 1 - the larger of the two,
    over all panels). An empty cell has no value: a strategy without a score of the whole pool has no correlation.
    Points of the grid at which strategies choose alike share a panel.

    Args:
        overlap: rows of `overlap_table`.
        headers: of the grid's keys that vary, short names.
    """
    names = order_by_agreement(overlap)
    panels = _overlap_panels(overlap, headers or {})
    side = _CELL * len(names) + _LETTER * max(map(len, distinct_short_names(names)))
    has_scores = overlap["spearman"].notna().any()
    second_line = 0.2 if any(point for point, _ in panels) else 0.0
    size = max(6.4, side + 0.3), (side + 0.4 + second_line) * len(panels) + (1.9 if has_scores else 1.2)
    figure = Figure(figsize=size, layout="compressed")
    grid = list(figure.subplots(len(panels), 1, squeeze=False)[:, 0])
    images: tuple[AxesImage, ...] = ()
    for axes, (point, table) in zip(grid, panels, strict=True):
        images = _draw_triangles(axes, table, names)
        chance = table["jaccard_by_chance"].median()
        title = f"{table['budget'].iloc[0]:,} of {table['pool_size'].iloc[0]:,.0f} examples"
        title = f"{title}{point}\n" if point else f"{title}; "
        axes.set_title(f"{title}by chance Jaccard is {100 * chance:.0f} %", loc="left", fontsize=9)
    for image, words in zip(images, ("below: Jaccard of the sets", "above: Spearman of the scores"), strict=True):
        if image is images[0] or has_scores:
            bar = figure.colorbar(
                image, ax=grid, location="bottom", fraction=0.3 / size[1], aspect=30, shrink=0.8, pad=0.1 / size[1]
            )
            bar.set_label(f"{words}, % (empty: none)" if image is images[1] else f"{words}, %", fontsize=8)
            bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=None))
            bar.ax.tick_params(labelsize=7)
    add_heading(figure, "Do strategies choose the same examples, and rank the pool alike?")
    return figure


def _overlap_panels(overlap: pd.DataFrame, headers: Mapping[str, str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the words of the grid points and the rows of every panel; points with the same values share one."""
    keys = [key for key in headers if key in overlap]
    panels: dict[str, tuple[list[str], pd.DataFrame]] = {}
    for _, rows in overlap.groupby(["budget", *keys], dropna=False):
        point = ", ".join(f"{headers[key]} {rows[key].iloc[0]}" for key in keys if pd.notna(rows[key].iloc[0]))
        values = rows.drop(columns=keys).sort_values(["strategy_a", "strategy_b"])
        panels.setdefault(values.to_csv(index=False), ([], rows))[0].append(point)
    return [("" if len(points) > 1 or not points[0] else f", {points[0]}", rows) for points, rows in panels.values()]


def order_by_agreement(overlap: pd.DataFrame) -> list[str]:
    """Return the strategies of an overlap table so that those that agree are neighbours."""
    names = list(dict.fromkeys([*overlap["strategy_a"], *overlap["strategy_b"]]))
    if len(names) < 3:
        return names
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    agreement = overlap.assign(
        agreement=np.fmax(overlap["jaccard"].astype("float64"), overlap["spearman"].astype("float64").abs())
    )
    distances = 1 - _matrix(agreement, names, "agreement")
    distances = np.clip(np.nan_to_num(distances, nan=1.0), 0, None)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    return [names[i] for i in leaves_list(tree)]


def draw_classes(shares: pd.DataFrame, of: str = "classes") -> Figure:
    """Return a heat map per budget: each class's share of a subset against its share of the pool.

    The colour is log2 of the ratio, the number the share of the subset in percent. Strategies that change the
    classes most are at the top. Beyond 40 classes the most frequent are shown.

    Args:
        shares: rows of `class_shares`.
        of: what these are of, where they are no classes.
    """
    classes = shares.drop_duplicates("label").sort_values(["pool_share", "label"], ascending=[False, True])
    shown = classes.head(_MAX_CLASSES)
    shown = shown.sort_values("label") if of == RANGES else shown  # numbers have an order
    shares = shares[shares["strategy"] != "all"]
    panels = [rows for _, rows in shares.groupby(["budget", ~has_budget(shares)])]
    sizes = [rows["strategy"].nunique() + 1 for rows in panels]
    longest = max((len(short_name(name)) for name in [*shares["strategy"], POOL]), default=8)
    width = max(6.4, 0.46 * len(shown) + _LETTER * longest + 1.6)
    shown = shown.assign(label_name=distinct_short_names([str(name) for name in shown["label_name"]]))
    label_height = _LETTER * max(len(name) for name in shown["label_name"])
    heights = [0.24 * size + 0.8 + label_height for size in sizes]
    figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=sizes)[:, 0]
    image = None
    for axes, rows in zip(grid, panels, strict=True):
        image = _draw_shares(axes, rows, shown)
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), shrink=min(1.0, 3.0 / sum(heights)), aspect=20, pad=0.01)
        bar.set_ticks([-3, -2, -1, 0, 1, 2, 3], labels=["1/8", "1/4", "1/2", "1", "2", "4", "8"])
        bar.set_label("share in the subset / share in the pool", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    more = f" ({len(shown)} most frequent of {len(classes)} {of})" if len(classes) > len(shown) else ""
    add_heading(figure, f"Which {of} does each strategy choose? Shares in percent{more}")
    return figure


def draw_lengths(quantiles: pd.DataFrame, styles: Mapping[str, StrategyStyle] | None = None) -> Figure:
    """Return the lengths that each strategy chooses: 5-95 % (line), 25-75 % (bar), median (dot); the pool as a band.

    Sorted by median at the largest budget, longest at the top; of several budgets the largest is highest and full.

    Args:
        quantiles: rows of `length_quantiles`.
        styles: by label; default: by the order of the rows.
    """
    pool = quantiles[quantiles["strategy"] == POOL].iloc[0]
    rows = quantiles[~quantiles["strategy"].isin([POOL, "all"])]
    last = rows.sort_values("budget").drop_duplicates("strategy", keep="last")
    names = list(last.sort_values(["q50", "mean"], kind="stable")["strategy"])
    labels = distinct_short_names(names)
    styles = styles or strategy_styles(list(rows["strategy"]))
    fills = budget_fills(rows)
    most = int(rows.groupby("strategy").size().max()) if len(rows) else 1
    width = 5.4 + 0.075 * max(0, max(map(len, labels), default=0) - 20)
    figure = Figure(figsize=(width, 1.7 + (0.16 + 0.1 * most) * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(pool["q05"], pool["q95"], color="#f1f1f1", linewidth=0, zorder=0)
    axes.axvspan(pool["q25"], pool["q75"], color="#dddddd", linewidth=0, zorder=0)
    axes.axvline(pool["q50"], color=GREY, linewidth=1, zorder=1)
    for y, name in enumerate(names):
        own = rows[rows["strategy"] == name].sort_values("budget").to_dict("records")
        step = min(0.26, 0.75 / len(own))
        for i, row in enumerate(own):
            at, style = y + (i - (len(own) - 1) / 2) * step, styles[name]
            axes.plot([row["q05"], row["q95"]], [at, at], color=style.colour, linewidth=0.9, zorder=2)
            bar: dict[str, Any] = {"color": style.colour, "solid_capstyle": "butt", "alpha": 0.6}
            axes.plot([row["q25"], row["q75"]], [at, at], linewidth=3.5, zorder=3, **bar)
            axes.plot(row["q50"], at, **style.point(fills[row["budget"]], size=6, zorder=4))
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(-0.7, max(len(names), 1) - 0.3)
    words = "length in word pieces:\n5-95 % (line), 25-75 % (bar), median (dot)"
    if quantiles["q05"].min() == quantiles["q95"].max():
        # Bands and lines have no width: the dots are what there is to see, on an axis that begins where lengths do.
        axes.set_xlim(0, 1.1 * float(pool["q50"]))
        words = f"length in word pieces:\n{pool['q50']:,.0f} of nearly all (where texts are truncated, they end there)"
    axes.set_xlabel(words)
    add_heading(figure, "How long are the examples that each strategy chooses?")
    tidy(axes, grid="x")
    band = Line2D([], [], color="#dddddd", linewidth=7, label="pool: 25-75 %, 5-95 % (lighter), median (line)")
    place_legend(figure, [*budget_entries(rows), band], columns=2)
    return figure


def _draw_triangles(axes: Axes, table: pd.DataFrame, names: list[str]) -> tuple[AxesImage, ...]:
    jaccard, spearman = (_matrix(table, names, column) for column in ("jaccard", "spearman"))
    below = np.tril(np.ones(jaccard.shape, bool), -1)
    images = []
    for values, mask, colours, low in ((jaccard, below, "cividis", 0.0), (spearman, below.T, "PuOr", -1.0)):
        shown = np.ma.masked_invalid(np.where(mask, values, np.nan))
        image = axes.imshow(shown, cmap=colours, vmin=low, vmax=1.0)
        images.append(image)
        for (y, x), value in np.ndenumerate(shown.filled(np.nan)):
            if not np.isnan(value):
                write_in_cell(axes, image, x, y, value, str(round(100 * value)))
    axes.set_facecolor(_EMPTY)
    short = distinct_short_names(names)
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), short, fontsize=8)
    cell_grid(axes, len(names), len(names))
    return tuple(images)


def _draw_shares(axes: Axes, rows: pd.DataFrame, classes: pd.DataFrame) -> AxesImage:
    ratios = rows.pivot_table(index="strategy", columns="label", values="log2_ratio", sort=False)
    shares = rows.pivot_table(index="strategy", columns="label", values="share", sort=False)
    in_pool = rows.drop_duplicates("label").set_index("label")["pool_share"]
    names = list((shares - in_pool).abs().sum(axis=1).sort_values(ascending=False, kind="stable").index)
    labels = list(classes["label"])
    ratio = np.vstack([ratios.reindex(names)[labels].clip(-_MAX_RATIO, _MAX_RATIO), np.zeros(len(labels))])
    share = np.vstack([shares.reindex(names)[labels], classes["pool_share"].to_numpy()])
    image = axes.imshow(ratio, cmap="PuOr", vmin=-_MAX_RATIO, vmax=_MAX_RATIO, aspect="auto")
    for (y, x), value in np.ndenumerate(share):
        write_in_cell(axes, image, x, y, float(ratio[y, x]), _percent(value))
    upright = max(map(len, classes["label_name"]), default=0) <= _SHORT
    axes.set_xticks(range(len(labels)), classes["label_name"], rotation=0 if upright else 90, fontsize=8)
    axes.set_yticks(range(len(names) + 1), [*distinct_short_names(names), POOL], fontsize=8)
    cell_grid(axes, len(labels), len(names) + 1)
    whole = not has_budget(rows).iloc[0]
    words = "no budget: what its passes train on" if whole else f"budget {rows['budget'].iloc[0]:,}"
    axes.set_title(words, loc="left", fontsize=9)
    return image


def _matrix(table: pd.DataFrame, names: list[str], column: str) -> np.ndarray:
    """Return (s, s) values by (strategy_a, strategy_b), the mean over budgets; NaN where there are none."""
    wide = table.pivot_table(index="strategy_a", columns="strategy_b", values=column, dropna=False)
    one_way: np.ndarray = wide.reindex(index=names, columns=names).to_numpy(np.float64)
    both: np.ndarray = np.fmax(one_way, one_way.T)
    return both


def _percent(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"
