"""What predictions of several labels and of numbers are worth: tables, intervals, frames."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from raybert.config import MetricConfig
from raybert.errors import ConfigError, DataError
from raybert.evaluation.report import write_evaluation
from raybert.evaluation.target_measures import evaluate_targets, note_on_thresholds, target_frame
from raybert.tables.evaluation import PER_CLASS
from raybert.terminal.evaluation import format_evaluation
from raybert.training.measures.of_targets import target_metrics
from raybert.training.measures.own_metrics import import_metrics
from tests.training.measures.test_of_targets import labels_of, numbers_of

NAMES = ("a", "b", "c", "d")


def test_tables_of_labels_are_those_of_scikit_learn(tmp_path):
    targets, probs = labels_of()
    found = evaluate_targets(targets, probs, NAMES, num_resamples=200)
    for name, value in target_metrics(targets, probs).items():
        measured, low, high = found.metric(name)
        assert measured == value
        assert low <= value <= high
    assert [*found.per_class.columns] == PER_CLASS.order()
    for k, row in found.per_class.iterrows():
        assert row["f1"] == pytest.approx(sk.f1_score(targets[:, k], probs[:, k] >= 0.5))
        assert row["auc_roc"] == pytest.approx(sk.roc_auc_score(targets[:, k], probs[:, k]))
        tn, fp, fn, tp = sk.confusion_matrix(targets[:, k], probs[:, k] >= 0.5).ravel()
        assert row["specificity"] == pytest.approx(tn / (tn + fp))
        assert found.confusion.iloc[k].tolist() == [tp, fn, fp, tn]
    assert {path.name for path in write_evaluation(found, tmp_path)} == {
        "metrics.json",
        "per_class.csv",
        "confusion.csv",
    }
    format_evaluation(found)


def test_a_threshold_moves_every_label():
    targets, probs = labels_of()
    found = evaluate_targets(targets, probs, NAMES, threshold=0.7, num_resamples=50)
    assert found.metric("micro_f1")[0] == pytest.approx(sk.f1_score(targets, probs >= 0.7, average="micro"))
    assert found.metric("micro_f1")[1] <= found.metric("micro_f1")[0] <= found.metric("micro_f1")[2]
    same = evaluate_targets(targets, probs, NAMES, num_resamples=50)
    assert found.metric("map") == pytest.approx(same.metric("map"))


def test_numbers_have_no_labels_and_groups_are_drawn_whole(tmp_path):
    targets, probs = numbers_of()
    groups = np.arange(len(targets)) // 10
    found = evaluate_targets(targets, probs, ("price",), groups=groups, num_resamples=200)
    assert found.per_class.empty
    assert found.confusion.empty
    assert len(found.per_group) == 20
    one = found.per_group.iloc[3]
    assert one["rmse"] == pytest.approx(target_metrics(targets[30:40], probs[30:40])["rmse"])
    write_evaluation(found, tmp_path)
    format_evaluation(found)


def test_what_does_not_fit_is_refused():
    targets, probs = numbers_of()
    with pytest.raises(ConfigError, match="threshold: must be left away of a model that predicts numbers"):
        evaluate_targets(targets, probs, ("price",), threshold=0.3)
    with pytest.raises(ConfigError, match=r"threshold: must be in 0..1, got 1.5"):
        evaluate_targets(*labels_of(), NAMES, threshold=1.5)
    with pytest.raises(DataError, match=r"probs: must be of shape \(200, 1\)"):
        evaluate_targets(targets, probs[:5], ("price",))


def test_frames_say_names_and_numbers():
    targets, probs = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.9, 0.6], [0.2, 0.1]])
    frame = target_frame(np.arange(2), targets, probs, ("x", "y"), threshold=0.6, texts=["one", "two"])
    assert frame.columns.tolist() == ["example_id", "text", "label", "predicted", "prob_x", "prob_y"]
    assert frame["label"].tolist() == ["x", "no label"]
    assert frame["predicted"].tolist() == ["x, y", "no label"]
    frame = target_frame(np.arange(2), None, np.array([[1.5], [2.5]]), ("price",))
    assert frame["predicted"].tolist() == [1.5, 2.5]


def test_thresholds_of_validation_are_said_with_what_they_give():
    validation, (targets, probs) = labels_of(seed=1), labels_of(seed=2)
    words = note_on_thresholds(validation, targets, probs, NAMES)
    assert "on validation (a 0." in words
    assert f"0.5 gives {target_metrics(targets, probs)['micro_f1']:.3f}" in words


def micro_f1_of_ones_own(targets, predicted):
    return sk.f1_score(targets, predicted, average="micro")


def test_a_metric_of_ones_own_has_the_interval_of_the_same_metric_of_ours():
    targets, probs = labels_of()
    own = import_metrics([MetricConfig(function=f"{__name__}:micro_f1_of_ones_own", reads="predictions")])
    groups = np.arange(len(targets)) // 10
    found = evaluate_targets(targets, probs, NAMES, threshold=0.35, groups=groups, num_resamples=60, own=own)
    assert found.metric("micro_f1_of_ones_own") == pytest.approx(found.metric("micro_f1"))
    assert found.per_group["micro_f1_of_ones_own"].tolist() == pytest.approx(found.per_group["micro_f1"].tolist())
    format_evaluation(found)
