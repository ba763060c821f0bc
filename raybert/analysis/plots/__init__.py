"""Plots of a sweep and of an evaluation, drawn without pyplot so that no global figure state is left behind."""

from raybert.analysis.plots.comparison import draw_accuracy, draw_cost
from raybert.analysis.plots.curves import draw_learning_curves, draw_samples_per_epoch
from raybert.analysis.plots.evaluation import (
    draw_calibration,
    draw_confusion,
    draw_precision_recall,
    draw_roc,
    draw_thresholds,
    write_evaluation_plots,
)
from raybert.analysis.plots.selected import draw_classes, draw_lengths, draw_overlap
from raybert.analysis.plots.style import save_figure

__all__ = [
    "draw_accuracy",
    "draw_calibration",
    "draw_classes",
    "draw_confusion",
    "draw_cost",
    "draw_learning_curves",
    "draw_lengths",
    "draw_overlap",
    "draw_precision_recall",
    "draw_roc",
    "draw_samples_per_epoch",
    "draw_thresholds",
    "save_figure",
    "write_evaluation_plots",
]
