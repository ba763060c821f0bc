"""What one model's predictions are worth: confusions, ROC, precision and recall, calibration, thresholds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from raybert.analysis.plots.saving import remove_figure, save_figure
from raybert.analysis.plots.strategy_styles import style_at
from raybert.analysis.plots.style import (
    GREY,
    INK,
    add_heading,
    cell_grid,
    distinct_short_names,
    number_in_percent,
    place_legend,
    short_name,
    tidy,
    write_in_cell,
)
from raybert.analysis.plots.targets import draw_label_f1, draw_true_and_predicted
from raybert.analysis.results.predicted_targets import PredictedTargets
from raybert.analysis.statistics.prediction_curves import Ranked, Reliability, precision_at, roc_at
from raybert.config import METRICS
from raybert.evaluation.measures import Evaluation, threshold_table
from raybert.training.measures.metrics import NUM_CALIBRATION_BINS

_CELL = 0.36  # inches: room for three digits
_LARGE_CELL = 0.62
_LETTER = 0.065
_MAX_CLASSES = 40
_FEW = 8
"""Up to so many classes there is room for large cells."""
_COLOURED = 6
_FAINT = "#c9c9c9"
_GRID = np.linspace(0.0, 1.0, 501)


class Curve(NamedTuple):
    """A line of a class: its area, and points in drawing order."""

    class_number: int
    name: str
    area: float
    x: np.ndarray
    y: np.ndarray


def write_evaluation_plots(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write each figure of this module and return the files; thresholds only for two classes.

    Of several labels it is the F1 of each, of numbers predicted over true ones.

    Where all examples are of one class there are no curves and no thresholds to draw, and a file of an earlier
    evaluation is removed.
    """
    is_of_classes = evaluation.labels.ndim == 1
    has_curves = is_of_classes and not np.isnan(evaluation.metric("auc_roc")[0])
    several = len(evaluation.label_names) > 1
    figures: dict[str, Callable[[Evaluation], Figure | None] | None] = {
        "label_f1": _draw_labels if several and not is_of_classes else None,
        "predicted_numbers": None if several else _draw_numbers,
        "confusion": draw_confusion if is_of_classes else None,
        "confusion_normalised": partial(draw_confusion, normalised=True) if is_of_classes else None,
        "calibration": draw_calibration if is_of_classes else None,
        "roc": draw_roc if has_curves else None,
        "precision_recall": draw_precision_recall if has_curves else None,
        "thresholds": draw_thresholds if has_curves and evaluation.threshold is not None else None,
    }
    paths: list[Path] = []
    for name, draw in figures.items():
        path = Path(folder) / f"{name}.png"
        figure = None if draw is None else draw(evaluation)
        if figure is None:
            remove_figure(path)
        else:
            paths += save_figure(figure, path)
    return paths


def _draw_labels(evaluation: Evaluation) -> Figure | None:
    return draw_label_f1([_as_one(evaluation)], evaluation.label_names, {})


def _draw_numbers(evaluation: Evaluation) -> Figure | None:
    return draw_true_and_predicted([_as_one(evaluation)], evaluation.label_names[0], {})


def _as_one(evaluation: Evaluation) -> PredictedTargets:
    """Return what a model predicts as if it were the only strategy of a sweep."""
    return PredictedTargets("model", len(evaluation.labels), ((evaluation.labels, evaluation.probs),))


def draw_confusion(evaluation: Evaluation, normalised: bool = False) -> Figure:
    """Return a heat map of how often each label (row) got each prediction.

    Beyond 40 classes those with the most errors are shown.

    Args:
        evaluation: of any number of classes.
        normalised: show percentages of each true class (its recall is on the diagonal) in place of counts.
    """
    counts = evaluation.confusion.to_numpy()
    support = counts.sum(axis=1)
    errors = counts.sum(axis=0) + support - 2 * np.diagonal(counts)
    shown = np.sort(np.argsort(-errors, kind="stable")[:_MAX_CLASSES])
    names = distinct_short_names(evaluation.label_names)
    values = counts / np.maximum(support, 1)[:, None] if normalised else counts
    cell = _LARGE_CELL if len(shown) <= _FEW else max(_CELL, 0.075 * len(f"{counts.max():,}"))
    side = cell * len(shown)
    margin = _LETTER * max(len(names[c]) for c in shown) + 0.6
    figure = Figure(figsize=(max(4.2, side + margin), max(2.2, side + margin) + 0.4), layout="compressed")
    axes = figure.subplots()
    _draw_matrix(axes, values[np.ix_(shown, shown)], [names[c] for c in shown], normalised)
    unit = "% of each label" if normalised else "examples"
    more = f", the {len(shown)} of {len(counts)} classes with the most errors" if len(shown) < len(counts) else ""
    add_heading(figure, f"What is taken for what? ({unit}{more})")
    return figure


def draw_roc(evaluation: Evaluation) -> Figure:
    """Return ROC curves: of class 1 of two classes, or of each class against the rest and their mean.

    With more than six classes the six of the smallest area are in colour, the others grey.
    """
    curves = _class_curves(evaluation, "auc_roc", Ranked.roc)
    mean = np.mean([roc_at(each.x, each.y, _GRID) for each in curves], axis=0)
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance")
    _draw_curves(axes, evaluation, curves, "auc_roc", mean)
    if evaluation.threshold is not None:
        axes.plot(
            1 - evaluation.metric("specificity")[0],
            evaluation.metric("recall")[0],
            "o",
            color="black",
            label=_decision(evaluation),
        )
    axes.set_xlabel("1 - specificity (share of other examples that are taken for the class)")
    axes.set_ylabel("recall (sensitivity)")
    add_heading(figure, "How well are classes ranked above the rest? (ROC)")
    place_legend(figure, _entries(axes), columns=2)
    return figure


def draw_precision_recall(evaluation: Evaluation) -> Figure:
    """Return precision over recall, in steps: of class 1 of two classes, or of each class and their mean.

    Dotted lines are the share of the class among the examples: the precision of a ranking by chance.
    """
    curves = _class_curves(evaluation, "auc_pr", Ranked.precision_recall)
    mean = np.mean([precision_at(each.x, each.y, _GRID) for each in curves], axis=0)
    figure, axes = _square()
    colours = _draw_curves(axes, evaluation, curves, "auc_pr", mean, drawstyle="steps-pre")
    priors = evaluation.per_class["num_examples"] / len(evaluation.labels)
    for class_number, colour in colours.items():
        axes.axhline(priors[class_number], color=colour, linestyle=":", linewidth=1)
    axes.plot([], [], color=GREY, linestyle=":", linewidth=1, label="chance: share of the class")
    if evaluation.threshold is not None:
        axes.plot(
            evaluation.metric("recall")[0],
            evaluation.metric("precision")[0],
            "o",
            color="black",
            label=_decision(evaluation),
        )
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    add_heading(figure, "How much is right of what is found? (precision and recall)")
    place_legend(figure, _entries(axes), columns=2)
    return figure


def draw_calibration(evaluation: Evaluation) -> Figure:
    """Return a reliability diagram: accuracy over confidence in the bins of the calibration error, and their sizes."""
    found = Reliability.of(evaluation.labels, evaluation.probs)
    counts, filled = found.counts, np.flatnonzero(found.counts)
    mean_confidence, accuracy = found.confidence[filled], found.accuracy[filled]
    width = 1 / NUM_CALIBRATION_BINS
    centres = (np.arange(NUM_CALIBRATION_BINS) + 0.5) * width
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
    top.bar(centres[filled], accuracy, width * 0.92, color=INK, alpha=0.3, label="accuracy in the bin")
    top.plot(
        mean_confidence,
        accuracy,
        "o-",
        color=INK,
        markersize=4,
        linewidth=1,
        label="at the mean confidence of the bin",
        clip_on=False,
    )
    top.set_ylabel("share that is right")
    top.set_ylim(0, 1.02)
    place_legend(figure, top.get_legend_handles_labels()[0], columns=3)
    number_in_percent(top.yaxis)
    bottom.bar(centres, counts, width * 0.92, color=GREY)
    for x, count in zip(centres[filled], counts[filled], strict=True):
        bottom.annotate(
            f"{count:,}", (x, count), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=7
        )
    bottom.margins(y=0.2)
    bottom.set_ylabel("examples")
    bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    bottom.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bottom.set_xlabel("confidence: probability of the most probable class")
    bottom.set_xlim(max(0.0, filled[0] * width - width), 1.0)
    number_in_percent(bottom.xaxis)
    error, low, high = evaluation.metric("ece")
    interval = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    add_heading(figure, f"Does confidence tell accuracy? ECE {error:.3f}{interval}")
    for axes in (top, bottom):
        tidy(axes, grid="y")
    return figure


def draw_thresholds(evaluation: Evaluation) -> Figure:
    """Return precision, recall, F1 and specificity of class 1 over the threshold that decides for it."""
    table = threshold_table(evaluation.labels, evaluation.probs[:, 1], _GRID)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(("precision", "recall", "f1", "specificity")):
        look = style_at(place).line(linewidth=2.2 if name == "f1" else 1.3)
        axes.plot(table["threshold"], table[name], label=METRICS[name].words, **look)
    axes.axvline(evaluation.threshold or 0.0, color="black", linewidth=1, label=_decision(evaluation))
    best = evaluation.best_threshold
    if best is not None:
        words = f"highest F1: {best['f1']:.3f} from {best['threshold']:.3g} on (chosen on these examples)"
        axes.axvline(best["threshold"], color=style_at(2).colour, linewidth=1, linestyle=":", label=words)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"threshold on the probability of '{short_name(evaluation.label_names[1])}'")
    add_heading(figure, "What does another threshold give?")
    number_in_percent(axes.yaxis)
    tidy(axes, grid="both")
    place_legend(figure, _entries(axes), columns=2)
    return figure


def _draw_matrix(axes: Axes, values: np.ndarray, names: list[str], normalised: bool) -> None:
    few = len(names) <= _FEW
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1 if normalised else max(1, values.max()))
    for (y, x), value in np.ndenumerate(values):
        if value or x == y or few:
            text = f"{100 * value:.0f}" if normalised else f"{value:,}"
            write_in_cell(axes, image, x, y, value, text, fontsize=9 if few else 7)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    cell_grid(axes, len(names), len(names))


def _class_curves(
    evaluation: Evaluation,
    metric: str,
    curve: Callable[[Ranked], tuple[np.ndarray, np.ndarray]],
) -> list[Curve]:
    """Return the curves that the metric is a mean of: class 1 of two, else every class with examples."""
    labels, probs = evaluation.labels, evaluation.probs
    areas, names = evaluation.per_class[metric], distinct_short_names(evaluation.label_names)
    classes = [1] if probs.shape[1] == 2 else np.unique(labels)
    return [Curve(c, names[c], areas[c], *curve(Ranked.by(labels == c, probs[:, c]))) for c in classes]


def _draw_curves(
    axes: Axes, evaluation: Evaluation, curves: list[Curve], metric: str, mean: np.ndarray, drawstyle: str = "default"
) -> dict[int, str]:
    """Draw a line per class, of many classes only the worst in colour, and the mean; return class -> colour.

    Args:
        axes: to draw on.
        evaluation: that the curves are of.
        curves: at least one.
        metric: the mean of their areas.
        mean: (501,) of the curves, at `_GRID`.
        drawstyle: matplotlib's, of the lines.
    """
    ranked = sorted(curves, key=lambda each: each.area)
    shown = ranked[:_COLOURED][::-1]
    for each in ranked[_COLOURED:]:
        axes.plot(each.x, each.y, color=_FAINT, linewidth=0.7, drawstyle=drawstyle)
    looks = {each.class_number: style_at(place) for place, each in enumerate(shown)}
    for each in shown:
        words = _area_words(evaluation, metric) if len(curves) == 1 else f"{each.area:.3f}"
        look = looks[each.class_number].line(linewidth=1.4)
        axes.plot(each.x, each.y, drawstyle=drawstyle, label=f"{each.name}: {words}", **look)
    if len(curves) > len(shown):
        axes.plot([], [], color=_FAINT, linewidth=0.7, label=_count_others(len(curves) - len(shown)))
    if len(curves) > 1:
        words = f"mean of {len(curves)} classes: {_area_words(evaluation, metric)}"
        axes.plot(_GRID, mean, color="black", linewidth=2, drawstyle=drawstyle, label=words)
    return {number: look.colour for number, look in looks.items()}


def _count_others(number: int) -> str:
    return f"{number} class{'es' if number > 1 else ''} of larger area"


def _area_words(evaluation: Evaluation, metric: str) -> str:
    value, low, high = evaluation.metric(metric)
    return f"area {value:.3f}" + ("" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")


def _decision(evaluation: Evaluation) -> str:
    return f"the threshold used: {evaluation.threshold:g}"


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    number_in_percent(axes.xaxis)
    number_in_percent(axes.yaxis)
    tidy(axes, grid="both")
    return figure, axes


def _entries(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]
