"""`budget: auto`: as many as a rule keeps, beside a draw of as many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybert.config import StrategyConfig, validate_config
from raybert.errors import ConfigError, SelectionError
from raybert.selection import build_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.identity import strategy_entry, strategy_identity
from raybert.sweeping.plan.entries import read_entries
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.testing import fresh, make_pool
from tests.sweeping.planning import plan_of


def build(**entry):
    return build_strategy(StrategyConfig.model_validate(entry))


def test_all_that_is_kept_is_chosen_whatever_the_budget():
    pool = make_pool(200)
    rule = build(name="label_errors")
    expected = np.flatnonzero(rule.inner.keep(pool).keep)
    assert 20 < len(expected) < 200
    chosen = select_from_pool(build(name="label_errors", budget="auto"), fresh(pool), 10)
    assert chosen.positions.tolist() == expected.tolist()
    assert chosen.refilled == 0
    other = select_from_pool(build(name="all", pre="label_errors"), fresh(pool), 10)
    assert sorted(other.positions) == expected.tolist()


def test_filters_before_it_drop_first():
    pool = make_pool(200)
    kept = build(name="label_errors").inner.keep(pool).keep
    both = build(name="semdedup", epsilon=0.9, budget="auto", pre="label_errors")
    rows = np.flatnonzero(kept)
    expected = rows[build(name="semdedup", epsilon=0.9).inner.keep(pool.subset(rows)).keep]
    assert 0 < len(expected) < len(rows)
    assert select_from_pool(both, fresh(pool), 10).positions.tolist() == expected.tolist()


def test_the_draw_beside_it_has_its_size_and_is_that_of_random():
    pool = make_pool(200)
    of = {"name": "label_errors", "budget": "auto"}
    count = len(select_from_pool(build(**of), fresh(pool), 10).positions)
    drawn = select_from_pool(build(name="random_as", of=of), fresh(pool), 10).positions
    assert len(drawn) == count
    assert drawn.tolist() == select_from_pool(build(name="random"), fresh(pool), count).positions.tolist()


@given(st.integers(1, 40), st.integers(0, 5), st.sampled_from(["label_errors", "h_score"]))
@settings(max_examples=60, deadline=None)
def test_of_any_small_pool_both_take_as_many_or_both_say_that_nothing_is_kept(num_examples, seed, name):
    pool, of = make_pool(num_examples, seed=seed), {"name": name, "budget": "auto"}
    kept = int(build(name=name).inner.keep(pool).keep.sum())
    for strategy in (build(**of), build(name="random_as", of=of)):
        if kept:
            assert len(set(select_from_pool(strategy, fresh(pool), 1).positions.tolist())) == kept
        else:
            with pytest.raises(SelectionError, match=f"keeps none of {num_examples}"):
                select_from_pool(strategy, fresh(pool), 1)


def test_a_rule_that_keeps_nothing_says_so():
    pool = make_pool(60)  # one proxy: nothing is right for some and wrong for others
    with pytest.raises(
        SelectionError, match=r"h_score: must keep some examples to train on all that it keeps, keeps none of 60"
    ):
        select_from_pool(build(name="h_score", budget="auto"), pool, 10)


def test_ids_of_trials_without_it_are_as_before_and_entries_read_back():
    for name in ("label_errors", "semdedup", "h_score"):
        assert "budget" not in strategy_identity(build(name=name))
        auto = build(name=name, budget="auto")
        assert strategy_identity(auto)["budget"] == "auto"
        assert build(**strategy_entry(auto)) == auto


def config_of(*strategies, **keys):
    document = {"sweep": {"strategies": [*strategies], "seeds": 2}, "selection": {"proxy": {"num_seeds": 3}}, **keys}
    return validate_config(document)


def test_a_sweep_adds_the_draw_beside_it_once():
    auto = {"name": "semdedup", "budget": "auto", "label": "dedup"}
    labels = [entry.label for entry in read_entries(config_of("random", auto, "label_errors"))]
    assert labels == ["random", "dedup", "label_errors", "random as dedup"]
    mine = {"name": "random_as", "of": {"name": "semdedup", "budget": "auto"}, "label": "mine"}
    assert [entry.label for entry in read_entries(config_of("random", auto, mine))] == ["random", "dedup", "mine"]
    plan = plan_of(config_of("random", auto))
    both = {spec.label: spec for spec in plan.trials if spec.seed == 0 and "dedup" in spec.label}
    assert len({spec.total_steps for spec in both.values()}) == 1
    assert {spec.budget for spec in both.values()} == {None}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "semdedup", "budget": "auto", "then": "random"}, "then: must be left out with `budget: auto`"),
        ({"name": "semdedup", "budget": 3}, "budget: must be"),
        ({"name": "el2n", "budget": "auto"}, "budget: unknown key"),
        ({"name": "random", "pre": {"name": "semdedup", "budget": "auto"}}, r"pre\[0\].*budget: must be left out"),
        ({"name": "random_as", "of": "el2n"}, "of: must be a filter with `budget: auto`"),
        ({"name": "random_as", "of": "infobatch"}, "of: must be a filter with `budget: auto`"),
    ],
)
def test_what_makes_no_sense_is_refused(entry, message):
    with pytest.raises(ConfigError, match=message):
        build(**entry)


def test_one_of_both_is_selected_and_trained_alone():
    auto = {"name": "semdedup", "budget": "auto", "label": "dedup"}
    config = config_of("random", auto)
    (alone,) = narrow_to_one(config, "dedup", 3).entries
    assert alone.label == "dedup"
    (drawn,) = narrow_to_one(config, "random as dedup", 3).entries
    assert strategy_identity(drawn.strategy)["of"]["name"] == "semdedup"
