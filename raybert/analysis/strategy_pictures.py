"""The pictures that set strategies beside each other, seed by seed: drawn where a sweep has what they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raybert.analysis.results.failed_runs import WITH_FAILED, with_failed_lines
from raybert.analysis.results.kept import hardness_of, kept_examples, last_losses, of_one_fold
from raybert.analysis.results.left_out import uncounted_failures, uncounted_on_test
from raybert.analysis.results.predicted import PredictedOfTest, predicted_of_test
from raybert.analysis.results.predicted_targets import output_names, predicted_targets
from raybert.analysis.results.shown import at_best_points
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import NOT_COMPARED
from raybert.analysis.statistics.pair_differences import pair_differences
from raybert.analysis.statistics.ranks import ranks_over_replicates
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BUDGET_PANELS = 6
"""Points of a grid that are drawn, each a panel: in a row are three."""


def write_strategy_pictures(sweep: Sweep) -> None:
    """Write them to `plots/`, and delete those of earlier results that there is nothing to draw of any more."""
    _write_forest(sweep)
    _write_ranks(sweep)
    _write_examples(sweep)
    _write_budget(sweep)
    _write_predictions(sweep)


def _write_forest(sweep: Sweep) -> None:
    from raybert.analysis import plots  # matplotlib is slow to import

    shown, left_out = at_best_points(sweep)
    by = shown.compared
    second = by.with_failures.assign(verdict=NOT_COMPARED, holm_p=float("nan"))  # verdicts stay those of complete pairs
    tables = [by.comparisons, second.assign(**{KEY: second[KEY] + f" {WITH_FAILED}"})]
    differences = [pair_differences(by.trials, by.comparisons), pair_differences(by.counted, second)]
    differences[1][KEY] = differences[1][KEY] + f" {WITH_FAILED}"
    rows, single = (pd.concat([part for part in parts if len(part)] or parts[:1]) for parts in (tables, differences))
    rows, single = rows.reset_index(drop=True), single.reset_index(drop=True)
    figure = plots.draw_forest(rows, single, plots.styles_of(sweep), sweep.replicates)
    _write(figure, sweep.folder / "plots" / "forest.png", left_out, *with_failed_lines(shown.summary()))


def _write_ranks(sweep: Sweep) -> None:
    from raybert.analysis import plots

    shown, left_out = at_best_points(sweep, 1)
    styles = plots.styles_of(sweep)
    ranks = ranks_over_replicates(shown.compared.counted, sweep.metric, list(styles))
    figure = plots.draw_ranks(ranks, sweep.metric, styles, sweep.replicates)
    _write(figure, sweep.folder / "plots" / "ranks.png", left_out, *uncounted_on_test(shown, shows_lost=True))


def _write_examples(sweep: Sweep) -> None:
    """Draw what became of single examples at the best point of the grid: others are of other trainings."""
    from raybert.analysis import plots

    shown, left_out = at_best_points(sweep, 1)
    left_out = "; ".join(part for part in (left_out, of_one_fold(sweep)) if part)
    folder, hardness = sweep.folder / "plots", hardness_of(shown)
    _write(plots.draw_kept(kept_examples(shown), hardness), folder / "selected_examples.png", left_out)
    losses = last_losses(shown)
    words = "; ".join(part for part in (left_out, losses.left_out) if part)
    unit = "" if sweep.task == REGRESSION else " (nat)"
    figure = plots.draw_last_losses(losses, hardness, f"last training loss{unit}")
    _write(figure, folder / "last_losses.png", words)


def _write_budget(sweep: Sweep) -> None:
    from raybert.analysis import plots

    shown, left_out = at_best_points(sweep, _MOST_BUDGET_PANELS)
    _write(
        plots.draw_budget(shown),
        sweep.folder / "plots" / "budget.png",
        left_out,
        *uncounted_on_test(shown, shows_lost=True),
    )


def _write_predictions(sweep: Sweep) -> None:
    """Draw what strategies predicted of the test split, at the best point of the grid."""
    from raybert.analysis import plots

    shown, left_out = at_best_points(sweep, 1)
    words = [left_out, *uncounted_failures(shown)]
    folder, styles = sweep.folder / "plots", plots.styles_of(sweep)
    targets = [] if sweep.task == CLASSIFICATION else predicted_targets(shown)
    names = output_names(sweep)
    figure = plots.draw_label_f1(targets, names, styles) if sweep.task == MULTI_LABEL else None
    _write(figure, folder / "label_f1.png", *words)
    figure = plots.draw_true_and_predicted(targets, ", ".join(names), styles) if sweep.task == REGRESSION else None
    _write(figure, folder / "predicted_numbers.png", *words)
    found = predicted_of_test(shown) if sweep.task == CLASSIFICATION else PredictedOfTest([], ())
    figure = plots.draw_prediction_curves(found.strategies, plots.styles_of(sweep), found.left_out)
    _write(figure, folder / "prediction_curves.png", *words)
    figure = plots.draw_confusions(found.strategies, sweep.label_names, found.left_out)
    _write(figure, folder / "confusions.png", *words)


def _write(figure: Figure | None, path: Path, *left_out: str) -> None:
    from raybert.analysis import plots

    if figure is None:
        plots.remove_figure(path)
    else:
        plots.save_figure(figure, path, *left_out)
