"""The bootstrap over test examples: every metric against scikit-learn on the examples that a resample holds."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from raybert.analysis.statistics.on_examples import (
    MeanOverExamples,
    MeasuredOnResamples,
    example_differences,
    example_interval,
)
from raybert.analysis.statistics.resampled import count_resamples, draw_weights, resampled_metric
from raybert.config import METRICS
from raybert.training.measures.metrics import evaluation_metrics

RNG = np.random.default_rng(4)
SIZE = 60


def predictions(num_classes, seed, ties=False):
    """Labels of a test set, and probabilities that know something of them."""
    labels = np.random.default_rng(9).choice(
        num_classes, SIZE, p=np.arange(1, num_classes + 1) / np.arange(1, num_classes + 1).sum()
    )
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 1, (SIZE, num_classes)) + 1.2 * np.eye(num_classes)[labels]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, (np.round(probs, 1) if ties else probs).astype(np.float32)


SKLEARN = {
    "accuracy": lambda y, p: sklearn_metrics.accuracy_score(y, p.argmax(axis=1)),
    "macro_f1": lambda y, p: sklearn_metrics.f1_score(y, p.argmax(axis=1), average="macro", labels=np.unique(y)),
    "weighted_f1": lambda y, p: sklearn_metrics.f1_score(y, p.argmax(axis=1), average="weighted", labels=np.unique(y)),
    "macro_recall": lambda y, p: sklearn_metrics.recall_score(
        y, p.argmax(axis=1), average="macro", labels=np.unique(y)
    ),
    "mcc": lambda y, p: sklearn_metrics.matthews_corrcoef(y, p.argmax(axis=1)),
    "loss": lambda y, p: -np.log(p[np.arange(len(y)), y].astype(float)).mean(),
    "auc_roc": lambda y, p: sklearn_metrics.roc_auc_score(y, p[:, 1]),
    "auc_pr": lambda y, p: sklearn_metrics.average_precision_score(y, p[:, 1]),
    "brier": lambda y, p: sklearn_metrics.brier_score_loss(y, p[:, 1]),
}


@pytest.mark.parametrize("metric", SKLEARN)
def test_the_interval_is_that_of_a_loop_over_resamples_with_scikit_learn(metric):
    own, beside = [predictions(2, seed) for seed in (1, 2)], [predictions(2, seed) for seed in (3, 4)]
    known = {f"a{n}": found for n, found in enumerate(own)} | {f"r{n}": found for n, found in enumerate(beside)}
    pairs = [(0, ["a0"], ["r0"]), (0, ["a1"], ["r1"])]
    function, differences = SKLEARN[metric], []
    for weights in draw_weights(1_000, SIZE, 0)[:20].astype(int):
        held = np.repeat(np.arange(SIZE), weights)
        values = [[function(y[held], p[held]) for y, p in side] for side in (own, beside)]
        differences.append(np.mean(values[0]) - np.mean(values[1]))
    one_by_one = np.mean([resampled_metric(metric, *a, draw_weights(1_000, SIZE, 0)) for a in own], axis=0) - np.mean(
        [resampled_metric(metric, *r, draw_weights(1_000, SIZE, 0)) for r in beside], axis=0
    )
    np.testing.assert_allclose(one_by_one[:20], differences, atol=2e-6)
    expected = np.quantile(one_by_one, [0.025, 0.975])
    assert MeasuredOnResamples(metric, known.get).interval(pairs) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_every_metric_of_a_resample_is_that_of_its_examples(num_classes, ties):
    labels, probs = predictions(num_classes, 5, ties)
    weights = draw_weights(15, SIZE, 1)
    expected = [
        evaluation_metrics(labels[held], probs[held])
        for held in (np.repeat(np.arange(SIZE), row.astype(int)) for row in weights)
    ]
    for metric in expected[0]:
        found = resampled_metric(metric, labels, probs, weights)
        np.testing.assert_allclose(found, [row[metric] for row in expected], atol=2e-6, err_msg=metric)
    of_classes = {name: each for name, each in METRICS.items() if "classification" in each.tasks}
    assert set(expected[0]) == {n for n, each in of_classes.items() if num_classes == 2 or not each.two_classes_only}
    one = weights[:1] * 0
    one[0, np.flatnonzero(labels == 1)[0]] = SIZE
    alone = {
        name: resampled_metric(name, labels, probs, one).item() for name in ("auc_roc", "auc_pr", "mcc", "macro_f1")
    }
    assert np.isnan([alone["auc_roc"], alone["auc_pr"], alone["mcc"]]).all()
    assert alone["macro_f1"] in (0.0, 1.0)


def test_accuracy_drawn_at_once_and_measured_on_resamples_agree():
    known = {name: predictions(2, seed) for seed, name in enumerate(("a", "r"))}
    hits = {name: (probs.argmax(axis=1) == labels).astype(float) for name, (labels, probs) in known.items()}
    pairs = [(0, ["a"], ["r"])]
    at_once = MeanOverExamples(hits.get).interval(pairs)
    assert MeasuredOnResamples("accuracy", known.get).interval(pairs) == pytest.approx(at_once, abs=0.02)


def test_folds_are_resampled_apart_and_count_alike():
    known = {name: predictions(2, seed) for seed, name in enumerate(("a", "b", "r", "s"))}
    of_each = {
        name: resampled_metric("macro_f1", *known[name], draw_weights(1_000, SIZE, fold))
        for name, fold in zip(known, (0, 1, 0, 1), strict=True)
    }
    expected = (of_each["a"] - of_each["r"] + of_each["b"] - of_each["s"]) / 2
    found = MeasuredOnResamples("macro_f1", known.get).interval([(0, ["a"], ["r"]), (1, ["b"], ["s"])])
    assert found == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))


def test_what_is_gone_of_another_test_set_or_too_large_is_not_known():
    labels, probs = predictions(2, 1)
    known = {"a": (labels, probs), "r": (labels, probs), "other": (1 - labels, probs)}
    resampled = MeasuredOnResamples("macro_f1", known.get)
    assert resampled.interval([(0, ["a"], ["gone"])]) is None
    assert resampled.interval([(0, ["a"], ["other"])]) is None
    assert resampled.interval([(0, ["a"], ["r"])]) == (0.0, 0.0)
    assert count_resamples("macro_f1", 1_000, 50) == 1_000
    assert count_resamples("macro_f1", 100_000, 2) == 500
    assert count_resamples("macro_f1", 1_000_000, 2) == 0
    assert count_resamples("auc_roc", 10_000, 10) == 200
    assert count_resamples("auc_roc", 10_000, 150) == 0


def test_the_interval_over_examples_is_that_of_scipys_bootstrap():
    of_examples = RNG.choice([-1.0, -0.5, 0.0, 0.5, 1.0], 400, p=[0.1, 0.1, 0.5, 0.1, 0.2])
    expected = stats.bootstrap((of_examples,), np.mean, method="percentile", rng=1, n_resamples=4_999)
    assert example_interval(of_examples) == pytest.approx(tuple(expected.confidence_interval), abs=0.004)


def test_differences_on_examples_are_means_over_seeds_inside_folds():
    hits = {"a": [1, 1, 0], "b": [0, 1, 1], "c": [1, 0], "r": [0, 0, 0], "s": [1, 0]}
    known = {name: np.array(values, float) for name, values in hits.items()}
    pairs = [(0, ["a"], ["r"]), (0, ["b"], ["r"]), (1, ["c"], ["s"])]
    assert example_differences(pairs, known.get).tolist() == [0.5, 1.0, 0.5, 0.0, 0.0]
    assert example_differences([(0, ["a"], ["gone"])], known.get) is None
    assert example_differences([(0, ["a"], ["s"])], known.get) is None
