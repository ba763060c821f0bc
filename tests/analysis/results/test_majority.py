"""The majority class: what scikit-learn's dummy classifier reaches, of the pool's classes on the test split."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.dummy import DummyClassifier

from raybert.analysis.results.held_out import on_examples_of, predictions_of
from raybert.analysis.results.majority import MajorityClass, majority_classes, predictions_with_failures
from tests.analysis.folders import write_outcomes, write_predictions


@pytest.mark.parametrize(("pool", "test"), [([30, 50, 20], [8, 5, 7]), ([90, 10], [12, 8]), ([10, 90], [12, 8])])
def test_it_is_the_dummy_classifier_of_scikit_learn(pool, test):
    own = MajorityClass(np.array(pool), np.array(test))
    train, labels = np.repeat(np.arange(len(pool)), pool), np.repeat(np.arange(len(test)), test)
    dummy = DummyClassifier(strategy="prior").fit(train[:, None], train)
    predicted, probs = dummy.predict(labels[:, None]), dummy.predict_proba(labels[:, None])
    assert own.probs(1).argmax() == predicted[0]
    assert own.value("accuracy") == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert own.value("macro_f1") == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert own.value("loss") == pytest.approx(metrics.log_loss(labels, probs))
    assert own.value("auc_roc") == pytest.approx(0.5)
    assert own.value("mcc") == metrics.matthews_corrcoef(labels, predicted) == 0
    assert np.isnan(own.value("precision")) == (len(pool) > 2 or predicted[0] == 0)  # 0 / 0, or of more classes
    assert np.isnan(own.value("a_metric_of_my_own"))


def test_a_class_that_the_pool_lacks_has_a_finite_loss():
    assert 0 < MajorityClass(np.array([5, 0]), np.array([5, 5])).value("loss") < 10


def test_failed_runs_predict_the_most_frequent_class_of_the_pool_by_every_metric(tmp_path):
    folder = write_outcomes(tmp_path, {"random": [0.7], "el2n": ["failed"]})
    majority = majority_classes(folder, ["el2n-40-0-0"])
    labels = [0, 1, 0, 1, 1]
    known = predictions_with_failures(folder, predictions_of(folder), majority)
    assert known("el2n-40-0-0") is None  # no finished run has predictions
    write_predictions(folder, {"trial_id": "random-40-0-0"}, labels, labels)
    known = predictions_with_failures(folder, predictions_of(folder), majority)
    assert known("el2n-40-0-0")[0].tolist() == labels
    assert known("el2n-40-0-0")[1].argmax(axis=1).tolist() == [0] * 5
    assert known("random-40-0-0")[1].argmax(axis=1).tolist() == labels
    for metric in ("accuracy", "macro_f1"):
        low, high = on_examples_of(metric, known).interval([(0, ["el2n-40-0-0"], ["random-40-0-0"])])
        assert -1 <= low < high <= 0
    assert predictions_with_failures(folder, known, {}) is known


@pytest.mark.parametrize(
    "text",
    ["{}", '{"data": {"0a1b2c": {}}}', '{"data": {"0a1b2c": {"details": {"class_counts": {"train": {"a": 1}}}}}}', "["],
)
def test_a_manifest_that_does_not_count_classes_tells_nothing(tmp_path, text):
    folder = write_outcomes(tmp_path, {"random": ["failed"]})
    (folder / "manifest.json").write_text(text)
    assert majority_classes(folder, ["random-40-0-0"]) == {}
