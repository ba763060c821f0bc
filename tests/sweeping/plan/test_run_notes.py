"""What is said of a plan that may not be what was meant; the formula of T that the documentation states."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from raybert.config import LengthConfig, TrainConfig, validate_config
from raybert.selection.compose import compose
from raybert.selection.identity import chooses_in_parts
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.run_notes import run_notes
from raybert.sweeping.plan.specs import identified
from tests.sweeping.planning import FACTS, plan_of, pools_of

DOCS = Path(__file__).resolve().parents[3] / "docs"
FORMULA = "T = min(max(min_steps, ceil(epochs x ceil(k / batch_size))), ceil(epochs x ceil(n / batch_size)))"


def notes_of(**sections):
    config = validate_config({"sweep": {"strategies": ["all", "random"], "seeds": 1}, **sections})
    return run_notes(plan_of(config).trials, pools_of(read_design(config)))


def test_a_lower_bound_beyond_the_whole_pool_is_said_with_what_t_is():
    assert notes_of(train={"length": {"min_steps": 200}}) == [  # 3 x ceil(1000 / 32) = 96
        "train.length.min_steps: 200 is more than 3 epochs of the whole pool take, the most that is trained: T is 96 "
        "steps; for more give `epochs`, or T itself as `steps`"
    ]
    assert notes_of(train={"length": {"min_steps": 96}}) == []
    assert notes_of(train={"length": {"min_steps": 200, "steps": 30}}) == []


def test_the_default_rate_with_sgd_is_said_once():
    assert notes_of(train={"optimizer": "sgd", "length": {"steps": 30}}) == [
        "train.learning_rate: 5e-05, the default, is a rate for AdamW; sgd usually takes 100 to 1,000 times as much"
    ]
    assert notes_of(train={"optimizer": "sgd", "learning_rate": 0.01, "length": {"steps": 30}}) == []
    assert notes_of(train={"optimizer": "lion", "length": {"steps": 30}}) == []


def test_strategies_that_cut_a_large_pool_into_parts_are_named_and_have_other_ids():
    strategies = ["k_center", {"name": "k_center", "num_parts": 1}, "diversity", "semdedup"]
    strategies.append({"name": "el2n", "then": {"name": "d2"}})
    config = validate_config({"sweep": {"strategies": strategies, "seeds": 1}})
    pools = {num: replace(FACTS, num_examples=num) for num in (200_000, 200_001)}
    plans = {num: plan_of(config, facts) for num, facts in pools.items()}
    (note,) = run_notes(plans[200_001].trials, pools_of(read_design(config), pools[200_001]))
    assert note.startswith(
        "so many examples are chosen from in parts of neighbours, not in one piece, by 'k_center', 'el2n(then=d2)': what"
    )
    assert run_notes(plans[200_000].trials, pools_of(read_design(config), pools[200_000])) == []
    trials = [spec for spec in plans[200_001].trials if spec.role == "trial"]
    cut = [chooses_in_parts(spec.strategy, spec.pool_size) for spec in trials]
    assert cut == [True, False, False, False, True]
    for spec, is_cut in zip(trials, cut, strict=True):
        asked_for = replace(spec, strategy=compose(spec.strategy))
        assert identified(asked_for, pools[200_001]).trial_id == spec.trial_id
        small = replace(spec, pool_size=200_000)  # all else that an id is made of stays
        assert (identified(small, pools[200_001]).trial_id != spec.trial_id) == is_cut


def test_every_point_of_a_grid_that_is_capped_is_said_once():
    sweep = {"strategies": ["all", "random"], "seeds": 2, "grid": {"train.batch_size": [8, 32, 64]}}
    steps = [note.split("T is ")[1].split(" steps")[0] for note in notes_of(sweep=sweep)]
    assert steps == ["48", "96"]  # by default min_steps is 100; 375 steps of batches of 8 are more


@pytest.mark.parametrize("page", ["how-to/optimisation.md", "explanations/fairness.md"])
def test_the_documentation_states_the_formula_of_t(page):
    assert FORMULA in " ".join((DOCS / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("min_steps", [0, 50, 100, 200])
@pytest.mark.parametrize("epochs", [0.5, 1, 3, 2.5])
@pytest.mark.parametrize(("k", "n", "batch_size"), [(1, 1, 32), (64, 1216, 32), (1216, 1216, 32), (100, 5000, 16)])
def test_t_is_what_the_documentation_states(k, n, batch_size, epochs, min_steps):
    stated = min(
        max(min_steps, math.ceil(epochs * math.ceil(k / batch_size))), math.ceil(epochs * math.ceil(n / batch_size))
    )
    assert LengthConfig(epochs=epochs, min_steps=min_steps).resolve(k, n, batch_size) == stated


def test_warm_up_is_what_the_documentation_states():
    assert [TrainConfig(warmup_fraction=0.1).warmup(total) for total in (1, 10, 11, 101)] == [1, 1, 2, 11]
    assert [TrainConfig(warmup_steps=50).warmup(total) for total in (20, 100)] == [20, 50]


def test_budgets_are_what_the_documentation_states():
    budgets = [validate_config({"selection": {"budget": share}}).selection for share in (0.1, 0.0001, 0.256, 1.0)]
    assert [selection.resolve(1000) for selection in budgets] == [100, 1, 256, 1000]
