import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from rich.console import Console
from sklearn import metrics as reference

from raybert.analysis.plot_formats import in_formats
from raybert.config import METRICS
from raybert.errors import ConfigError, DataError
from raybert.evaluation.bootstrap import bootstrap_intervals
from raybert.evaluation.measures import (
    evaluate_predictions,
    predicted_classes,
    predictions_frame,
    threshold_table,
)
from raybert.evaluation.report import write_evaluation
from raybert.tables.evaluation import OF_COMMANDS
from raybert.terminal.evaluation import format_evaluation
from raybert.training.measures.metrics import class_metrics, evaluation_metrics
from raybert.training.measures.weighted import Ranking


def sample(num_classes, num_examples=300, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, num_examples)
    scores = generator.normal(size=(num_examples, num_classes)).round(1)
    scores[np.arange(num_examples), labels] += 1
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, probs.astype(np.float32)


def names_of(num_classes):
    return tuple(f"class {c}" for c in range(num_classes))


def printed(evaluation, width=120):
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(format_evaluation(evaluation))
    return capture.get()


@pytest.fixture(scope="module")
def binary():
    labels, probs = sample(2)
    groups = np.array([f"q{i // 7}" for i in range(300)])
    return evaluate_predictions(labels, probs, ("no", "yes"), groups=groups, num_resamples=50)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_an_evaluation_holds_the_metrics_of_the_arrays(num_classes):
    labels, probs = sample(num_classes)
    found = evaluate_predictions(labels, probs, names_of(num_classes), num_resamples=20)
    assert found.overall["value"].to_dict() == evaluation_metrics(labels, probs)
    pd.testing.assert_frame_equal(found.per_class.drop(columns="label"), class_metrics(labels, probs))
    assert tuple(found.per_class["label"]) == names_of(num_classes)
    np.testing.assert_array_equal(found.confusion, reference.confusion_matrix(labels, probs.argmax(axis=1)))
    assert found.confusion.index.name == "label"
    assert found.per_group is None


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_group_has_the_metrics_of_its_examples_alone(num_classes):
    labels, probs = sample(num_classes, 60)
    groups = np.random.default_rng(1).choice([10, 9, 200, 7, 8, 5], 60, p=[0.4, 0.2, 0.2, 0.16, 0.02, 0.02])
    groups[0], groups[1:4] = 5, 8  # a group of one example at least
    found = evaluate_predictions(labels, probs, names_of(num_classes), groups=groups, num_resamples=0)
    assert list(found.per_group["group"]) == sorted(set(groups))
    for row in found.per_group.to_dict("records"):
        rows = groups == row.pop("group")
        assert row.pop("num_examples") == rows.sum()
        assert row == pytest.approx(evaluation_metrics(labels[rows], probs[rows]), nan_ok=True)


def test_groups_see_the_threshold_too():
    labels, probs = sample(2)
    groups = np.arange(300) % 3
    found = evaluate_predictions(labels, probs, ("no", "yes"), groups=groups, threshold=0.3, num_resamples=0)
    rows = groups == 1
    expected = reference.f1_score(labels[rows], probs[rows, 1] >= 0.3)
    assert found.per_group["f1"][1] == pytest.approx(expected)
    assert found.metric("f1")[0] == pytest.approx(reference.f1_score(labels, probs[:, 1] >= 0.3))
    assert found.per_class["recall"][1] == found.metric("recall")[0]


def test_at_half_the_most_probable_class_is_predicted_and_the_first_of_equals():
    probs = np.array([[0.5, 0.5], [0.4, 0.6], [0.6, 0.4]])
    np.testing.assert_array_equal(predicted_classes(probs), [0, 1, 0])
    np.testing.assert_array_equal(predicted_classes(probs, 0.4), [1, 1, 1])
    np.testing.assert_array_equal(predicted_classes(probs, 0.6), [0, 1, 0])


def test_a_single_example_is_evaluated_without_intervals():
    found = evaluate_predictions(np.array([0]), np.array([[0.9, 0.1]]), ("no", "yes"), groups=np.array(["a"]))
    assert found.metric("accuracy")[0] == 1.0
    assert found.overall[["low", "high"]].isna().all(axis=None)
    assert found.best_threshold is None
    assert len(found.thresholds) == 1
    assert math.isnan(found.thresholds["recall"][0])


@pytest.mark.slow
def test_every_row_of_the_threshold_table_equals_scikit_learn():
    labels, probs = sample(2, 80)
    thresholds = np.append(np.unique(probs[:, 1]), [0.0, 0.321, 1.0])
    table = threshold_table(labels, probs[:, 1], thresholds)
    for row, threshold in zip(table.to_dict("records"), thresholds, strict=True):
        predicted = probs[:, 1] >= threshold
        assert row == pytest.approx(
            {
                "threshold": float(threshold),
                "precision": reference.precision_score(labels, predicted, zero_division=np.nan),
                "recall": reference.recall_score(labels, predicted),
                "f1": reference.f1_score(labels, predicted),
                "specificity": reference.recall_score(labels, predicted, pos_label=0),
                "predicted_positive_fraction": predicted.mean(),
            },
            nan_ok=True,
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_has_the_highest_f1_of_all(seed):
    labels, probs = sample(2, 400, seed)
    probs = np.random.default_rng(seed).dirichlet([1, 1], 400) * 0.5 + probs * 0.5  # 400 distinct ones
    found = evaluate_predictions(labels, probs, ("no", "yes"), num_resamples=0)
    every = [reference.f1_score(labels, probs[:, 1] >= t) for t in probs[:, 1]]
    assert found.best_threshold["f1"] == pytest.approx(max(every))
    assert found.best_threshold["threshold"] == min(probs[np.isclose(every, max(every)), 1])
    assert found.best_threshold in found.thresholds.to_dict("records")
    assert 100 <= len(found.thresholds) <= 101
    assert found.thresholds["threshold"].is_monotonic_increasing
    # evenly spread over the distinct probabilities
    assert found.thresholds["predicted_positive_fraction"].diff().abs().max() <= 5 / 400 + 1e-9


def test_equal_probabilities_are_one_threshold():
    labels, probs = np.array([0, 1, 1, 0]), np.array([[0.7, 0.3], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8]])
    found = evaluate_predictions(labels, probs, ("no", "yes"), num_resamples=0)
    assert list(found.thresholds["threshold"]) == [0.3, 0.8]


def test_evaluating_at_the_best_threshold_gives_its_f1(binary):
    again = evaluate_predictions(
        binary.labels, binary.probs, ("no", "yes"), threshold=binary.best_threshold["threshold"], num_resamples=0
    )
    for name in ("f1", "precision", "recall", "specificity"):
        assert again.metric(name)[0] == pytest.approx(binary.best_threshold[name])


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 4])
def test_intervals_equal_those_of_resampled_examples(num_classes):
    labels, probs = sample(num_classes, 60)
    predicted = probs.argmax(axis=1)
    ours = bootstrap_intervals(labels, probs, predicted, num_resamples=40, seed=3)
    generator = np.random.default_rng(3)
    drawn = [generator.integers(0, 60, 60) for _ in range(40)]
    resamples = pd.DataFrame([evaluation_metrics(labels[rows], probs[rows]) for rows in drawn])
    assert set(ours) == set(resamples)
    for name, values in resamples.items():
        assert ours[name] == pytest.approx(tuple(np.quantile(values.dropna(), [0.025, 0.975])), abs=1e-6), name


def test_groups_are_drawn_whole():
    labels, probs = sample(2, 60)
    groups = np.repeat([0, 1, 2, 3], [30, 20, 5, 5])
    ours = bootstrap_intervals(labels, probs, probs.argmax(axis=1), units=groups, num_resamples=30)
    generator, accuracies = np.random.default_rng(0), []
    for _ in range(30):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in generator.integers(0, 4, 4)])
        accuracies.append((probs.argmax(axis=1) == labels)[rows].mean())
    assert ours["accuracy"] == pytest.approx(tuple(np.quantile(accuracies, [0.025, 0.975])))


@pytest.mark.slow
def test_copies_of_examples_narrow_the_interval_unless_they_are_one_group():
    labels, probs = sample(2, 50)
    four_times = np.tile(np.arange(50), 4)
    wide = evaluate_predictions(labels, probs, ("no", "yes")).metric("accuracy")
    narrow = evaluate_predictions(labels[four_times], probs[four_times], ("no", "yes")).metric("accuracy")
    grouped = evaluate_predictions(labels[four_times], probs[four_times], ("no", "yes"), groups=four_times)
    assert narrow[2] - narrow[1] < 0.6 * (wide[2] - wide[1])
    assert grouped.metric("accuracy") == pytest.approx(wide)


@pytest.mark.slow
def test_the_interval_of_accuracy_is_near_that_of_the_normal_approximation():
    labels, probs = sample(3, 2000)
    value, low, high = evaluate_predictions(labels, probs, names_of(3)).metric("accuracy")
    assert low < value < high
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(value * (1 - value) / 2000), rel=0.1)


def test_the_same_seed_gives_the_same_intervals(binary):
    def intervals(seed):
        return evaluate_predictions(binary.labels, binary.probs, ("no", "yes"), num_resamples=30, seed=seed).overall

    pd.testing.assert_frame_equal(intervals(1), intervals(1))
    assert not intervals(1)["low"].equals(intervals(2)["low"])


def test_no_resamples_mean_no_intervals(binary):
    found = evaluate_predictions(binary.labels, binary.probs, ("no", "yes"), num_resamples=0)
    assert found.overall["low"].isna().all()
    assert found.overall["value"].equals(binary.overall["value"])


@pytest.mark.parametrize("seed", range(3))
def test_weighted_areas_equal_scikit_learn_with_ties(seed):
    generator = np.random.default_rng(seed)
    positive, scores = generator.random(200) < 0.2, generator.integers(0, 30, 200) / 30
    weights = generator.integers(0, 4, 200).astype(float)
    roc, average_precision = Ranking.of(positive, scores).areas(weights)
    assert roc == pytest.approx(reference.roc_auc_score(positive, scores, sample_weight=weights))
    assert average_precision == pytest.approx(
        reference.average_precision_score(positive, scores, sample_weight=weights)
    )


def test_areas_without_positives_are_undefined():
    ranking = Ranking.of(np.array([True, False, False]), np.array([0.1, 0.2, 0.3]))
    assert all(math.isnan(area) for area in ranking.areas(np.array([0.0, 1.0, 1.0])))
    assert all(math.isnan(area) for area in ranking.areas(np.array([1.0, 0.0, 0.0])))


def test_predictions_have_names_confidence_and_a_column_per_class(tmp_path):
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
    frame = predictions_frame(np.array(["a", "b"]), np.array([0, 1]), probs, ("x", "y", "z"), texts=["one", "two"])
    frame.to_parquet(tmp_path / "predictions.parquet", index=False)
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    columns = ["example_id", "text", "label", "predicted", "confidence", "prob_x", "prob_y", "prob_z"]
    assert list(frame.columns) == columns
    assert frame[columns[:4]].to_numpy().tolist() == [["a", "one", "x", "x"], ["b", "two", "y", "z"]]
    np.testing.assert_array_equal(frame["confidence"], np.float32([0.7, 0.6]))
    np.testing.assert_array_equal(frame[columns[5:]], probs)


def test_predictions_of_unlabelled_texts_have_no_label_and_follow_the_threshold():
    probs = np.array([[0.7, 0.3], [0.9, 0.1]])
    frame = predictions_frame(np.arange(2), None, probs, ("no", "yes"), threshold=0.2)
    assert list(frame.columns) == ["example_id", "predicted", "confidence", "prob_no", "prob_yes"]
    assert list(frame["predicted"]) == ["yes", "no"]
    assert list(frame["confidence"]) == [0.3, 0.9]


def test_what_is_written_reads_back(binary, tmp_path):
    paths = write_evaluation(binary, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    read = json.loads((tmp_path / "metrics.json").read_text())
    for name, row in binary.overall.to_dict("index").items():
        assert read["metrics"][name] == row
    assert read["best_f1_threshold"] == {**binary.best_threshold, "chosen_on": "these examples"}
    assert (read["num_examples"], read["num_groups"], read["threshold"]) == (300, 43, 0.5)
    assert read["intervals"]["drawn"] == "groups"
    for name in ("per_class", "per_group", "thresholds"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(table, getattr(binary, name), check_dtype=False)
    confusion = pd.read_csv(tmp_path / "confusion.csv", index_col="label")
    assert confusion.to_dict() == binary.confusion.to_dict()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_tables_have_exactly_the_columns_that_are_declared(num_classes, tmp_path):
    labels, probs = sample(num_classes, 60)
    found = evaluate_predictions(labels, probs, names_of(num_classes), groups=np.arange(60) // 6, num_resamples=0)
    write_evaluation(found, tmp_path)
    written = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert {"per_class", "per_group", "confusion"} <= written.keys()
    assert ("thresholds" in written) == (num_classes == 2)
    for name, frame in written.items():
        table = OF_COMMANDS[name]
        columns = list(dict.fromkeys("<class>" if column in names_of(num_classes) else column for column in frame))
        of_others = {name for name, metric in METRICS.items() if "classification" not in metric.tasks}
        declared = [c for c in table if c.name not in of_others]
        assert columns == [c.name for c in declared if num_classes == 2 or not c.optional]
    frame = predictions_frame(np.arange(60), labels, probs, names_of(num_classes))
    declared = [column.name for column in OF_COMMANDS["evaluated"] if not column.optional]
    assert [*dict.fromkeys(re.sub("^prob_.*", "prob_<class>", column) for column in frame)] == declared


def test_what_is_undefined_is_null_and_tables_of_an_earlier_evaluation_go(binary, tmp_path):
    write_evaluation(binary, tmp_path)
    labels, probs = np.zeros(4, int), sample(3, 4)[1]
    write_evaluation(evaluate_predictions(labels, probs, names_of(3), num_resamples=10), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "per_class.csv", "confusion.csv"}
    read = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert read["metrics"]["auc_roc"] == {"value": None, "low": None, "high": None}
    assert (read["threshold"], read["best_f1_threshold"], read["num_groups"]) == (None, None, None)


def test_the_terminal_shows_values_with_intervals_and_where_the_threshold_is_from(binary):
    text = printed(binary)
    value, low, high = binary.metric("auc_pr")
    assert f"{value:.3f} {low:.3f} .. {high:.3f}" in text
    assert "recall (sensitivity)" in text
    assert f"threshold {binary.best_threshold['threshold']:.4g} gives the highest F1" in text
    assert "it is chosen on these examples" in text
    assert "50 bootstrap resamples of 43 whole groups" in text
    assert "the 10 largest of 43 groups" in text


def test_a_narrow_terminal_shows_whole_names_and_numbers(binary):
    text = printed(binary, 40)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 40
    assert all(f"\n{name} " in text for name in ("no", "yes", "q0", "class", "group"))


def test_the_terminal_shows_names_as_they_are_and_classes_without_examples():
    labels, probs = np.array([0, 0, 1]), sample(3, 3)[1]
    text = printed(evaluate_predictions(labels, probs, ("[red]a", "b [/]", "c"), num_resamples=0))
    assert text.count("[red]a") == 3
    assert text.count("b [/]") == 3
    assert "no examples of 1 of 3 classes: c" in text
    assert "nan" not in text
    assert "bootstrap" not in text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": np.array([0, 1, 2])}, DataError, r"^labels: must be in 0..1, got 1 others"),
        ({"labels": np.array([0, -1, -1])}, DataError, r"^labels: must be in 0..1, got 2 others"),
        ({"labels": np.array([0, 1])}, DataError, r"^probs: must be 2 examples x 2 classes"),
        ({"labels": np.array([0.0, 1.0, 1.0])}, DataError, r"^labels: must be whole numbers, got float64"),
        ({"labels": np.array([], int)}, DataError, r"^labels: must be one per example, at least one"),
        ({"label_names": ("a", "b", "c")}, DataError, r"^probs: must be 3 examples x 3 classes .* got shape \(3, 2\)"),
        ({"probs": np.array([[0.5, 0.5], [np.nan, 1], [3, -2]])}, DataError, r"sum to 1, got 2 of 3 .* in row 2"),
        ({"groups": np.array(["a", "b"])}, DataError, r"^groups: must be one per example \(3\), got 2"),
        ({"groups": np.array(["a", None, "b"])}, DataError, r"^groups: must not be missing, got 1 of 3"),
        ({"threshold": 1.5}, ConfigError, r"^threshold: must be in 0..1, got 1.5"),
        ({"num_resamples": -1}, ConfigError, r"^num_resamples: must be >= 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, message):
    given = {"labels": np.array([0, 1, 1]), "probs": np.full((3, 2), 0.5), "label_names": ("a", "b")}
    with pytest.raises(error, match=message):
        evaluate_predictions(**(given | change))


def test_a_threshold_for_three_classes_is_refused():
    with pytest.raises(ConfigError, match=r"^threshold: must be 0.5 unless there are two classes, got 0.3 for 3"):
        evaluate_predictions(*sample(3), names_of(3), threshold=0.3)


def curve_points(axes, label):
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def texts_of(axes):
    return {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}


@pytest.fixture(scope="module")
def plots():
    from raybert.evaluation import plots as evaluation

    return evaluation


@pytest.mark.slow
@pytest.mark.parametrize(
    "num_classes", [2, pytest.param(6, marks=pytest.mark.long), pytest.param(30, marks=pytest.mark.long)]
)
def test_all_figures_are_written_and_lay_out_without_warnings(plots, num_classes, tmp_path):
    labels, probs = sample(num_classes, 600)
    names = [f"{'a name that is much too long for a plot ' * (c % 2)}{c}" for c in range(num_classes)]
    with in_formats(["png"]):
        paths = plots.write_evaluation_plots(evaluate_predictions(labels, probs, names, num_resamples=10), tmp_path)
    expected = ["confusion", "confusion_normalised", "calibration", "roc", "precision_recall"]
    assert [path.stem for path in paths] == expected + ["thresholds"] * (num_classes == 2)
    for path in paths:
        picture = imread(path)
        assert (picture[[0, -1]] == 1).all(), f"{path.name} is cut off at the top or bottom"
        assert (picture[:, [0, -1]] == 1).all(), f"{path.name} is cut off at the sides"


@pytest.mark.slow
def test_examples_of_one_class_have_no_curves(plots, binary, tmp_path):
    plots.write_evaluation_plots(binary, tmp_path)
    one_class = evaluate_predictions(np.zeros(5, int), sample(2, 5)[1], ("no", "yes"))
    plots.write_evaluation_plots(one_class, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"confusion", "confusion_normalised", "calibration"}


def test_the_cells_of_the_confusions_are_the_counts_and_the_shares(plots, binary):
    counts = binary.confusion.to_numpy()
    (axes,) = plots.draw_confusion(binary).axes
    assert texts_of(axes) == {(x, y): str(counts[y, x]) for y in range(2) for x in range(2)}
    (axes,) = plots.draw_confusion(binary, normalised=True).axes
    assert texts_of(axes)[1, 1] == f"{100 * binary.metric('recall')[0]:.0f}"
    assert texts_of(axes)[0, 0] == f"{100 * binary.metric('specificity')[0]:.0f}"


@pytest.mark.long
@pytest.mark.slow
def test_of_very_many_classes_those_with_the_most_errors_are_shown(plots):
    labels = np.arange(50)
    probs = np.full((50, 50), 1e-3)
    wrong = np.arange(50) >= 20
    probs[labels, np.where(wrong, (labels + 1 - 20) % 30 + 20, labels)] = 1 - 49e-3
    figure = plots.draw_confusion(evaluate_predictions(labels, probs, names_of(50), num_resamples=0))
    (axes,) = figure.axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 40
    assert {f"class {c}" for c in range(20, 50)} <= set(shown)
    assert "40 of 50 classes" in figure.get_suptitle()


def test_the_areas_under_the_curves_are_the_metrics(plots, binary):
    x, y = curve_points(plots.draw_roc(binary).axes[0], "yes")
    assert np.trapezoid(y, x) == pytest.approx(binary.metric("auc_roc")[0])
    x, y = curve_points(plots.draw_precision_recall(binary).axes[0], "yes")
    assert np.sum(np.diff(x) * y[1:]) == pytest.approx(binary.metric("auc_pr")[0])


def test_the_areas_under_the_mean_curves_are_the_metrics(plots):
    labels, probs = sample(8, 900)
    found = evaluate_predictions(labels, probs, names_of(8), num_resamples=0)
    x, y = curve_points(plots.draw_roc(found).axes[0], "mean of 8 classes")
    assert np.trapezoid(y, x) == pytest.approx(found.metric("auc_roc")[0], abs=2e-3)
    axes = plots.draw_precision_recall(found).axes[0]
    x, y = curve_points(axes, "mean of 8 classes")
    assert y[1:].mean() == pytest.approx(found.metric("auc_pr")[0], abs=2e-3)
    named = [line.get_label().split(":")[0] for line in axes.lines if str(line.get_label()).startswith("class ")]
    assert set(named) == set(found.per_class.nsmallest(6, "auc_pr")["label"])


def test_the_baseline_of_precision_is_the_share_of_the_class(plots, binary):
    axes = plots.draw_precision_recall(binary).axes[0]
    (baseline,) = [line for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert baseline.get_ydata()[0] == pytest.approx(binary.labels.mean())


def test_the_reliability_diagram_holds_the_bins_of_the_error(plots, binary):
    figure = plots.draw_calibration(binary)
    top, bottom = figure.axes
    counts = np.array([bar.get_height() for bar in bottom.patches])
    assert counts.sum() == 300
    confidence, accuracy = curve_points(top, "at the mean confidence")
    assert counts[counts > 0] @ np.abs(confidence - accuracy) / 300 == pytest.approx(binary.metric("ece")[0])
    assert f"ECE {binary.metric('ece')[0]:.3f}" in figure.get_suptitle()


def test_the_threshold_plot_marks_the_threshold_used_and_the_best(plots, binary):
    (axes,) = plots.draw_thresholds(binary).axes
    assert curve_points(axes, "the threshold used")[0][0] == 0.5
    best = binary.best_threshold
    assert curve_points(axes, "highest F1")[0][0] == best["threshold"]
    x, y = curve_points(axes, "F1")
    assert y.max() <= best["f1"] + 1e-9
    at = np.searchsorted(x, 0.3)
    assert y[at] == pytest.approx(reference.f1_score(binary.labels, binary.probs[:, 1] >= x[at]))
