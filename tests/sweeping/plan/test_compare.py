"""`sweep.compare` concerns analysis: it names strategies of the file, and changes neither trials nor folders."""

import re

import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", num_examples=1000, num_classes=2)
STRATEGIES = ["all", "loss_threshold", {"name": "confidence", "measure": "margin"}]


def config_of(*pairs, **sweep):
    return validate_config({"sweep": {"strategies": STRATEGIES, "compare": [list(pair) for pair in pairs], **sweep}})


def test_pairs_change_no_trial_and_may_change_in_a_folder():
    before, after = config_of(), config_of(("all", "loss_threshold"), ("all", "confidence(measure=margin)"))
    assert [spec.trial_id for spec in plan_of(before, FACTS).trials] == [
        spec.trial_id for spec in plan_of(after, FACTS).trials
    ]
    check_extension(before, read_design(after))
    check_extension(after, read_design(before))
    assert narrow_to_one(after, "all", 0).config.sweep.compare == ()


def test_a_margin_changes_no_trial_and_may_change_in_a_folder():
    before, after = config_of(), config_of(margin="1%")
    assert (before.sweep.margin, after.sweep.margin) == (0.005, 0.01)
    assert [spec.trial_id for spec in plan_of(before, FACTS).trials] == [
        spec.trial_id for spec in plan_of(after, FACTS).trials
    ]
    check_extension(before, read_design(after))


@pytest.mark.parametrize(
    ("margin", "metric", "message"),
    [
        (0.5, "accuracy", "sweep.margin: must be <= 0.1 of accuracy, got 0.5; write 0.5% or 0.005 for half a point"),
        (0.5, "loss", "sweep.margin: must be <= 0.1 of cross entropy, got 0.5"),
        (0.25, "mcc", "sweep.margin: must be <= 0.2 of MCC, got 0.25"),
        (0, "accuracy", "sweep.margin: must be > 0, got 0"),
        ("half", "accuracy", "sweep.margin: must be a number > 0, got 'half'"),
    ],
)
def test_a_margin_is_a_small_part_of_the_metric(margin, metric, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate_config({"train": {"best_metric": metric}, "sweep": {"margin": margin}})


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            ("all", "los_threshold"),
            "sweep.compare[1]: must name strategies of the sweep by their labels, got 'los_threshold'; "
            "did you mean 'loss_threshold'?",
        ),
        (("random", "all"), "got 'random'; known: all, confidence(measure=margin), loss_threshold"),
    ],
)
def test_an_unknown_label_is_named_with_the_nearest(pair, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_design(config_of(("all", "loss_threshold"), pair))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["all", "all"]], r"sweep.compare: must pair two different strategies, got \[all, all\]"),
        ([["all"]], "sweep.compare"),
        (["all", "random"], "sweep.compare"),
    ],
)
def test_a_pair_is_two_different_strategies(pairs, message):
    with pytest.raises(ConfigError, match=message):
        validate_config({"sweep": {"strategies": STRATEGIES, "compare": pairs}})
