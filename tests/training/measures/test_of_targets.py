"""Metrics of sets of labels and of numbers beside scikit-learn and scipy, and resamples beside repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from raybert.analysis.statistics.resampled import draw_weights
from raybert.analysis.statistics.resampled_targets import resampled_target_metric
from raybert.config.metrics import METRICS, evaluation_metrics_of, trial_metrics_of
from raybert.training.measures.metrics import classification_metrics, evaluation_metrics, validation_metrics
from raybert.training.measures.of_targets import best_thresholds, label_metrics, target_metrics


def labels_of(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = (generator.random((count, 4)) < [0.5, 0.3, 0.2, 0.05]).astype(np.float32)
    probs = np.clip(0.5 * targets + 0.25 + generator.normal(0, 0.25, targets.shape), 0.001, 0.999).astype(np.float32)
    return targets, np.round(probs, 2)


def numbers_of(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = np.round(generator.normal(50, 20, (count, 1)), 0)
    return targets, targets + generator.normal(0, 10, (count, 1))


def test_metrics_of_labels_are_those_of_scikit_learn():
    targets, probs = labels_of()
    chosen, found = probs >= 0.5, target_metrics(targets, probs)
    assert found == pytest.approx(
        {
            "micro_f1": sk.f1_score(targets, chosen, average="micro"),
            "macro_f1": sk.f1_score(targets, chosen, average="macro"),
            "subset_accuracy": sk.accuracy_score(targets, chosen),
            "hamming": sk.hamming_loss(targets, chosen),
            "map": sk.average_precision_score(targets, probs, average="macro"),
            "loss": np.mean([sk.log_loss(targets[:, k], probs[:, k].astype(float)) for k in range(4)]),
        }
    )


def test_metrics_of_numbers_are_those_of_scikit_learn_and_scipy():
    targets, probs = numbers_of()
    one, other = targets[:, 0], probs[:, 0]
    assert target_metrics(targets, probs) == pytest.approx(
        {
            "rmse": sk.root_mean_squared_error(one, other),
            "mae": sk.mean_absolute_error(one, other),
            "r2": sk.r2_score(one, other),
            "pearson": scipy.stats.pearsonr(one, other)[0],
            "spearman": scipy.stats.spearmanr(one, other)[0],
        }
    )


def test_metrics_by_hand():
    targets = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.float32)
    probs = np.array([[0.9, 0.6], [0.4, 0.8], [0.2, 0.1], [0.1, 0.7]], np.float32)
    found = target_metrics(targets, probs)  # decided: 10, 01, 00, 01 and one false alarm in the first row
    assert found["subset_accuracy"] == 0.5
    assert found["hamming"] == 2 / 8
    assert found["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["map"] == 1.0
    found = target_metrics(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [6.0]]))
    assert (found["rmse"], found["mae"]) == pytest.approx((3**0.5, 1.0))
    assert found["r2"] == pytest.approx(1 - 9 / 2)


def test_what_is_undefined_is_nan_and_absent_labels_do_not_count():
    targets = np.array([[1, 0], [0, 0]], np.float32)
    found = target_metrics(targets, np.array([[0.9, 0.1], [0.1, 0.1]], np.float32))
    assert (found["macro_f1"], found["map"]) == (1.0, 1.0)
    nothing = target_metrics(np.zeros((2, 2)), np.full((2, 2), 0.1))
    assert np.isnan([nothing["micro_f1"], nothing["macro_f1"], nothing["map"]]).all()
    constant = target_metrics(np.ones((3, 1)), np.ones((3, 1)))
    assert np.isnan([constant["r2"], constant["pearson"], constant["spearman"]]).all()


@pytest.mark.parametrize(("make", "task"), [(labels_of, "multi_label"), (numbers_of, "regression")])
def test_every_row_of_the_table_is_measured_and_who_asks_for_classes_gets_targets(make, task: str):
    targets, probs = make()
    every = evaluation_metrics(targets, probs)
    assert [*every] == [name for name, metric in METRICS.items() if task in metric.tasks]
    assert [*validation_metrics(targets, probs)] == [*evaluation_metrics_of(task)]
    assert {*classification_metrics(targets, probs)} == {*trial_metrics_of(task)}


@pytest.mark.parametrize("make", [labels_of, numbers_of])
def test_a_metric_of_a_resample_is_that_of_its_rows(make):
    targets, probs = make(60)
    weights = draw_weights(12, len(targets), 1)
    for name in target_metrics(targets, probs):
        found = resampled_target_metric(name, targets, probs, weights)
        for value, row in zip(found, weights, strict=True):
            rows = np.repeat(np.arange(len(targets)), row.astype(int))
            assert value == pytest.approx(target_metrics(targets[rows], probs[rows])[name], abs=1e-6), name


def test_best_thresholds_are_those_of_all_that_there_are():
    targets, probs = labels_of(80, seed=4)
    chosen = best_thresholds(targets, probs)
    for k in range(targets.shape[1]):
        best = max(sk.f1_score(targets[:, k], probs[:, k] >= t) for t in [*np.unique(probs[:, k]), 0.5])
        assert sk.f1_score(targets[:, k], probs[:, k] >= chosen[k]) == pytest.approx(best)
    assert best_thresholds(np.zeros((5, 2)), np.random.default_rng(0).random((5, 2))).tolist() == [0.5, 0.5]


def test_rates_of_each_label_are_those_of_scikit_learn():
    targets, probs = labels_of()
    table = label_metrics(targets, probs, np.array([0.5, 0.4, 0.6, 0.3]))
    for k, threshold in enumerate([0.5, 0.4, 0.6, 0.3]):
        chosen = probs[:, k] >= threshold
        row = table.iloc[k]
        assert row["f1"] == pytest.approx(sk.f1_score(targets[:, k], chosen))
        assert row["precision"] == pytest.approx(sk.precision_score(targets[:, k], chosen))
        assert row["recall"] == pytest.approx(sk.recall_score(targets[:, k], chosen))
        assert row["average_precision"] == pytest.approx(sk.average_precision_score(targets[:, k], probs[:, k]))
