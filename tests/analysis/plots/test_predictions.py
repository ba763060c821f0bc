import numpy as np
import pytest
from matplotlib.collections import LineCollection
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve, roc_auc_score, roc_curve

from raybert.analysis import load_sweep
from raybert.analysis.plots.predictions import MOST_CLASSES, draw_confusions, draw_prediction_curves
from raybert.analysis.plots.style import strategy_styles
from raybert.analysis.results.predicted import MOST_STRATEGIES, Predicted, predicted_of_test
from raybert.analysis.statistics.prediction_curves import GRID, OfTrial, Ranked, Reliability, precision_at, roc_at
from raybert.training.measures.metrics import calibration_error
from tests.analysis.folders import make_spec, write_plan, write_predictions, write_result
from tests.analysis.plots.layout import flaws


def predictions(num_classes, seed, size=300):
    """Labels, and probabilities with ties, as those of a model that is sure of some examples."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), generator.integers(0, num_classes, size - num_classes)])
    scores = generator.normal(0, 1, (size, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, np.round(probs, 2) / np.round(probs, 2).sum(axis=1, keepdims=True)


def predicted_of(name, num_classes, num_trials, budget=40):
    trials = [OfTrial.of(*predictions(num_classes, seed)) for seed in range(num_trials)]
    return Predicted(name, budget, tuple(trials))


def segments(axes, label):
    return [line for part in axes.collections if part.get_label() == label for line in part.get_segments()]


@pytest.mark.parametrize("num_classes", [2, 4])
def test_curves_are_those_of_scikit_learn(num_classes):
    labels, probs = predictions(num_classes, 0)
    for c in range(num_classes):
        ranked = Ranked.by(labels == c, probs[:, c])
        false_alarms, recall, _ = roc_curve(labels == c, probs[:, c], drop_intermediate=False)
        assert [list(values) for values in ranked.roc()] == [
            pytest.approx(list(false_alarms)),
            pytest.approx(list(recall)),
        ]
        precision, recall, _ = precision_recall_curve(labels == c, probs[:, c])
        own_recall, own_precision = ranked.precision_recall()
        assert list(own_recall) == pytest.approx(list(recall[::-1]))
        assert list(own_precision) == pytest.approx(list(precision[::-1]))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_trial_is_means_over_classes_on_the_grid(num_classes):
    labels, probs = predictions(num_classes, 0)
    found = OfTrial.of(labels, probs)
    classes = [1] if num_classes == 2 else range(num_classes)
    of_class = [(labels == c, probs[:, c]) for c in classes]
    assert found.auc_roc == pytest.approx(np.mean([roc_auc_score(*each) for each in of_class]))
    assert found.auc_pr == pytest.approx(np.mean([average_precision_score(*each) for each in of_class]))
    curves = [roc_curve(*each)[:2] for each in of_class]
    assert found.roc[1:] == pytest.approx(np.mean([np.interp(GRID, *curve) for curve in curves], axis=0)[1:])
    assert (found.roc[0], found.roc[-1]) == (0, 1)
    shares = confusion_matrix(labels, probs.argmax(axis=1), normalize="true")
    assert found.confusion == pytest.approx(shares)


def test_places_between_points_of_a_curve():
    assert roc_at(np.array([0, 0, 1]), np.array([0, 0.5, 1]), np.array([0, 0.5, 1])).tolist() == [0, 0.75, 1]
    recall, precision = np.array([0, 0.5, 1]), np.array([1, 0.8, 0.4])
    assert precision_at(recall, precision, np.array([0, 0.25, 0.5, 0.75])).tolist() == [1, 0.8, 0.8, 0.4]


def test_reliability_is_that_of_scikit_learn_and_of_the_calibration_error():
    labels, probs = predictions(2, 0)
    found = Reliability.of(labels, probs)
    right = probs.argmax(axis=1) == labels
    share, confidence = calibration_curve(right, probs.max(axis=1), n_bins=15)
    filled = found.counts > 0
    assert found.counts.sum() == len(labels)
    assert found.accuracy[filled] == pytest.approx(share, abs=0.02)  # whose bins hold their lower ends, not the upper
    assert found.confidence[filled] == pytest.approx(confidence, abs=0.02)
    assert found.error == pytest.approx(calibration_error(labels, probs))


def test_one_class_has_no_curves_but_a_confusion():
    found = OfTrial.of(np.zeros(4, int), np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]))
    assert np.isnan(found.roc).all()
    assert np.isnan([found.auc_roc, found.auc_pr]).all()
    assert found.confusion[0].tolist() == [0.75, 0.25]
    assert np.isnan(found.confusion[1]).all()
    figure = draw_prediction_curves([Predicted("el2n", 40, (found,))], strategy_styles(["el2n"]))
    assert [text.get_text() for text in figure.axes[0].texts].count("not defined") == 2


def test_means_and_bands_are_over_the_trials_that_have_a_value():
    trials = predicted_of("el2n", 3, 3)
    accuracies = np.stack([trial.reliability.accuracy for trial in trials.trials])
    low, high = trials.band(lambda trial: trial.reliability.accuracy)
    known = ~np.isnan(accuracies).all(axis=0)
    assert trials.mean(lambda t: t.reliability.accuracy)[known] == pytest.approx(
        np.nanmean(accuracies[:, known], axis=0)
    )
    assert low[known] == pytest.approx(np.nanmin(accuracies[:, known], axis=0))
    assert high[known] == pytest.approx(np.nanmax(accuracies[:, known], axis=0))


def test_a_row_is_a_strategy_with_its_means_bands_and_random_beside_it():
    found = [predicted_of("el2n", 2, 3), predicted_of("random", 2, 2), predicted_of("k_center", 2, 1)]
    styles = strategy_styles(["el2n", "random", "k_center"])
    figure = draw_prediction_curves(found, styles, ["left out: a strategy"])
    (axes,) = figure.axes
    assert len(segments(axes, "_means")) == 9
    assert len(segments(axes, "_beside")) == 6
    bands = [part for part in axes.collections if part.get_label() == "_bands"]
    assert [sum(len(path.vertices) > 0 for path in part.get_paths()) for part in bands] == [2, 2, 2]
    first = segments(axes, "_means")[0]
    mean = found[0].mean(lambda trial: trial.roc)
    x0, bottom = first[0]  # recall 0 at 0
    assert (first[:, 0] - x0) / (first[-1, 0] - x0) == pytest.approx(GRID)
    assert (bottom - first[:, 1]) / (bottom - first[-1, 1]) == pytest.approx(mean)
    texts = [text.get_text() for text in axes.texts]
    areas = [trial.auc_roc for trial in found[0].trials]
    assert f"area {np.mean(areas):.3f}\n{min(areas):.3f} to {max(areas):.3f}" in texts
    assert f"ECE {found[2].trials[0].reliability.error:.3f}" in texts
    said = [text.get_text() for text in figure.texts]
    assert said[1:] == [
        "lines: means of 1 to 3 trials; bands: from the lowest to the highest; dashed: random",
        "left out: a strategy",
    ]
    assert isinstance(axes.collections[0], LineCollection)
    assert flaws(figure) == []


def test_confusions_are_means_of_shares_and_of_few_classes_written():
    found = [predicted_of("el2n", 2, 3), predicted_of("random", 2, 3)]
    figure = draw_confusions(found, ["no", "yes"])
    (axes,) = figure.axes
    shown = [np.asarray(image.get_array()) for image in axes.images[:-1]]  # the last one is the scale
    expected = np.mean([trial.confusion for trial in found[0].trials], axis=0)
    assert shown[0] == pytest.approx(expected)
    texts = [text.get_text() for text in axes.texts]
    assert texts[:5] == [*(f"{100 * value:.0f}" for value in expected.ravel()), texts[4]]
    assert texts[4] == f"el2n (40)\nmean of the diagonal {100 * np.diagonal(expected).mean():.1f} %"
    assert texts.count("no") == texts.count("yes") == 3  # beside the first matrix, below both


@pytest.mark.slow
def test_of_many_classes_those_that_are_mistaken_most_are_shown():
    found = [predicted_of(f"confidence(measure=margin, window=[0.{i}, 0.9])", 60, 1) for i in range(12)]
    figure = draw_confusions(
        found, [f"a long name of a class with many words {c}" for c in range(60)], ["left out: 18 strategies"]
    )
    assert {image.get_array().shape for image in figure.axes[0].images[:-1]} == {(MOST_CLASSES, MOST_CLASSES)}
    said = " ".join(text.get_text() for text in figure.texts)
    assert f"the {MOST_CLASSES} of 60 classes that are mistaken most" in said
    assert "left out: 18 strategies" in said
    assert flaws(figure) == []


def test_nothing_predicted_is_nothing_drawn():
    assert draw_prediction_curves([], {}) is None
    assert draw_confusions([], []) is None


def test_the_best_on_validation_and_the_baselines_are_drawn_at_their_largest_budget(tmp_path):
    names = ["all", *(f"s{i}" for i in range(14)), "random"]
    specs = [make_spec(name, 0, 400 if name == "all" else budget) for name in names for budget in (20, 40)][1:]
    write_plan(tmp_path, specs, ("no", "yes"))
    for i, spec in enumerate(specs):
        write_result(tmp_path, spec, 0.5 + 0.01 * i if spec["strategy"] != "random" else 0.1)
        if spec["strategy"] != "s13":
            write_predictions(tmp_path, spec, [0, 1] * 10, [0, 1, 1, 0] * 5)
    predicted = predicted_of_test(load_sweep(tmp_path))
    found = predicted.strategies
    assert [each.strategy for each in found] == ["all", *(f"s{i}" for i in range(4, 13)), "random"]
    assert len(found) == MOST_STRATEGIES - 1
    assert predicted.left_out == (
        "left out: 4 strategies with a worse validation",
        "left out: s13: no predictions that can be read",
    )
    assert {each.budget for each in found} == {40, 400}
    assert found[1].trials[0].confusion.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_trials_that_are_not_drawn_are_said_with_the_reason(tmp_path):
    specs = {(name, seed): make_spec(name, seed) for name in ("random", "el2n", "aum") for seed in range(12)}
    write_plan(tmp_path, list(specs.values()), ("no", "yes"))
    for (name, seed), spec in specs.items():
        write_result(tmp_path, spec, 0.5)
        if name != "aum" or seed < 2:
            write_predictions(
                tmp_path, spec, [0, 1] * 10, [0, 1, 1, 0] * 5, classes=3 if (name, seed) == ("aum", 1) else 2
            )
    for seed in (0, 3):
        torn = tmp_path / "trials" / specs["el2n", seed]["trial_id"] / "predictions.parquet"
        torn.write_bytes(torn.read_bytes()[:100])
    predicted = predicted_of_test(load_sweep(tmp_path))
    assert [len(each.trials) for each in predicted.strategies] == [10, 10]
    assert predicted.left_out == (
        "left out: aum: trials predict different numbers of classes",
        "left out: 12 trials without readable predictions (el2n seed 0, el2n seed 3, aum seed 2, aum seed 3 and 8 more)",
        "left out: of a strategy all trials but the first 10, up to 2",
    )
    assert any("pictures of predictions leave it out" in note for note in load_sweep(tmp_path).notes)
