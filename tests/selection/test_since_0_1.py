"""What raybert 0.1 made of entries of a sweep file: ids of finished trials, tables and messages hang on it.

`strategies_0_1.json` was written by raybert 0.1 (commit b251203): for valid entries label, identity (a part of every
trial id), what is stored of them, signals and budget kind; and `raybert ls strategies`. For invalid ones it has the
message of today: that of 0.1 had Python's and pydantic's words in it.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import raybert
from raybert.config import StrategyConfig
from raybert.errors import ConfigError, RenamedWarning
from raybert.selection import build_strategy, describe_strategies, find_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.identity import strategy_entry, strategy_identity, strategy_label
from raybert.selection.schedule import make_pass_planner
from raybert.selection.strategies import RandomEpoch
from raybert.testing import SimulatedView, make_pool

HERE = Path(__file__).parent
RECORD = json.loads((HERE / "strategies_0_1.json").read_text(encoding="utf-8"))
CHANGED_RULES = {
    "aflite_readability",
    "cartography",
    "ccs",
    "diversity",
    "entropy_diversity",
    "forgetting",
    "ifd",
    "label_errors",
    "lexical_diversity",
    "qdit_lite",
    "semdedup",
}
"""What these chose in 0.1 they do not choose any more: their trials have other ids. Nobody else's have."""


def as_of_today(identity):
    """Return an identity of 0.1, with the version of each rule that has changed since."""
    if isinstance(identity, list):
        return [as_of_today(part) for part in identity]
    if not isinstance(identity, dict):
        return identity
    version = {"rule_version": 2} if identity.get("name") in CHANGED_RULES else {}
    if identity.get("name") == "entropy_diversity":
        version |= {"direction": None}
    if identity.get("name") == "loss_threshold":
        version |= {"refresh": None}  # 1: the pool was scored anew, where now training's own losses decide
    return {key: as_of_today(value) for key, value in identity.items()} | version


@pytest.fixture(autouse=True)
def _beside_the_users_module(monkeypatch):
    monkeypatch.chdir(HERE / "user_0_1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
        find_strategy("my_strategies:Longest")


def build(entry):
    return build_strategy(StrategyConfig.model_validate(entry), "sweep.strategies[0]")


@pytest.mark.parametrize("old", RECORD["valid"], ids=lambda old: json.dumps(old["entry"]))
def test_a_valid_entry_means_what_it_meant(old):
    strategy = build(old["entry"])
    assert strategy_label(strategy) == old["label"]
    assert strategy_identity(strategy) == as_of_today(old["identity"])
    assert strategy_entry(strategy) == old["stored"]
    assert strategy_identity(build(old["stored"])) == as_of_today(old["identity"])
    assert sorted(strategy.all_signals()) == old["signals"]
    assert strategy.spends() == old["spends"]
    assert strategy.null_inputs() == old["null"]


@pytest.mark.parametrize("old", RECORD["invalid"], ids=lambda old: json.dumps(old["entry"]))
def test_an_invalid_entry_is_refused_in_these_words(old):
    with pytest.raises(ConfigError) as caught:
        build(old["entry"])
    assert str(caught.value) == old["message"]


CAUTIOUS = "hard{} without the hardest 30% (from 30% of the pool: hard{} without the hardest 20%)"
SAFER = {
    "forgetting": [("direction=hard", "direction=" + CAUTIOUS.format("", ""))],
    "cartography": [("direction=hard", "direction=" + CAUTIOUS.format("", ""))],
    "ifd": [("direction=hard up to a score of 1", "direction=" + CAUTIOUS.format(*[" up to a score of 1"] * 2))],
    "loss_threshold": [("refresh=1", "refresh=None")],
    "entropy_diversity": [
        ("beta=3.0", "beta=3.0, direction=middle (from 30% of the pool: hard without the hardest 20%)")
    ],
}
"""Defaults that have changed since 0.1, in the words of the list."""
GROWN = {
    "el2n": {"parameters": ("balance=class", "balance=class, warm_up=0, refresh=1")},
    "random_stratified": {"parameters": ("", "balance=class")},
    "k_center": {"parameters": ("rounds=5", "rounds=5, num_parts=None")},
    "facility_location": {"parameters": ("search=exact", "search=exact, num_parts=None")},
    "qdit_lite": {"parameters": ("alpha=0.5", "alpha=0.5, num_parts=None")},
    "d2": {"parameters": ("search=exact", "search=exact, num_parts=None")},
    "curriculum": {"parameters": ("start=0.25", "start=0.25, percentiles=None")},
    "label_errors": {"parameters": ("then=random_stratified", "then=random_stratified, budget=None")},
    "semdedup": {"parameters": (", epsilon", ", budget=None, epsilon")},
    "edfs_lite": {"parameters": ("balance=", "rounds=5, balance="), "schedules": ("once", "once, rounds")},
}
"""What these can do besides since 0.1."""


def test_the_list_of_strategies_says_the_same_but_for_safer_defaults():
    rows = {row["name"]: row for row in describe_strategies()}
    for old in RECORD["described"]:
        expected = dict(old)
        for before, now in SAFER.get(old["name"], []):
            assert before in old["parameters"]
            expected["parameters"] = expected["parameters"].replace(before, now)
        for key, (before, now) in GROWN.get(old["name"], {}).items():
            assert before in old[key]
            expected[key] = expected[key].replace(before, now)
        assert {key: rows[old["name"]][key] for key in old} == expected
    for name in SAFER:
        assert rows[name]["weakness"], f"{name} does not say where it fails"


def test_strategies_with_the_words_of_0_1_work_and_are_told_the_new_ones():
    sys.modules.pop("my_strategies")
    with pytest.warns(RenamedWarning) as said:
        import my_strategies
    notes = [str(warning.message) for warning in said]
    assert len(notes) == 5
    for old, new in [
        ("raybert.selection.strategy.Filter", "called raybert.selection.filter.Filter"),
        ("raybert.selection.strategy.Kept", "called raybert.selection.filter.Kept"),
        ("strategy 'Longest': `source`", "citation"),
        ("strategy 'Rotating': `plan_epoch`", "plan_pass"),
        ("strategy 'Rotating': `schedule`", "no field of strategies: the first of `schedules` is the default"),
    ]:
        assert any(note.startswith(old) and f"{new} now" in note for note in notes), old
    assert my_strategies.Longest.citation == "my own idea"


def test_a_plan_epoch_of_0_1_decides_before_every_pass():
    pool = make_pool(60)
    planner, _ = make_pass_planner(build({"name": "my_strategies:Rotating"}), pool, 10, total_steps=9, batch_size=8)
    order = np.argsort(pool.tie_keys)
    with (
        pytest.warns(RenamedWarning, match="PassRequest.epoch is called number now"),
        pytest.warns(RenamedWarning, match="raybert.training.interface.EpochPlan is called .*PassPlan now"),
    ):
        second = planner.next_pass(1, None, SimulatedView(pool, 2, 9))
    assert second.positions.tolist() == np.roll(order, -3)[:10].tolist()


def test_a_filter_of_0_1_drops_and_lets_its_own_default_choose():
    pool = make_pool(60)
    lengths = pool.signals["lengths"]
    strategy = build({"name": "my_strategies:Short", "least": 20})
    chosen = select_from_pool(strategy, pool, 10).positions
    assert sorted(lengths[chosen]) == sorted(lengths)[-10:]
    few = int((lengths >= 20).sum())
    assert select_from_pool(strategy, pool, few + 2).refilled == 2


def test_an_overridden_plan_of_a_pass_is_found_by_its_old_name():
    with pytest.warns(RenamedWarning, match="`plan_epoch` is called plan_pass now"):

        class Twice(RandomEpoch):
            """The pass of the base, twice as far."""

            name = "twice"

            def plan_epoch(self, request):
                return super().plan_epoch(replace(request, number=2 * request.number))

    pool = make_pool(60)
    planner, _ = make_pass_planner(Twice(), pool, 10, total_steps=9, batch_size=8)
    expected, _ = make_pass_planner(RandomEpoch(), pool, 10, total_steps=9, batch_size=8)
    view = SimulatedView(pool, 2, 9)
    assert planner.next_pass(1, None, view).positions.tolist() == expected.next_pass(2, None, view).positions.tolist()


def test_the_request_of_a_pass_has_its_old_name():
    with pytest.warns(
        RenamedWarning, match="raybert.selection.EpochRequest is called raybert.selection.PassRequest now"
    ):
        assert raybert.selection.EpochRequest is raybert.PassRequest
