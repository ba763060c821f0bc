"""Metrics of a user's own: what they are given, what they may return, how sure they are."""

import math
import sys
import types

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, precision_recall_curve

from raybert.config import MetricConfig, load_config, metric_of
from raybert.errors import ConfigError
from raybert.evaluation.bootstrap import bootstrap_intervals
from raybert.evaluation.measures import evaluate_predictions
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.own_code import code_of_design
from raybert.training.measures.own_metrics import import_metrics

LABELS = np.array([0, 1, 1, 0, 1])
PROBS = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]], np.float32)


@pytest.fixture
def module(monkeypatch):
    """A module of a user's own."""
    made = types.ModuleType("own_measures")
    monkeypatch.setitem(sys.modules, "own_measures", made)
    return made


def imported(module, function, **keys):
    module.it = function
    return import_metrics([MetricConfig(function="own_measures:it", name=f"it_{abs(hash(function))}", **keys)])


def recall_at_90(labels, probs):
    precision, recall, _ = precision_recall_curve(labels, probs[:, 1])
    return recall[precision >= 0.9].max()


def test_a_metric_of_probabilities_and_one_of_predictions(module):
    (found,) = imported(module, recall_at_90)
    assert found.value(LABELS, PROBS) == pytest.approx(2 / 3)  # .9 and .8 are right, .7 is wrong, .4 comes too late
    (kappa,) = import_metrics([MetricConfig(function="sklearn.metrics:cohen_kappa_score", reads="predictions")])
    assert kappa.value(LABELS, PROBS) == pytest.approx(cohen_kappa_score(LABELS, [0, 1, 0, 1, 1]))
    decided = np.array([0, 1, 1, 1, 1])
    assert kappa.value(LABELS, PROBS, decided) == pytest.approx(cohen_kappa_score(LABELS, decided))


def test_it_may_change_what_it_is_given(module):
    def greedy(labels, probs):
        labels[:], probs[:] = 0, 0.5
        return 1

    (found,) = imported(module, greedy)
    before = LABELS.copy(), PROBS.copy()
    assert found.value(LABELS, PROBS) == 1.0
    assert np.array_equal(LABELS, before[0])
    assert np.array_equal(PROBS, before[1])


def test_undefined_is_allowed(module):
    (found,) = imported(module, lambda labels, probs: np.float32("nan"))
    assert math.isnan(found.value(LABELS, PROBS))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "must return a number, got None"),
        (True, "must return a number, got True"),
        ("0.5", "must return a number, got str '0.5'"),
        (np.ones(3), r"must return a number, got ndarray of shape \(3,\)"),
        (math.inf, "must return a finite number, or NaN where it is undefined, got inf"),
        (1.5, r"must return a number in its `range` \[0, 1\], got 1.5"),
    ],
)
def test_another_value_than_a_number_is_one_line_with_name_module_and_value(module, returned, said):
    (found,) = imported(module, lambda labels, probs: returned, range=(0, 1))
    with pytest.raises(ConfigError, match=rf"train.metrics: 'own_measures:it' \(metric it_\d+\) {said}"):
        found.value(LABELS, PROBS)


def test_what_it_raises_is_said_with_its_name(module):
    (found,) = imported(module, lambda labels, probs: labels[99])
    with pytest.raises(ConfigError, match=r"'own_measures:it' \(metric it_\d+\) raised IndexError: index 99 is out"):
        found.value(LABELS, PROBS)


def test_the_function_may_say_its_direction_and_the_design_knows_it(module):
    def cost(labels, probs):
        return 1.0

    cost.direction = "lower"
    module.own_cost = cost
    design = read_design(load_config({"train": {"metrics": "own_measures:own_cost"}}))
    assert design.config.train.metrics[0].direction == "lower"
    assert {variant.config.train.metrics[0].direction for variant in design.variants} == {"lower"}
    assert metric_of("own_cost").lower_is_better
    cost.direction = "down"
    with pytest.raises(ConfigError, match=r"train.metrics\[0\]: '.*:own_cost'.direction must be 'higher' or 'lower'"):
        read_design(load_config({"train": {"metrics": "own_measures:own_cost"}}))


def test_what_cannot_be_called_is_refused_before_anything_runs(module):
    module.number = 3
    for name, said in (("number", "must be callable .* got int"), ("nothing", "the module has no 'nothing'")):
        with pytest.raises(ConfigError, match=rf"train.metrics\[0\]: 'own_measures:{name}'.*{said}"):
            read_design(load_config({"train": {"metrics": f"own_measures:{name}"}}))


def test_its_code_is_kept_with_the_results():
    design = read_design(load_config({"train": {"metrics": f"{__name__}:recall_at_90"}}))
    (code,) = code_of_design(design)
    assert (code.key, len(code.digest)) == (f"metric {__name__}:recall_at_90", 16)
    library = {"function": "sklearn.metrics:zero_one_loss", "reads": "predictions", "direction": "lower"}
    (code,) = code_of_design(read_design(load_config({"train": {"metrics": [library]}})))
    assert (code.key, len(code.digest)) == ("metric sklearn.metrics:zero_one_loss", 16)


def test_intervals_are_those_of_the_same_resamples(module):
    """The share of right predictions, as a metric of a user's own, has the interval of accuracy."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    probs = generator.dirichlet((1, 1), 60)
    own = imported(module, lambda labels, predicted: np.mean(labels == predicted), reads="predictions")
    groups = generator.integers(0, 9, 60)
    found = bootstrap_intervals(labels, probs, probs.argmax(axis=1), units=groups, num_resamples=200, own=own)
    assert found[own[0].name] == pytest.approx(found["accuracy"])
    whole = evaluate_predictions(labels, probs, ("no", "yes"), groups=groups, num_resamples=50, threshold=0.7, own=own)
    assert whole.metric(own[0].name) == pytest.approx(whole.metric("accuracy"))
    assert whole.per_group[own[0].name].tolist() == pytest.approx(whole.per_group["accuracy"].tolist())


def test_of_several_labels_and_of_numbers_it_gets_what_scikit_learn_takes(module):
    targets, probs = np.array([[1, 0], [1, 1], [0, 0]], np.float32), np.array([[0.9, 0.6], [0.2, 0.5], [0.1, 0.3]])
    (hamming,) = import_metrics([MetricConfig(function="sklearn.metrics:hamming_loss", reads="predictions")])
    assert hamming.value(targets, probs) == pytest.approx(2 / 6)
    assert hamming.value(targets, probs, probs >= 0.65) == pytest.approx(2 / 6)
    (ranked,) = import_metrics([MetricConfig(function="sklearn.metrics:label_ranking_loss")])
    assert ranked.value(targets[:2], probs[:2]) == 0.0
    numbers, found = np.array([[1.0], [5.0], [9.5]], np.float32), np.array([[2.0], [5.0], [6.0]], np.float32)
    for reads in ("probs", "predictions"):
        name = f"median_{reads}"
        config = MetricConfig(function="sklearn.metrics:median_absolute_error", reads=reads, name=name)
        (median,) = import_metrics([config])
        assert median.value(numbers, found) == pytest.approx(1.0)
