"""What happens during training: examples per pass, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybert.analysis.plots.lines import (
    CURVE,
    best_ends,
    curve_entries,
    curve_styles,
    draw_curve,
    looks,
    panels_of,
    what_bands_are,
)
from raybert.analysis.plots.style import (
    add_heading,
    budget_fills,
    distinct_short_names,
    in_two_lines,
    place_legend,
    scale_axis,
    scale_counts,
    short_counts,
    styles_of,
    tidy,
)
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY, Configurations, has_budget
from raybert.analysis.statistics.scales import Scale

_NAMED = 2
"""Strategies that one legend entry names before it counts the others."""
_LONG_ENTRY = 34
"""Letters from which on legend entries stand one below the other."""
_FEW = 30
"""Passes that have a marker each."""
_LONG_TITLE = 44


def draw_samples_per_pass(sweep: Sweep) -> Figure:
    """Return how many examples each pass of each configuration trained on, one line each (mean over seeds).

    Configurations with the same line at a budget share it, in the style of the first, and its legend entry.
    """
    complete = sweep.comparable_trials()
    several = complete.loc[has_budget(complete), "budget"].nunique() > 1
    lines: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    is_cut = False
    for name, group in complete.groupby(KEY, sort=False):
        passes = [list(counts) for counts in group["samples_per_pass"]]
        shortest = min(len(counts) for counts in passes)
        is_cut |= any(len(counts) > shortest for counts in passes)
        mean = tuple(np.mean([counts[:shortest] for counts in passes], axis=0))
        budget = sweep.configurations[str(name)].budget
        heading = f"budget {budget:,}: " if several and budget is not None else ""
        lines.setdefault((heading, mean), []).append(str(name))
    of_line = {line: sweep.configurations[own[0]].budget for line, own in lines.items()}
    order = sorted(lines, key=lambda line: math.inf if of_line[line] is None else float(of_line[line] or 0))
    lines = {line: lines[line] for line in order}  # budgets one after the other, what has none last
    names = {line: _shared_names(sweep.configurations, own, lines) for line, own in lines.items()}
    labels = [heading + _named(names[heading, counts]) for heading, counts in lines]
    columns = 1 if max(map(len, labels), default=0) > _LONG_ENTRY else 2
    figure = Figure(figsize=(5.4, 3.6 + 0.19 * math.ceil(len(lines) / columns)), layout="constrained")
    axes = figure.subplots()
    styles, fills = styles_of(sweep), budget_fills(complete)
    for ((_, counts), own), label in zip(lines.items(), labels, strict=True):
        one = sweep.configurations[own[0]]
        fill = 1.0 if one.budget is None else fills[one.budget]
        marks = {} if len(counts) > _FEW else styles[one.strategy].point(fill, size=5)
        look = {**marks, **styles[one.strategy].line(linewidth=1.4)}
        axes.plot(np.arange(1, len(counts) + 1), counts, label=label, clip_on=False, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    cut = f"\n(a line ends with the first of its {sweep.replicates})" if is_cut else ""
    axes.set_xlabel(f"pass over what the strategy chose{cut}")
    axes.set_ylabel("examples in the pass")
    if scale_counts(axes):
        axes.set_ylabel("examples in the pass (log)")
    add_heading(figure, "How many examples does each pass train on?")
    tidy(axes, grid="y")
    place_legend(figure, axes.get_lines(), columns)
    return figure


def _shared_names(configurations: Configurations, own: list[str], lines: Mapping[Any, list[str]]) -> list[str]:
    """Return what a line is called: a strategy by its name alone where no point of the grid has another line."""
    shown: dict[str, None] = {}
    for name in own:
        one = configurations[name]
        alike = {
            other
            for other in (name for names in lines.values() for name in names)
            if (configurations[other].strategy, configurations[other].budget) == (one.strategy, one.budget)
        }
        shown[one.strategy if alike <= set(own) else one.label] = None
    return distinct_short_names(list(shown))


def draw_learning_curves(sweep: Sweep) -> Figure:
    """Return the sweep's metric on validation against examples seen, mean over seeds with its band.

    A panel per budget and point of the grid, a curve per strategy; of a single strategy a panel per budget, a curve
    per point. With many curves the controls and those that end best are in colour, the others grey.
    """
    # A grid may vary `best_metric`: not every run measures that of the sweep.
    metric = sweep.metric if f"validation_{sweep.metric}_mean" in sweep.per_pass else "accuracy"
    column = f"validation_{metric}"
    table = sweep.per_pass[sweep.per_pass["role"] == "trial"].dropna(subset=[f"{column}_mean"])
    panels = list(panels_of(sweep, table))
    columns = max(1, math.ceil(math.sqrt(len(panels)))) if len(panels) > 8 else min(2, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    ends = best_ends(panels, metric)
    look = looks(ends, curve_styles(sweep))
    entries = curve_entries(look)
    width = 5.4 if columns == 1 else 4.4 * columns
    longest = max((len(str(entry.get_label())) for entry in entries), default=0)
    per_line = max(1, min(len(entries) or 1, int(width / (0.075 * longest + 0.75))))
    height = 0.9 + 3.1 * rows + 0.19 * math.ceil(len(entries) / per_line)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    scale = Scale(metric)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for name, style in look.items():
            own = panel[panel[CURVE] == name]
            if len(own):
                draw_curve(axes, own, "examples_seen_mean", column, style)
        axes.set_title(in_two_lines(title, _LONG_TITLE), loc="left", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        short_counts(axes.xaxis)
        tidy(axes, grid="y")
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(panels) or not panels)
        if number + columns >= len(panels):
            words = what_bands_are(table, sweep.replicates)
            axes.set_xlabel(f"examples seen, repetitions included\n({words})", fontsize=9)
    if panels:
        scale_axis(grid.flat[0], "y", scale)
    figure.supylabel(f"validation {scale.axis_words}", fontsize=10)
    add_heading(figure, "How fast does each strategy learn?")
    place_legend(figure, entries, per_line)
    return figure


def _named(names: list[str]) -> str:
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
