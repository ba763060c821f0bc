"""Plots of a sweep, drawn without pyplot so that no global figure state is left behind.

Those of one model's predictions are in `plots.evaluation`, which imports torch: a sweep's tables and plots do not wait
for that.
"""

from raybert.analysis.plots.budget import draw_budget
from raybert.analysis.plots.comparison import draw_accuracy, draw_cost
from raybert.analysis.plots.curves import draw_learning_curves, draw_samples_per_pass
from raybert.analysis.plots.embeddings import draw_embeddings
from raybert.analysis.plots.examples import draw_kept, draw_last_losses
from raybert.analysis.plots.forest import draw_forest
from raybert.analysis.plots.pair import draw_pair
from raybert.analysis.plots.passes import draw_per_pass
from raybert.analysis.plots.predictions import draw_confusions, draw_prediction_curves
from raybert.analysis.plots.ranks import draw_critical_difference, draw_ranks
from raybert.analysis.plots.saving import remove_figure, save_figure
from raybert.analysis.plots.search import draw_importances, draw_search_cost, draw_search_history
from raybert.analysis.plots.search_parameters import draw_best_values, draw_search_parallel, draw_search_slices
from raybert.analysis.plots.selected import draw_classes, draw_lengths, draw_overlap
from raybert.analysis.plots.strategy_styles import styles_of
from raybert.analysis.plots.targets import draw_label_f1, draw_true_and_predicted

__all__ = [
    "draw_accuracy",
    "draw_best_values",
    "draw_budget",
    "draw_classes",
    "draw_confusions",
    "draw_cost",
    "draw_critical_difference",
    "draw_embeddings",
    "draw_forest",
    "draw_importances",
    "draw_kept",
    "draw_label_f1",
    "draw_last_losses",
    "draw_learning_curves",
    "draw_lengths",
    "draw_overlap",
    "draw_pair",
    "draw_per_pass",
    "draw_prediction_curves",
    "draw_ranks",
    "draw_samples_per_pass",
    "draw_search_cost",
    "draw_search_history",
    "draw_search_parallel",
    "draw_search_slices",
    "draw_true_and_predicted",
    "remove_figure",
    "save_figure",
    "styles_of",
]
