"""Single examples as columns, strategies as rows: who kept them, and what their last loss was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure

from raybert.analysis.plots.places import add_panel, head_height, width_of, write_head
from raybert.analysis.plots.style import GREY, distinct_short_names
from raybert.analysis.results.kept import Hardness, LastLosses
from raybert.analysis.statistics.examples import OfExamples, by_hardness, by_keepers, in_bins, share_kept_by_none

MOST_COLUMNS = 500
MOST_BUDGETS = 3
MOST_ROWS = 30
_ROW = 0.19
"""Inches of a row."""
_PANEL = 3.7
_BETWEEN = 0.36
"""Inches above a panel, for its title."""
_FOOT = 0.95
_SIZE = 8.0
_EMPTY = "#f4f0e6"
"""Never trained on: no shade of the scale."""


def draw_kept(kept: Sequence[OfExamples], hardness: Hardness | None = None) -> Figure | None:
    """Return heat maps of how often each strategy kept each example: a row of panels per budget.

    Columns are examples: on the left those first that most strategies keep, on the right, where it is known, the
    hardest. The shade is the share of seeds (and of passes, of strategies that choose anew) in which it was kept.

    Args:
        kept: of `kept_examples`.
        hardness: by which the right panels are sorted.

    Returns:
        The figure; None: nothing was selected.
    """
    groups = _groups(kept)
    if not groups:
        return None
    lines = _lines(groups, "the share of seeds and passes in which an example was kept", kept, hardness)
    lines.append("most often: by all strategies but random draws, which would seem to agree with themselves")
    words = ["kept most often first"]
    orders: list[Callable[[Sequence[OfExamples]], np.ndarray]] = [
        lambda own: by_keepers(own, None if hardness is None else hardness.values)
    ]
    if hardness is not None:
        order = by_hardness(hardness.values)
        words.append("hardest first")
        orders.append(lambda _: order)
    figure, grid = _panels(groups, len(orders), "Which examples does each strategy keep?", lines)
    norm = PowerNorm(0.5, 0, 1)  # at a budget of 10 % chance gives 0.1, which is to be seen
    for axes_row, group in zip(grid, groups, strict=True):
        rows = _sorted_rows(group, hardness)
        for axes, order_of in zip(axes_row, orders, strict=True):
            _draw_map(axes, rows, order_of(rows), norm, "Blues", with_names=axes is axes_row[0])
        none = 100 * share_kept_by_none(group)
        axes_row[0].set_title(
            f"{_title(group)}: {none:.0f} % kept by none (random draws aside)", loc="left", fontsize=9
        )
    _finish(figure, grid, words, (norm, "Blues", "kept in this share of seeds and passes", [0, 0.1, 0.25, 0.5, 1]))
    return figure


def draw_last_losses(
    found: LastLosses, hardness: Hardness | None = None, words: str = "last training loss (nat)"
) -> Figure | None:
    """Return heat maps of the last training loss of each example (left), and of the pass that it is from (right).

    Args:
        found: of `last_losses`.
        hardness: by which examples are sorted; default: the mean of what is shown.
        words: what a shade is, with its unit.

    Returns:
        The figure; None: no trial has kept its losses.
    """
    groups = _groups(found.losses)
    if not groups:
        return None
    known = {(each.strategy, each.budget, each.budget_kind): each for each in found.passes}
    if hardness is None:
        hardness = Hardness(_mean(found.losses), "the mean of these losses")
    order = by_hardness(hardness.values)
    lines = _lines(groups, "the mean over seeds, light where never trained on", found.losses, hardness)
    figure, grid = _panels(groups, 2, "What was the last training loss of each example?", lines)
    norm = _loss_scale(found.losses)
    share = Normalize(0, 1)
    for axes_row, group in zip(grid, groups, strict=True):
        rows = _sorted_rows(group, hardness)
        passes = [known[each.strategy, each.budget, each.budget_kind] for each in rows]
        _draw_map(axes_row[0], rows, order, norm, "cividis", with_names=True)
        _draw_map(axes_row[1], passes, order, share, "Greys", with_names=False)
        for y, each in enumerate(rows):
            if each.budget_kind == "distinct" or each.strategy == "all":
                _cover_row(axes_row[1], y, "every pass has the same examples")
        axes_row[0].set_title(f"{_title(group)}: last loss", loc="left", fontsize=9)
        axes_row[1].set_title("the pass that it is from", loc="left", fontsize=9)
    _finish(
        figure,
        grid,
        ["hardest first"] * 2,
        (norm, "cividis", words, None),
        (share, "Greys", "pass of it: 0 the first, 1 the last of the run", [0, 0.5, 1]),
    )
    return figure


def _groups(values: Sequence[OfExamples]) -> list[list[OfExamples]]:
    """Return what shares a budget, smallest first, and what has none; of many budgets the ends and a middle one."""
    budgets = sorted({each.budget for each in values if each.has_budget})
    if len(budgets) > MOST_BUDGETS:
        budgets = [budgets[0], budgets[len(budgets) // 2], budgets[-1]]
    groups = [[each for each in values if each.has_budget and each.budget == budget] for budget in budgets]
    groups.append([each for each in values if not each.has_budget])
    return [group[:MOST_ROWS] for group in groups if group]


def _lines(
    groups: Sequence[Sequence[OfExamples]], what: str, every: Sequence[OfExamples], hardness: Hardness | None
) -> list[str]:
    """Return what a shade is, how many examples a column is, what hard is, and what is not drawn."""
    n, most = len(groups[0][0].values), max(each.num_trials for group in groups for each in group)
    seeds = f"{most} seeds" if most > 1 else "one seed"
    column = "a column is an example" if n <= MOST_COLUMNS else f"a column is the mean of about {n / MOST_COLUMNS:.2g}"
    lines = [f"shades: {what} ({seeds}); {column} of {n:,}"]
    if hardness is not None:
        lines.append(f"hardest first: by {hardness.words}, strategies by what they keep")
    shown = sum(map(len, groups))
    if shown < len(every):
        lines.append(
            f"{shown} of {len(every)} rows: of the smallest, a middle and the largest budget, "
            f"at most {MOST_ROWS} of each"
        )
    return lines


def _title(group: Sequence[OfExamples]) -> str:
    first = group[0]
    return f"budget {first.budget:,}" if first.has_budget else f"no budget ({first.budget:,})"


def _sorted_rows(group: Sequence[OfExamples], hardness: Hardness | None) -> list[OfExamples]:
    """Return rows by how hard what they keep is, the hardest on top; as they come where that is not known."""
    if hardness is None:
        return list(group)
    place = np.empty(len(hardness.values))
    place[by_hardness(hardness.values)] = np.arange(len(place))
    means = [_weighted_place(each, place) for each in group]
    return [group[i] for i in np.argsort(means, kind="stable")]


def _weighted_place(each: OfExamples, place: np.ndarray) -> float:
    """Return the mean place, by hardness, of what a row has: shares are weights, a loss only tells that it is there."""
    weights = np.nan_to_num(each.values) if np.nanmax(each.values, initial=0) <= 1 else ~np.isnan(each.values)
    total = float(weights.sum())
    return float(weights @ place) / total if total else float(len(place))


def _mean(values: Sequence[OfExamples]) -> np.ndarray:
    return mean_of([each.values for each in values])


def mean_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of each column without NaN, NaN where there is nothing else."""
    stacked = np.stack(rows)
    known = ~np.isnan(stacked)
    counts = known.sum(axis=0)
    sums = np.where(known, stacked, 0).sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0))


def _panels(
    groups: Sequence[Sequence[OfExamples]], columns: int, title: str, lines: Sequence[str]
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a row of panels per budget, whose rows have the same height in all of them."""
    names = [name for group in groups for name in distinct_short_names([each.strategy for each in group])]
    left = 0.25 + width_of(names, _SIZE)
    head = head_height(lines)
    heights = [_ROW * len(group) for group in groups]
    width = max(left + columns * (_PANEL + 0.15), 0.3 + width_of(lines, 8.0))
    panel = (width - left) / columns - 0.15
    figure = Figure(figsize=(width, head + sum(heights) + 0.4 + _BETWEEN * (len(groups) - 1) + _FOOT))
    write_head(figure, 0.15, title, lines)
    grid, top = [], head + 0.3
    for height in heights:
        grid.append([add_panel(figure, left + c * (panel + 0.15), top, panel, height) for c in range(columns)])
        top += height + _BETWEEN
    return figure, grid


def _draw_map(
    axes: Axes, rows: Sequence[OfExamples], order: np.ndarray, norm: Normalize, colours: str, *, with_names: bool
) -> None:
    cells = np.stack([in_bins(each.values[order], MOST_COLUMNS) for each in rows])
    axes.imshow(
        np.ma.masked_invalid(cells),
        cmap=colours,
        norm=norm,
        aspect="auto",
        interpolation="nearest",
        extent=(0, 1, len(rows) - 0.5, -0.5),
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)  # fixed: what covers a row would else move all of them
    axes.set_facecolor(_EMPTY)
    axes.set_yticks(
        range(len(rows)), distinct_short_names([each.strategy for each in rows]) if with_names else [""] * len(rows)
    )
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=_SIZE)
    axes.hlines(np.arange(1, len(rows)) - 0.5, 0, 1, color="white", linewidth=0.8)
    axes.spines[:].set_visible(False)


def _cover_row(axes: Axes, y: int, words: str) -> None:
    """Write why a row has nothing to tell, in its place."""
    # Edges of the image lie between pixels: a little more is covered, also below the last row.
    axes.axhspan(y - 0.5, y + 0.6, color="white", zorder=3, clip_on=False)
    axes.text(0.5, y, words, ha="center", va="center", fontsize=7, color=GREY, zorder=4)


def _loss_scale(losses: Sequence[OfExamples]) -> Normalize:
    """Return a logarithmic scale over all losses but the ends, which may be any number."""
    values = np.concatenate([each.values[~np.isnan(each.values)] for each in losses])
    low, high = np.quantile(np.maximum(values, 1e-6), [0.02, 0.98]) if len(values) else (0.1, 1.0)
    return LogNorm(low, max(high, 1.01 * low), clip=True)


def _finish(
    figure: Figure,
    grid: Sequence[Sequence[Axes]],
    words: Sequence[str],
    *scales: tuple[Normalize, str, str, Sequence[float] | None],
) -> None:
    """Write below the last panels what their columns are sorted by, and draw the scales of the shades."""
    height = figure.get_size_inches()[1]
    for axes, text in zip(grid[-1], words, strict=True):
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        first, *_, last = axes.get_xticklabels()
        first.set(ha="left")
        last.set(ha="right")
        axes.set_xlabel(f"share of the pool: {text}", fontsize=_SIZE)
    for axes, (norm, colours, text, ticks) in zip(grid[-1], scales, strict=False):
        box = axes.get_position()
        bar = figure.add_axes((box.x0, 0.36 / height, box.width * 0.6, 0.09 / height))
        # A colour bar of matplotlib is a mesh of 256 cells, which takes as long to draw as a panel.
        bar.imshow(
            norm.inverse(np.linspace(0, 1, 64))[None], cmap=colours, norm=norm, aspect="auto", extent=(0, 1, 0, 1)
        )
        marks = norm.inverse(np.linspace(0, 1, 5)) if ticks is None else np.asarray(ticks)
        bar.set_xticks(np.asarray(norm(marks)), [f"{mark:.2g}" for mark in marks])
        bar.set_yticks([])
        bar.tick_params(labelsize=7, length=2)
        bar.set_xlabel(text, fontsize=7.5, labelpad=1)
        bar.spines[:].set_visible(False)
