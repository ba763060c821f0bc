"""Ids of trials are what raybert 0.1 gave them: finished folders stay valid, whatever is moved or renamed.

Written down from the plans of raybert 0.1 (commit b251203), for pools that are described here. Where a rule has changed
since, so that results of 0.1 must not be taken for those of today, the id of 0.1 stands beside today's.
"""

import pytest

from raybert.config import validate_config
from raybert.sweeping.phases.refit import plan_refit
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.specs import PoolFacts
from raybert.sweeping.search.phase import tuned_plan
from raybert.tables import PLANNED
from tests.sweeping.planning import plan_of, pools_of

DATA = {"max_length": 32}
TRAIN = {"length": {"epochs": 2, "min_steps": 10}, "batch_size": 16, "learning_rate": 1e-3, "precision": "bf16"}
STRATEGIES = [
    "all",
    "random",
    {"name": "loss_threshold", "threshold": 0.5, "label": "threshold"},
    {"name": "loss_threshold", "threshold": 0.5, "refresh": 1, "label": "rescored"},
    "el2n",
    {"name": "ifd", "null_input": "empty"},
    "k_center",
    "rho_loss",
    "aum",
    "label_errors",
    "perplexity",
    {
        "name": "el2n",
        "schedule": "rounds",
        "rounds": 3,
        "pre": ["semdedup"],
        "then": {"name": "k_center"},
        "label": "composed",
    },
]
RATE = {"train.learning_rate": 2e-4}
EASY = {**RATE, "strategies.el2n.direction": "easy"}


def facts_of(variant):
    return PoolFacts(f"data {variant.fold}", "encoder", 1000 - 30 * variant.fold, 3)


def config_of(sweep, **sections):
    return validate_config({"data": DATA, "train": TRAIN, "sweep": sweep, **sections})


@pytest.fixture(scope="module")
def whole():
    return plan_of(config_of({"strategies": STRATEGIES, "seeds": [3]}), facts_of).trials


def rows(trials):
    return [(spec.label, spec.num_chosen, spec.trial_id) for spec in trials]


def test_a_line_of_the_plan_holds_the_planned_columns_of_the_tables(whole):
    assert all(set(spec.summary()) == set(PLANNED) for spec in whole)


def test_every_kind_of_strategy_and_run_has_its_old_id(whole):
    assert rows(whole) == [
        ("proxy", 1000, "7760d53a9b02"),
        ("proxy_null", 1000, "1ce361fad969"),  # 1aaa62a01900: other examples get a null
        ("proxy_fold", 500, "35a541a3ba17"),
        ("proxy_fold", 500, "f7e0d708bda9"),
        ("proxy_dynamics", 500, "52aa4f10ae19"),
        ("proxy_fold", 800, "0e54fd960dc9"),
        ("proxy_fold", 800, "441f92c5ba12"),
        ("proxy_fold", 800, "1d072abf5231"),
        ("proxy_fold", 800, "1b3a87288357"),
        ("proxy_fold", 800, "1f968b8fd4ac"),
        ("all", 1000, "e4eac2a077b1"),
        ("random", 100, "c549a1539bd3"),
        ("threshold", 1000, "5297b45dc676"),  # c3b4321380b7: as many steps as `all`, the pool scored anew
        ("rescored", 1000, "aaca5f30f21d"),
        ("el2n", 100, "70da51d45560"),
        ("ifd(null_input=empty)", 100, "f136217375c6"),  # 28e85d0c59c4: the hardest are dropped
        ("k_center", 100, "6a1bb9c724dc"),
        ("rho_loss", 100, "f071746e4967"),
        ("aum", 100, "65a9e09d431b"),
        ("label_errors", 100, "a477a779cb60"),  # e2f086653142: by the confident joint
        ("perplexity", 100, "15f73917ca8a"),
        ("composed", 100, "d5e3c1b71e36"),  # 24ddd9af6756: semdedup, ties
    ]


def test_equal_steps_and_the_old_default_give_the_old_id_of_a_loss_threshold():
    entry = {"name": "loss_threshold", "threshold": 0.5, "refresh": 1}
    trials = plan_of(config_of({"strategies": [entry], "seeds": [3], "equal": "steps"}), facts_of).trials
    assert rows(trials) == [("loss_threshold(refresh=1)", 1000, "c3b4321380b7")]


def test_a_refit_has_its_old_id(whole):
    best = next(spec for spec in whole if spec.label == "el2n")
    runs = plan_refit(best, 0.5, PoolFacts("joined", "encoder", 1200, 3))
    assert [(run.role, run.trial_id) for run in runs] == [("proxy", "ac0103b88f2f"), ("refit", "85e23b54ebd4")]


def test_folds_and_a_grid_have_their_old_ids():
    sweep = {"strategies": ["all", "random", "el2n"], "seeds": 1, "grid": {"selection.budget": [0.1, 50]}}
    selection = {"proxy": {"folds": 2, "num_seeds": 2, "per_seed": False}}
    config = config_of(sweep, data={**DATA, "folds": 2}, selection=selection)
    keys = ["e4dccca43406c8c4db1d"] * 2 + ["b45fdb15a487d34db656"] * 2
    assert [variant.data_key for variant in read_design(config).variants] == keys
    trials = plan_of(config, facts_of).trials
    assert rows(trials) == [
        ("proxy_fold", 500, "bd2cf4e40353"),
        ("proxy_fold", 500, "336744c8054a"),
        ("proxy_fold", 500, "6a4922f9bc3b"),
        ("proxy_fold", 500, "f290e5915179"),
        ("proxy_fold", 485, "625def97b6e0"),
        ("proxy_fold", 485, "59ae33042102"),
        ("proxy_fold", 485, "0dc2b4f849c1"),
        ("proxy_fold", 485, "3bea2123dbd6"),
        ("all", 1000, "37156e5e1de4"),
        ("random", 97, "e479c4b0d5c8"),
        ("el2n", 97, "a3803a709ec3"),
        ("random", 50, "f421c75ced29"),
        ("el2n", 50, "0ddc1727c068"),
        ("all", 970, "6611af513522"),
        ("random", 97, "9ecd3b052530"),
        ("el2n", 97, "030b49fe72a1"),
        ("random", 50, "a55ef5063c53"),
        ("el2n", 50, "22b24c5647b5"),
    ]


def test_a_search_and_what_is_compared_after_it_have_their_old_ids():
    space = {
        "train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "strategies.el2n.direction": {"choice": ["hard", "easy"]},
    }
    tune = {"suggestions_per_strategy": 2, "space": space}
    config = config_of({"strategies": ["random", "el2n"], "seeds": 1, "tune": tune})
    design = read_design(config)
    plan = plan_of(config, facts_of)
    assert [spec.trial_id for spec in plan.trials] == ["a38934c95170", "9e967402305c", "b128593733b3"]
    random, el2n = plan.arms
    for arm, params, reader, behind, run in (
        (random, RATE, "78acb22e4357", [], "69622e84f4c6"),
        (el2n, EASY, "fc067e434434", ["862fac88aada"], "7daf1d341f1e"),
    ):
        assert [spec.trial_id for spec in arm.readers] == [reader]
        assert [spec.trial_id for candidate in arm.candidates for spec in candidate.runs] == behind
        assert [spec.trial_id for spec in arm.runs(params)] == [run]
    tuned = tuned_plan(design, pools_of(design, facts_of), plan.arms, {"random": RATE, "el2n": EASY})
    assert [spec.trial_id for spec in tuned.trials] == ["a38934c95170", "9d81fa89cc02", "7f4d47348403"]


@pytest.mark.parametrize(
    ("budget", "num", "turned", "hard"),
    [(0.1, 100, "0160009f5b9d", "b67875f802cd"), (0.5, 500, "85fc2e7f31ed", "7998b0590a5d")],
)
def test_rounds_have_their_old_ids_but_where_they_turned_from_middle_to_hard_on_their_way(budget, num, turned, hard):
    rounds = {"name": "el2n", "schedule": "rounds", "rounds": 3}
    sweep = {"strategies": [rounds, {**rounds, "direction": "hard"}], "seeds": 1}
    trials = plan_of(config_of(sweep, selection={"budget": budget}), facts_of).trials
    # At a half 0.1 gave 026d17ed4035, and chose the middle in the first round, the hard ones in the others.
    assert [(spec.num_chosen, spec.trial_id) for spec in trials[1:]] == [(num, turned), (num, hard)]
