"""What strategies predicted of the test split of another task than classification: labels, or numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from raybert.analysis.plots.strategy_styles import StrategyStyle
from raybert.analysis.plots.style import GREY, distinct_short_names, number_in_percent, short_name, tidy
from raybert.analysis.results.predicted_targets import PredictedTargets
from raybert.training.measures.of_targets import label_metrics, target_metrics

MOST_LABELS = 20
"""Of more labels those with most test examples are shown."""
_MOST_PANELS = 12
_LONGEST_TITLE = 24
"""Letters of a panel's first line."""
_MOST_POINTS = 2_000
"""Of a scatter: more are a blot."""


def draw_label_f1(
    found: Sequence[PredictedTargets], names: Sequence[str], styles: Mapping[str, StrategyStyle]
) -> Figure | None:
    """Return the F1 of every label on test, a point per strategy: the mean over its trials, with their range.

    Args:
        found: of `predicted_targets`, of several labels.
        names: of the labels.
        styles: of each strategy, by its label.

    Returns:
        The figure; None: there are no predictions.
    """
    if not found:
        return None
    support = (found[0].trials[0][0] > 0).sum(axis=0)
    labels = np.argsort(-support, kind="stable")[:MOST_LABELS]
    height = 0.9 + len(labels) * (0.16 + 0.11 * len(found))
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.subplots()
    shown = distinct_short_names([each.strategy for each in found])
    for place, each in enumerate(found):
        values = np.stack([label_metrics(*trial)["f1"].to_numpy() for trial in each.trials])[:, labels]
        known = np.where(np.isnan(values), 0.0, values)
        rows = np.arange(len(labels)) + (place + 0.5) / len(found) * 0.8 - 0.4
        colour, marker = _style_of(each, styles)
        axes.hlines(rows, known.min(axis=0), known.max(axis=0), color=colour, linewidth=1)
        axes.plot(known.mean(axis=0), rows, marker, color=colour, markersize=4, label=shown[place])
    axes.set_yticks(np.arange(len(labels)))
    axes.set_yticklabels([f"{short_name(names[k])} ({support[k]:,})" for k in labels], fontsize=8)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    number_in_percent(axes.xaxis)
    tidy(axes, grid="x")
    axes.set_xlabel("F1 on test: mean over seeds, line from the lowest to the highest", fontsize=8)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    left_out = len(support) - len(labels)
    words = f"\nleft out: {left_out} labels with fewer test examples" if left_out else ""
    axes.set_title(f"Which labels does each strategy find?{words}", fontsize=10, loc="left")
    return figure


def draw_true_and_predicted(
    found: Sequence[PredictedTargets], name: str, styles: Mapping[str, StrategyStyle]
) -> Figure | None:
    """Return predicted against true numbers of the test split, a panel per strategy, of its first trial.

    Args:
        found: of `predicted_targets`, of numbers.
        name: of the numbers.
        styles: of each strategy, by its label.

    Returns:
        The figure; None: there are no predictions.
    """
    if not found:
        return None
    shown = found[:_MOST_PANELS]
    names_of_panels = distinct_short_names([each.strategy for each in shown], _LONGEST_TITLE)
    columns = min(4, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(max(5.2, 0.6 + 2.3 * columns), 0.9 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(shown):
            axes.set_visible(False)
            grid.flat[number - columns].tick_params(labelbottom=True)  # the lowest of its column
    for axes, each, panel in zip(grid.flat, shown, names_of_panels, strict=False):
        targets, predicted = each.trials[0]
        drawn = np.linspace(0, len(targets) - 1, min(len(targets), _MOST_POINTS)).astype(np.int64)
        colour, _ = _style_of(each, styles)
        axes.plot(targets[drawn, 0], predicted[drawn, 0], ".", color=colour, markersize=3, alpha=0.5)
        ends = float(targets.min()), float(targets.max())
        axes.plot(ends, ends, "--", color=GREY, linewidth=1)
        values = target_metrics(targets, predicted)
        measured = f"RMSE {values['rmse']:.3g}, r {values['pearson']:.2f}"
        axes.set_title(f"{panel}\n{each.budget:,}: {measured}", fontsize=8, loc="left")
        tidy(axes, grid="both")
    figure.supxlabel(f"{short_name(name)} of the test split", fontsize=8)
    figure.supylabel("predicted", fontsize=8)
    left_out = len(found) - len(shown)
    words = f"; left out: {left_out} strategies" if left_out else ""
    figure.suptitle(f"How near are predictions? First seed of each strategy{words}", fontsize=10, x=0.02, ha="left")
    return figure


def _style_of(found: PredictedTargets, styles: Mapping[str, StrategyStyle]) -> tuple[str, str]:
    """Return the colour and the marker of a strategy."""
    style = styles.get(found.strategy)
    return (GREY, "o") if style is None else (style.colour, style.marker)
