"""From pass to pass: losses, accuracies, learning rate and examples of every strategy, and of two beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raybert.analysis.plots.curves import CURVE, panels_of, worth_colour
from raybert.analysis.plots.style import (
    PALETTE,
    distinct_short_names,
    in_two_lines,
    number_in_percent,
    number_log_ticks,
    short_name,
    tidy,
)
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import pair_sentences
from raybert.tables import own_metric_columns

_PANEL = (2.75, 2.1)
"""Inches of a panel, with the room for its numbers."""
_MARGINS = {"left": 0.75, "right": 0.25, "top": 0.85, "bottom": 0.15}
_LINE = 0.19
"""Inches of a line of the legend."""
_LETTER = 0.075
_GREY = "#c9c9c9"
_COLOURS = tuple(colour for colour in PALETTE if colour != "#000000")
"""Black is that of random."""
_WIDE = 20.0


def draw_per_pass(sweep: Sweep) -> Figure:
    """Return losses, accuracies, learning rate and examples per pass: a row of panels per budget and point of the grid.

    Lines are means over seeds; bands are 95 % intervals, of two seeds both values. A strategy has one colour in the
    whole figure; with many those that end best and random are in colour, the others grey.
    """
    table = sweep.per_pass[sweep.per_pass["role"] == "trial"]
    rows = list(panels_of(sweep, table))
    columns = _columns(sweep)
    final = _final_values(rows, sweep.metric)
    named = worth_colour(final)
    styles = {name: _style(name, named) for name in final}
    entries = _entries(named, styles, len(final))
    figure, grid = _grid_of_panels(max(1, len(rows)), len(columns), entries)
    for r, (title, panel) in enumerate(rows):
        grid[r, 0].set_ylabel(in_two_lines(title, 26), fontsize=8)
        for c, (column, words) in enumerate(columns.items()):
            axes = grid[r, c]
            for name in [*(name for name in final if name not in named), *named]:
                own = panel[panel[CURVE] == name]
                if len(own):
                    _draw_line(axes, own, "pass", column, styles[name], with_band=name in named)
            axes.set_title(words if r == 0 else "", fontsize=9, loc="left")
    _finish(grid, columns, "pass over what the strategy chose")
    _say(figure, "What happens from pass to pass?", table, sweep.replicates)
    return figure


def draw_pair(sweep: Sweep, baseline: str, strategy: str) -> Figure:
    """Return two strategies beside each other, against the examples that they have seen: a row per configuration.

    Args:
        sweep: the results.
        baseline: a label of its table.
        strategy: another, which `sweep.comparisons` has beside it.
    """
    pairs = sweep.comparisons
    pairs = pairs[(pairs["baseline"] == baseline) & (pairs["strategy"] == strategy)]
    columns = {
        f"validation_{sweep.metric}": f"validation {Scale(sweep.metric).words}",
        "validation_loss": "validation loss",
        "train_loss": "training loss",
        "samples": "examples in the pass",
    }
    columns = {name: words for name, words in columns.items() if f"{name}_mean" in sweep.per_pass}
    styles: dict[str, dict[str, Any]] = {
        baseline: {"color": "black", "linestyle": "--"},
        strategy: {"color": PALETTE[0], "linestyle": "-"},
    }
    short = distinct_short_names([baseline, strategy])
    entries = [Line2D([], [], **styles[name], label=label) for name, label in zip(styles, short, strict=True)]
    sentences = pair_sentences(pairs)
    figure, grid = _grid_of_panels(max(1, len(pairs)), len(columns), entries, above=0.3)
    shown = []
    for r, (pair, sentence) in enumerate(zip(pairs.to_dict("records"), sentences, strict=True)):
        for c, (column, words) in enumerate(columns.items()):
            for name, key in ((baseline, pair["baseline_configuration"]), (strategy, pair[KEY])):
                own = sweep.per_pass[sweep.per_pass[KEY] == key]
                shown.append(own)
                _draw_line(grid[r, c], own, "examples_seen_mean", column, styles[name], with_band=True)
            grid[r, c].set_title(words, fontsize=8.5, loc="left")
        box = grid[r, 0].get_position()
        height = figure.get_size_inches()[1]
        figure.text(box.x0, box.y1 + 0.27 / height, short_name(sentence, 130), fontsize=8, color="#444444")
    _finish(grid, columns, "examples seen (repetitions included)")
    table = pd.concat(shown) if shown else sweep.per_pass
    _say(figure, f"{short[1]} beside {short[0]}", table, sweep.replicates)
    return figure


def _columns(sweep: Sweep) -> dict[str, str]:
    """Return the quantities of the panels that were measured, and their words."""
    metric = sweep.metric
    wanted = {
        "train_loss": "training loss (nat)",
        "validation_loss": "validation loss (nat)",
        "train_accuracy": "training accuracy",
        "validation_accuracy": "validation accuracy",
        f"validation_{metric}": f"validation {Scale(metric).words}",
        **{
            name: f"validation {Scale(name.partition('_')[2]).words}"
            for name in own_metric_columns(sweep.evaluations, "validation")
        },
        "learning_rate": "learning rate",
        "samples": "examples in the pass",
    }
    if metric == "loss":
        wanted["validation_loss"] = "validation loss (nat)"
    known = sweep.per_pass
    return {
        name: words
        for name, words in wanted.items()
        if f"{name}_mean" in known and (known[f"{name}_mean"].notna().any() or known.empty)
    }


def _final_values(rows: Sequence[tuple[str, pd.DataFrame]], metric: str) -> dict[str, float]:
    """Return the best end that every curve comes to in any row, higher = better."""
    final: dict[str, float] = {}
    column = f"validation_{metric}_mean"
    for _, panel in rows:
        for name, own in panel.groupby(CURVE, sort=False):
            value = Scale(metric).sign * float(own[column].iloc[-1]) if column in own else np.nan
            final[str(name)] = float(np.nanmax([final.get(str(name), np.nan), value, -np.inf]))
    return final


def _style(name: str, named: Sequence[str]) -> dict[str, Any]:
    if name == "random":
        return {"color": "black", "linestyle": "--", "linewidth": 1.6}
    if name not in named:
        return {"color": _GREY, "linewidth": 0.8}
    return {"color": _COLOURS[named.index(name) % len(_COLOURS)], "linestyle": "-", "linewidth": 1.3}


def _entries(named: Sequence[str], styles: Mapping[str, Any], number: int) -> list[Line2D]:
    short = distinct_short_names(list(named))
    entries = [Line2D([], [], **styles[name], label=label) for name, label in zip(named, short, strict=True)]
    others = number - len(named)
    if others:
        entries.append(Line2D([], [], color=_GREY, linewidth=0.8, label=f"{others} other{'s' if others > 1 else ''}"))
    return entries


def _grid_of_panels(
    rows: int, columns: int, entries: Sequence[Line2D], above: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """Return a figure with panels at places in inches, which no layout engine has to find: it would take seconds.

    Args:
        rows: of panels.
        columns: of panels.
        entries: of the legend below.
        above: inches above every row for a line of text.
    """
    width = _MARGINS["left"] + columns * _PANEL[0] + _MARGINS["right"]
    longest = max((len(str(entry.get_label())) for entry in entries), default=0) * _LETTER + 0.6
    per_line = max(1, min(len(entries) or 1, int(width / longest)))
    legend = _LINE * -(-len(entries) // per_line) + 0.1
    height = _MARGINS["top"] + rows * (_PANEL[1] + above) + _MARGINS["bottom"] + legend
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False, sharey="col")
    inner = (_PANEL[0] - 0.6, _PANEL[1] - 0.45)
    for r in range(rows):
        for c in range(columns):
            left = _MARGINS["left"] + c * _PANEL[0]
            bottom = height - _MARGINS["top"] - r * (_PANEL[1] + above) - above - inner[1]
            grid[r, c].set_position((left / width, bottom / height, inner[0] / width, inner[1] / height))
    if entries:
        figure.legend(
            handles=list(entries),
            loc="lower center",
            ncols=per_line,
            frameon=False,
            fontsize=8,
            bbox_to_anchor=(0.5, 0.0),
            borderaxespad=0.2,
        )
    return figure, grid


def _draw_line(
    axes: Axes, own: pd.DataFrame, x: str, column: str, style: Mapping[str, Any], *, with_band: bool
) -> None:
    """Draw a mean and its band, up to where the first replicate has stopped: a mean over fewer is another one."""
    own = own[own["num_replicates"] == own["num_replicates"].max()].dropna(subset=[f"{column}_mean"])
    if own.empty:
        return
    marker = "o" if len(own) == 1 else None
    axes.plot(own[x], own[f"{column}_mean"], marker=marker, markersize=3.5, **style)
    if not with_band:
        return
    low, high = own[f"{column}_low"], own[f"{column}_high"]
    if own["num_replicates"].iloc[0] == FEWEST - 1:
        half = own[f"{column}_std"] / np.sqrt(2)  # the two values
        low, high = own[f"{column}_mean"] - half, own[f"{column}_mean"] + half
    if len(own) > 1:
        axes.fill_between(own[x], low, high, color=style["color"], alpha=0.15, linewidth=0)
    else:
        axes.vlines(own[x], low, high, color=style["color"], linewidth=1)


def _finish(grid: np.ndarray, columns: Mapping[str, str], x_words: str) -> None:
    for axes in grid.flat:
        tidy(axes, grid="y")
        axes.tick_params(labelsize=7.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    for c, column in enumerate(columns):
        first = grid[0, c]
        metric = column.partition("_")[2]
        if column == "samples":
            _number_counts(first)
        elif column == "learning_rate":
            first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
            first.set_ylim(bottom=0)
        elif Scale(metric).is_percent:
            low, high = first.get_ylim()
            first.set_ylim(max(low, 0.0), min(high, 1.0))
            for axes in grid[:, c]:
                number_in_percent(axes.yaxis)
        if column in ("learning_rate", "samples"):
            for axes in grid[1:, c]:
                axes.yaxis.set_major_formatter(first.yaxis.get_major_formatter())
    for axes in grid[-1]:
        axes.set_xlabel(x_words, fontsize=7.5)


def _number_counts(axes: Axes) -> None:
    """Number an axis of examples from zero on, or by powers of ten where they differ widely."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.ones(1)])
    values = values[values > 0]
    if len(values) and values.max() / values.min() > _WIDE:
        axes.set_yscale("log")
        number_log_ticks(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """Return a count in few letters: `1.5k`, `200k`."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:,g}"


def _say(figure: Figure, title: str, table: pd.DataFrame, replicates: str) -> None:
    """Write the title, and what lines and bands are."""
    most = int(table["num_replicates"].max()) if len(table) else 0
    words = f"one {replicates.rstrip('s')}, no bands"
    if most == FEWEST - 1:
        words = f"lines: means; bands: both {replicates}"
    elif most >= FEWEST:
        words = f"lines: means over {most} {replicates}; bands: 95 % t intervals"
    width, height = figure.get_size_inches()
    left = _MARGINS["left"] / width
    figure.text(left, 1 - 0.22 / height, title, fontsize=11, va="center")
    figure.text(left, 1 - 0.42 / height, words, fontsize=8, va="center", color="#444444")
