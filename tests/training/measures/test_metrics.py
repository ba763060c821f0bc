import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from raybert.config.metrics import EVALUATION_METRICS, METRICS, TRIAL_METRICS, sign_of
from raybert.training.measures.metrics import (
    calibration_error,
    class_metrics,
    classification_metrics,
    count_confusions,
    count_metrics,
    evaluation_metrics,
    squared_errors,
    validation_metrics,
)

BINARY = {"precision", "recall", "specificity", "f1"}


def sample(num_classes, num_examples=400, seed=0, missing=()):
    """Labels that lack some classes, and probabilities that know something of them, with ties."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([c for c in range(num_classes) if c not in missing], num_examples)
    scores = generator.normal(size=(num_examples, num_classes)).round(1)
    scores[np.arange(num_examples), labels] += 1
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, probs


def one_hot_scores(labels, probs):
    """Labels and scores as scikit-learn's ranking metrics take them: of class 1, or one column a class."""
    one_hot = np.eye(probs.shape[1])[labels]
    return (one_hot[:, 1], probs[:, 1]) if probs.shape[1] == 2 else (one_hot, probs)


def specificities(labels, predicted, num_classes):
    return [reference.recall_score(labels != c, predicted != c) for c in range(num_classes)]


def calibration_by_bins(labels, probs):
    """The expected calibration error, bin by bin."""
    total = 0.0
    for k in range(15):
        rows = [
            (max(p), int(np.argmax(p) == y))
            for p, y in zip(probs.tolist(), labels, strict=True)
            if k / 15 < max(p) <= (k + 1) / 15
        ]
        if rows:
            confidence, right = np.mean(rows, axis=0)
            total += len(rows) / len(labels) * abs(right - confidence)
    return total


REFERENCES = {
    "accuracy": lambda y, p, top: reference.accuracy_score(y, top),
    "precision": lambda y, p, top: reference.precision_score(y, top),
    "recall": lambda y, p, top: reference.recall_score(y, top),
    "specificity": lambda y, p, top: reference.recall_score(y, top, pos_label=0),
    "f1": lambda y, p, top: reference.f1_score(y, top),
    "macro_f1": lambda y, p, top: reference.f1_score(y, top, average="macro"),
    "weighted_f1": lambda y, p, top: reference.f1_score(y, top, average="weighted"),
    "macro_precision": lambda y, p, top: reference.precision_score(y, top, average="macro"),
    "macro_recall": lambda y, p, top: reference.balanced_accuracy_score(y, top),
    "macro_specificity": lambda y, p, top: np.mean(specificities(y, top, p.shape[1])),
    "mcc": lambda y, p, top: reference.matthews_corrcoef(y, top),
    "auc_roc": lambda y, p, top: reference.roc_auc_score(*one_hot_scores(y, p), average="macro"),
    "auc_pr": lambda y, p, top: reference.average_precision_score(*one_hot_scores(y, p), average="macro"),
    "brier": lambda y, p, top: reference.brier_score_loss(y, p[:, 1] if p.shape[1] == 2 else p),
    "ece": lambda y, p, top: calibration_by_bins(y, p),
    "loss": lambda y, p, top: reference.log_loss(y, p),
}
"""A value of each metric that is not computed by raybert, from labels, probabilities and most probable classes."""


OF_CLASSES = [name for name, metric in METRICS.items() if "classification" in metric.tasks]
"""Those of labels and of numbers have tests of their own: `test_of_targets`."""


def test_every_metric_has_a_reference_of_its_own():
    assert list(REFERENCES) == OF_CLASSES


@pytest.mark.parametrize("num_classes", [2, 3, 7, 20])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_metric_of_the_table_equals_its_reference(name, num_classes):
    metric = METRICS[name]
    for seed in range(3):
        labels, probs = sample(num_classes, seed=seed)
        ours = evaluation_metrics(labels, probs)
        if metric.two_classes_only and num_classes > 2:
            assert name not in ours
            continue
        assert ours[name] == pytest.approx(REFERENCES[name](labels, probs, probs.argmax(axis=1)), abs=1e-6)
        assert metric.lowest <= ours[name] <= metric.highest


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_metric_of_the_table_is_best_where_everything_is_right_and_worst_where_all_is_wrong(name, num_classes):
    metric, labels = METRICS[name], np.arange(60) % num_classes
    if metric.two_classes_only and num_classes > 2:
        return
    sure = np.eye(num_classes)
    right = evaluation_metrics(labels, sure[labels])[name]
    wrong = evaluation_metrics(labels, sure[(labels + 1) % num_classes])[name]
    assert right == (metric.lowest if metric.lower_is_better else metric.highest)
    assert sign_of(name) * wrong < sign_of(name) * right


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_metric_of_the_table_reads_probabilities_only_if_it_says_so(name, num_classes):
    if METRICS[name].two_classes_only and num_classes > 2:
        return
    labels, probs = sample(num_classes)
    predicted = probs.argmax(axis=1)
    sharper = probs**2 / (probs**2).sum(axis=1, keepdims=True)
    own, other = (evaluation_metrics(labels, each, predicted)[name] for each in (probs, sharper[:, ::-1]))
    assert (own != other) == METRICS[name].needs_probs


@pytest.mark.parametrize("num_classes", [2, 5])
def test_metrics_are_returned_in_the_order_of_the_table(num_classes):
    expected = [name for name in OF_CLASSES if num_classes == 2 or not METRICS[name].two_classes_only]
    assert list(evaluation_metrics(*sample(num_classes))) == expected


@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_metrics_of_training_and_of_an_evaluation_agree(num_classes):
    labels, probs = sample(num_classes, missing=(0,) if num_classes == 5 else ())
    every = evaluation_metrics(labels, probs)
    assert classification_metrics(labels, probs) == {name: every[name] for name in TRIAL_METRICS}
    assert validation_metrics(labels, probs) == {name: every[name] for name in EVALUATION_METRICS}
    further = validation_metrics(labels, probs, ["mcc", "loss", "auc_pr"])
    assert further == {name: every[name] for name in (*EVALUATION_METRICS, "auc_pr", "mcc")}


def test_means_over_classes_leave_out_classes_without_examples():
    labels, probs = sample(5, missing=(1, 3))
    predicted = probs.argmax(axis=1)
    ours = evaluation_metrics(labels, probs)
    present = [0, 2, 4]
    for name in ("f1", "precision", "recall"):
        score = getattr(reference, f"{name}_score")
        assert ours[f"macro_{name}"] == pytest.approx(score(labels, predicted, labels=present, average="macro"))
    assert ours["weighted_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, labels=present, average="weighted", zero_division=0)
    )
    assert ours["mcc"] == pytest.approx(reference.matthews_corrcoef(labels, predicted))
    areas = [reference.roc_auc_score(labels == c, probs[:, c]) for c in present]
    assert ours["auc_roc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("missing", [(), (2,)])
def test_each_class_against_the_rest_equals_scikit_learn(missing):
    labels, probs = sample(4, missing=missing)
    predicted = probs.argmax(axis=1)
    ours = class_metrics(labels, probs)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=range(4), zero_division=np.nan
    )
    for name, values in {"precision": precision, "recall": recall, "f1": f1, "num_examples": support}.items():
        np.testing.assert_allclose(ours[name], values)
    np.testing.assert_array_equal(ours["num_predicted"], np.bincount(predicted, minlength=4))
    for c, row in ours.iterrows():
        assert row["specificity"] == pytest.approx(reference.recall_score(labels != c, predicted != c))
        if c in missing:
            assert math.isnan(row["auc_roc"])
            assert math.isnan(row["auc_pr"])
        else:
            assert row["auc_roc"] == pytest.approx(reference.roc_auc_score(labels == c, probs[:, c]))
            assert row["auc_pr"] == pytest.approx(reference.average_precision_score(labels == c, probs[:, c]))


def test_rates_of_class_1_by_hand():
    # 10 examples: 3 hits, 1 false alarm, 2 missed, 4 rejected
    metrics = count_metrics(np.array([[4.0, 1.0], [2.0, 3.0]]))
    assert metrics["precision"] == pytest.approx(3 / 4)
    assert metrics["recall"] == pytest.approx(3 / 5)
    assert metrics["specificity"] == pytest.approx(4 / 5)
    assert metrics["f1"] == pytest.approx(6 / 9)
    assert metrics["accuracy"] == pytest.approx(7 / 10)
    assert metrics["mcc"] == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6))


def test_specificity_of_a_class_by_hand():
    # of class 0 there are 5 other examples, 2 of which are taken for it
    confusion = np.array([[1, 0, 0], [2, 1, 0], [0, 0, 2]])
    labels = np.repeat(np.arange(3), confusion.sum(axis=1))
    predicted = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(count_confusions(labels, predicted, 3), confusion)
    table = class_metrics(labels, np.full((6, 3), 1 / 3), predicted)
    np.testing.assert_allclose(table["specificity"], [3 / 5, 3 / 3, 4 / 4])


def test_confusions_add_weights():
    weighted = count_confusions(np.array([0, 1, 1]), np.array([1, 1, 1]), 2, np.array([2.0, 0.5, 3.0]))
    np.testing.assert_array_equal(weighted, [[0, 2], [0, 3.5]])


def test_brier_score_by_hand():
    binary = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    np.testing.assert_allclose(squared_errors(np.array([0, 1, 1]), binary), [0.04, 0.16, 0.49])
    several = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(squared_errors(np.array([0, 1]), several), [0.25 + 0.09 + 0.04, 0.01 + 0.81 + 0.64])


def test_calibration_error_by_hand():
    # bin (10/15, 11/15]: confidences .68 and .72, one right; bin (14/15, 1]: .95, wrong
    probs = np.array([[0.68, 0.32], [0.28, 0.72], [0.05, 0.95]])
    expected = 2 / 3 * abs(0.5 - 0.70) + 1 / 3 * abs(0.0 - 0.95)
    assert calibration_error(np.array([0, 0, 0]), probs) == pytest.approx(expected)


def test_a_probability_on_an_edge_belongs_to_the_bin_below_it():
    # 0.6 = 9/15 is the upper edge of its bin: with 0.62 beside it, the two errors would cancel in one bin
    probs = np.array([[0.6, 0.4], [0.62, 0.38]])
    assert calibration_error(np.array([0, 1]), probs) == pytest.approx((0.4 + 0.62) / 2)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_split_of_one_class_has_nan_where_a_metric_is_undefined_and_no_warning(num_classes):
    labels, probs = np.zeros(20, int), sample(num_classes, 20)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = evaluation_metrics(labels, probs)
        table = class_metrics(labels, probs)
    undefined = {name for name, value in ours.items() if math.isnan(value)}
    # class 1 is predicted, though never right: its precision and F1 are 0, its recall is 0/0
    assert undefined == {"auc_roc", "auc_pr", "mcc", "macro_specificity"} | ({"recall"} if num_classes == 2 else set())
    assert ours["macro_precision"] == 1.0
    assert ours["macro_recall"] == ours["accuracy"] < 1
    assert table["auc_roc"].isna().all()
    assert math.isnan(table["specificity"][0])


def test_one_example_is_enough():
    ours = evaluation_metrics(np.array([1]), np.array([[0.25, 0.75]]))
    assert ours["accuracy"] == ours["f1"] == ours["macro_f1"] == 1.0
    assert ours["brier"] == pytest.approx(0.0625)
    assert ours["ece"] == pytest.approx(0.25)
    assert ours["loss"] == pytest.approx(-math.log(0.75))
    assert {name for name, value in ours.items() if math.isnan(value)} == {
        *("specificity", "macro_specificity", "mcc", "auc_roc", "auc_pr")
    }


def test_a_model_that_predicts_one_class_has_no_precision_of_the_other_and_no_correlation():
    labels, probs = np.array([0, 0, 1]), np.tile([0.9, 0.1], (3, 1))
    ours = evaluation_metrics(labels, probs)
    assert math.isnan(ours["precision"])
    assert ours["f1"] == ours["recall"] == ours["mcc"] == reference.matthews_corrcoef(labels, [0, 0, 0]) == 0.0
    assert ours["macro_precision"] == reference.precision_score(labels, [0, 0, 0], average="macro", zero_division=0)
    assert ours["auc_roc"] == 0.5


def test_other_decisions_change_what_depends_on_them_only():
    labels, probs = sample(2)
    predicted = (probs[:, 1] >= 0.2).astype(int)
    ours, default = evaluation_metrics(labels, probs, predicted), evaluation_metrics(labels, probs)
    changed = {name for name in ours if ours[name] != default[name]}
    assert changed == {
        *("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "macro_specificity", "mcc"),
        *BINARY,
    }
    assert ours["recall"] == pytest.approx(reference.recall_score(labels, predicted))


def test_a_label_of_probability_0_has_a_finite_loss():
    assert evaluation_metrics(np.array([1]), np.array([[1.0, 0.0]]))["loss"] == pytest.approx(
        -math.log(np.finfo(np.float32).eps)
    )
