"""Every plot with long names, many strategies and narrow ranges: nothing is cut, clipped, or crowded out by a legend."""

import os
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.figure import Figure

from raybert.analysis import load_sweep, overlap_table, plots
from raybert.analysis.plots import monitor
from raybert.analysis.plots.style import strategy_styles
from raybert.analysis.results.kept import Hardness, LastLosses, kept_examples
from raybert.analysis.results.predicted_targets import PredictedTargets
from raybert.analysis.search.search import make_search
from raybert.analysis.search.studies import read_arms
from raybert.analysis.statistics.pair_differences import pair_differences
from raybert.analysis.statistics.projection import project
from raybert.analysis.statistics.ranks import ranks_over_replicates
from raybert.analysis.statistics.subsets import class_shares, first_of_each, length_quantiles
from raybert.evaluation import plots as model_plots
from raybert.evaluation.measures import evaluate_predictions
from tests.analysis.folders import STRATEGIES, write_grid_sweep, write_sample_sweep
from tests.analysis.plots.layout import flaws
from tests.analysis.plots.test_monitor import rows_of_a_run
from tests.analysis.plots.test_predictions import predicted_of
from tests.analysis.studies import write_sample_search

pytestmark = pytest.mark.slow
LONG = tuple(f"confidence(measure=margin, direction=hard, window=[0.{i}, 0.9], drop_hardest=0.{i})" for i in range(8))
RATES = (1e-5, 3e-5, 1e-4, 3e-4)
WIDE = ("WWWWMMMMWWWWMMMM",)
SHOWN = os.environ.get("RAYBERT_SHOW_PLOTS")
"""A folder to write the pictures to, to look at them."""


def check(figure: Figure, name: str) -> None:
    found = flaws(figure)
    if SHOWN:
        figure.savefig(Path(SHOWN) / f"{name}.png", dpi=110)
    assert found == []


SWEEPS = {
    "long": lambda folder: write_sample_sweep(folder, ("random", *LONG[:4], *WIDE[:1]), seeds=2),
    "narrow": lambda folder: write_grid_sweep(
        folder, ("random", "el2n", "k_center"), [{}], lambda name, _: 0.93 + 1e-4 * np.arange(3) + 2e-5 * len(name)
    ),
    "perfect": lambda folder: write_grid_sweep(
        folder, ("random", "el2n"), [{}], lambda name, _: [1.0, 1.0, 1.0 - 1e-3 * len(name)]
    ),
    "grid": lambda folder: write_grid_sweep(
        folder,
        ("random", "el2n"),
        [{"train.learning_rate": rate, "model.encoder": f"organisation/a-long-encoder-name-{rate}"} for rate in RATES],
        lambda name, point: 0.6 + 0.05 * point + 0.01 * np.arange(3),
    ),
}


@pytest.fixture(scope="module", params=SWEEPS)
def sweep(request, tmp_path_factory):
    folder = SWEEPS[request.param](tmp_path_factory.mktemp(request.param) / "sweep")
    return request.param, load_sweep(folder)


@pytest.mark.parametrize(
    "draw", ["draw_accuracy", "draw_cost", "draw_samples_per_pass", "draw_learning_curves", "draw_per_pass"]
)
def test_comparisons_are_laid_out(sweep, draw):
    name, results = sweep
    check(getattr(plots, draw)(results), f"{draw}-{name}")


def test_budgets_are_laid_out(sweep):
    name, results = sweep
    figure = plots.draw_budget(results)
    if figure is not None:  # there are several budgets
        check(figure, f"draw_budget-{name}")


def test_pairs_are_laid_out(sweep):
    name, results = sweep
    pair = results.comparisons.iloc[-1]
    check(plots.draw_pair(results, results.pair(pair["baseline"], pair["strategy"])), f"draw_pair-{name}")
    one, other = results.comparisons[["baseline_configuration", "configuration"]].to_numpy()[0]
    check(plots.draw_pair(results, results.pair(one, other)), f"draw_pair-configurations-{name}")


def test_forests_and_ranks_are_laid_out(sweep):
    name, results = sweep
    styles = plots.styles_of(results)
    differences = pair_differences(results.trials, results.comparisons)
    check(plots.draw_forest(results.comparisons, differences, styles), f"draw_forest-{name}")
    ranks = ranks_over_replicates(results.trials, results.metric)
    if len(ranks) and name != "grid":  # which has several points
        check(plots.draw_ranks(ranks, results.metric, styles), f"draw_ranks-{name}")
        means = dict(zip(ranks["strategy"], ranks["mean"], strict=True))
        check(plots.draw_critical_difference(means, difference=1.5), f"draw_critical_difference-{name}")


def test_examples_are_laid_out(sweep):
    name, results = sweep
    kept = kept_examples(results)
    if kept:
        hardness = Hardness(np.random.default_rng(0).random(len(kept[0].values)), "last loss in the training of all")
        check(plots.draw_kept(kept), f"draw_kept-{name}")
        check(plots.draw_kept(kept, hardness), f"draw_kept-hardness-{name}")
        check(plots.draw_last_losses(LastLosses(kept, kept), hardness), f"draw_last_losses-{name}")


@pytest.mark.parametrize(("number", "num_classes", "name"), [(1, 2, "class {}"), (3, 5, "a long name of a class {}")])
def test_predictions_of_strategies_are_laid_out(number, num_classes, name):
    found = [predicted_of(label, num_classes, 2) for label in (*LONG, *WIDE, "random")[:number]]
    styles = strategy_styles([each.strategy for each in found])
    check(plots.draw_prediction_curves(found, styles, ["left out: 3 trials"]), f"draw_prediction_curves-{num_classes}")
    names = [name.format(c) for c in range(num_classes)]
    check(plots.draw_confusions(found, names), f"draw_confusions-{num_classes}")


@pytest.mark.parametrize(("number", "num_labels"), [(1, 2), (6, 30)])
def test_targets_of_strategies_are_laid_out(number, num_labels):
    generator = np.random.default_rng(0)
    names = [f"a label with quite a long name {k}" for k in range(num_labels)]
    strategies = (*LONG, *WIDE, "random")[:number]
    styles = strategy_styles(list(strategies))

    def found(targets: np.ndarray, predicted: np.ndarray) -> list[PredictedTargets]:
        return [
            PredictedTargets(name, 12_000, ((targets, predicted), (targets, predicted[::-1]))) for name in strategies
        ]

    labels = (generator.random((60, num_labels)) < 0.3).astype(np.float64)
    check(plots.draw_label_f1(found(labels, generator.random(labels.shape)), names, styles), f"draw_label_f1-{number}")
    numbers = generator.normal(size=(60, 1)) * 1e4
    shown = plots.draw_true_and_predicted(found(numbers, numbers + 1e3), "a column with quite a long name", styles)
    check(shown, f"draw_true_and_predicted-{number}")


@pytest.mark.parametrize("draw", ["draw_overlap", "draw_classes", "draw_lengths", "draw_embeddings"])
def test_selections_are_laid_out(sweep, draw):
    name, results = sweep
    if results.pool() is None or len(list(results.subsets())) < 2:
        pytest.skip("nothing was selected")
    pool = results.pool()
    if draw == "draw_overlap":
        table = overlap_table(results.agreement)
        if table.empty:
            pytest.skip("one strategy overlaps with nothing")
        figure = plots.draw_overlap(table)
    elif draw == "draw_classes":
        names = [f"a_class_with_quite_a_long_name_{c}" for c in range(len(results.label_names))]
        names = names if name == "long" else results.label_names
        figure = plots.draw_classes(class_shares(results.subsets(), pool["label"].to_numpy(), names))
    elif draw == "draw_embeddings":
        projection = project(np.random.default_rng(0).normal(size=(len(pool), 8)))
        shown = first_of_each(list(results.subsets()))
        figure = plots.draw_embeddings(projection, pool["label"].to_numpy(), results.label_names, shown)
    else:
        figure = plots.draw_lengths(length_quantiles(results.subsets(), pool["length"].to_numpy()))
    check(figure, f"{draw}-{name}")


SEARCHES = {
    "many": {"strategies": [*LONG[:4], *STRATEGIES[:4]], "num_parameters": 7, "num_suggestions": 12},
    "one": {"strategies": ["random"], "num_parameters": 1, "seeds": 1, "conditional": False},
}
SEARCH_PLOTS = ("history", "cost", "parallel", "slices")


def _many_in_ci(names):
    """Many parts take long to lay out: left to CI."""
    return [pytest.param(name, marks=pytest.mark.long) if name == "many" else name for name in names]


@pytest.fixture(scope="module", params=_many_in_ci(SEARCHES))
def search(request, tmp_path_factory):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    arguments = dict(SEARCHES[request.param])
    write_sample_search(tmp_path_factory.mktemp("search"), arguments.pop("strategies"), storage=storage, **arguments)
    return request.param, make_search(read_arms(storage), pd.DataFrame({"status": [], "role": []}))


@pytest.mark.parametrize(
    "draw", [*(f"draw_search_{name}" for name in SEARCH_PLOTS), "draw_importances", "draw_best_values"]
)
def test_searches_are_laid_out(search, draw):
    name, results = search
    figure = getattr(plots, draw)(results)
    if figure is not None:
        check(figure, f"{draw}-{name}")


@pytest.mark.parametrize(("num_layers", "steps"), [(2, [5]), (24, range(10, 501, 10))])
@pytest.mark.parametrize(
    "draw",
    ["draw_gradient_norms", "draw_update_ratios", "draw_activations", "draw_attention_entropy", "draw_throughput"],
)
def test_monitors_are_laid_out(draw, steps, num_layers):
    rows = rows_of_a_run(steps, num_layers)
    rows.loc[rows["quantity"] == "mfu", "value"] = 0.4312
    check(getattr(monitor, draw)(rows), f"{draw}-{num_layers}-{len(steps)}")


def evaluation_of(num_classes: int, names: str, sharpness: float):
    generator = np.random.default_rng(num_classes)
    labels = generator.integers(0, num_classes, 400)
    scores = generator.normal(0, 1, (400, num_classes)) + sharpness * np.eye(num_classes)[labels]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return evaluate_predictions(labels, probs, [names.format(c) for c in range(num_classes)], num_resamples=20)


MODELS = {
    "two_long": (2, "a very long name of a class, as of a whole sentence in a questionnaire, number {}", 1.0),
    "perfect": (2, "class_{}", 50.0),
    "seven_long": (7, "a long name of a class with many words {}", 2.0),
    "many": (60, "a long name of a class with many words {}", 3.0),
}


@pytest.fixture(scope="module", params=_many_in_ci(MODELS))
def evaluation(request):
    return request.param, evaluation_of(*MODELS[request.param])


@pytest.mark.parametrize(
    "draw", ["draw_confusion", "draw_roc", "draw_precision_recall", "draw_calibration", "draw_thresholds"]
)
def test_evaluations_are_laid_out(evaluation, draw):
    name, found = evaluation
    if draw == "draw_thresholds" and found.threshold is None:
        pytest.skip("of two classes only")
    check(getattr(model_plots, draw)(found), f"{draw}-{name}")


def test_every_function_that_draws_is_tried_here():
    text = Path(__file__).read_text()
    drawn = {name for module in (plots, monitor, model_plots) for name in vars(module) if name.startswith("draw_")}
    tried = {
        name
        for name in drawn
        if f'"{name}"' in text or f"plots.{name}(" in text or name.removeprefix("draw_search_") in SEARCH_PLOTS
    }
    assert tried == drawn
    assert len(drawn) == 36
