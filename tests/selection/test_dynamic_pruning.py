"""What the model in training decides: passes over all first, scoring every few passes, a random first round."""

from dataclasses import replace

import numpy as np
import pytest

from raybert.config import StrategyConfig, validate_config
from raybert.errors import ConfigError
from raybert.selection import build_strategy
from raybert.selection.identity import strategy_identity
from raybert.selection.schedule import make_pass_planner, round_targets
from raybert.selection.strategies.proxies import el2n
from raybert.sweeping.estimate.costs import count_scorings
from raybert.testing import SimulatedView, make_pool
from tests.sweeping.planning import plan_of

POOL = make_pool(120)


def build(**entry):
    return build_strategy(StrategyConfig.model_validate(entry))


class Watched(SimulatedView):
    """A view that counts how often the pool is scored; what it says changes with the step."""

    def __init__(self, step, calls):
        super().__init__(POOL, step, 100)
        object.__setattr__(self, "calls", calls)

    def predict(self, positions=None):
        self.calls.append(self.step)
        probs = np.random.default_rng(self.step).dirichlet(np.ones(4), 120).astype(np.float32)
        return probs if positions is None else probs[positions]


def plans_of(entry, passes, budget=20):
    pool = replace(POOL, signals={})  # no proxy has said anything
    planner, chosen = make_pass_planner(build(**entry), pool, budget, total_steps=100, batch_size=8)
    assert chosen is None
    plans, calls = [], []
    for number in range(passes):
        view = Watched(10 * number, calls)
        plans.append(planner.next_pass(number, plans[-1] if plans else None, view))
    return plans, calls


def test_passes_over_all_come_first_and_then_the_pool_is_scored_every_few_passes():
    entry = {"name": "el2n", "schedule": "epoch", "warm_up": 2, "refresh": 3, "direction": "hard", "balance": "none"}
    plans, calls = plans_of(entry, 9)
    assert [len(plan.positions) for plan in plans] == [120, 120, *[20] * 7]
    assert calls == [20, 50, 80]
    for first, numbers in ((2, (3, 4)), (5, (6, 7))):
        scores = el2n(Watched(10 * first, []).predict(), POOL.labels)
        assert set(plans[first].positions) == set(np.argsort(-scores)[:20])
        for number in numbers:
            assert plans[number].positions.tolist() == plans[first].positions.tolist()
    assert set(plans[2].positions) != set(plans[5].positions)


def test_without_them_every_pass_is_scored_as_before():
    pool, calls = POOL, []
    planner, _ = make_pass_planner(build(name="el2n", schedule="epoch"), pool, 20, total_steps=100, batch_size=8)
    plan = planner.next_pass(0, None, Watched(0, calls))
    planner.next_pass(1, plan, Watched(10, calls))
    assert calls == [10]  # the first by proxies


def test_the_first_round_is_a_draw_of_its_own_size_and_later_ones_share_the_rest():
    assert round_targets(20, 4, 5) == [5, 10, 15, 20]
    assert round_targets(20, 4) == [5, 10, 15, 20]
    assert round_targets(100, 3, 10) == [10, 55, 100]
    entry = {"name": "confidence", "schedule": "rounds", "rounds": 3, "random_start": 0.5, "balance": "none"}
    pool = replace(POOL, signals={})
    planner, _ = make_pass_planner(build(**entry), pool, 20, total_steps=30, batch_size=8)
    calls, plan, seen = [], None, []
    for number, step in enumerate((0, 10, 20)):
        plan = planner.next_pass(number, plan, Watched(step, calls))
        seen.append(plan.positions.tolist())
    assert [len(positions) for positions in seen] == [10, 15, 20]
    assert seen[0] == np.argsort(POOL.draw_keys)[:10].tolist()  # what `random` of the same seed draws
    assert seen[2][:15] == seen[1]
    assert seen[1][:10] == seen[0]
    assert calls == [10, 20]


def test_no_proxy_is_trained_for_what_nobody_reads():
    strategies = [
        {"name": "badge", "schedule": "rounds", "random_start": 8},
        {"name": "el2n", "schedule": "epoch", "warm_up": 1},
        {"name": "cal", "schedule": "rounds", "random_start": 0.3},
    ]
    plan = plan_of(validate_config({"sweep": {"strategies": ["random", *strategies], "seeds": 1}}))
    assert list(plan.proxies) == []
    assert [sorted(build(**entry).all_signals()) for entry in strategies] == [[], [], ["embeddings"]]
    assert build(name="badge", schedule="rounds").all_signals() == {"probs", "features"}
    filtered = build(name="badge", schedule="rounds", random_start=8, pre=[{"name": "drop_hardest", "share": 0.2}])
    assert filtered.all_signals() == {"probs"}  # which the filter reads before the first round


@pytest.mark.parametrize(
    ("entry", "scorings"),
    [
        ({"name": "el2n", "schedule": "epoch"}, 9),  # 100 steps in passes of 10, the first by proxies
        ({"name": "el2n", "schedule": "epoch", "refresh": 4}, 2),  # passes 4 and 8
        ({"name": "el2n", "schedule": "epoch", "warm_up": 1}, 0),  # a pass over all takes 100 steps
        ({"name": "confidence", "schedule": "rounds", "rounds": 4, "random_start": 0.2}, 3),
        ({"name": "k_center", "schedule": "rounds", "rounds": 4, "random_start": 0.2}, 0),
    ],
    ids=str,
)
def test_the_price_counts_what_the_model_in_training_scores(entry, scorings):
    document = {
        "train": {"length": {"steps": 100}, "batch_size": 10},
        "selection": {"budget": 0.1},
        "sweep": {"strategies": ["random", entry], "seeds": 1},
    }
    (spec,) = [spec for spec in plan_of(validate_config(document)).trials if spec.label.startswith(entry["name"])]
    assert (spec.num_chosen, spec.pool_size) == (100, 1000)
    assert count_scorings(spec) == scorings


def test_keys_that_are_not_set_are_no_part_of_an_id():
    assert not {"warm_up", "refresh", "random_start"} & strategy_identity(build(name="el2n", schedule="epoch")).keys()
    assert strategy_identity(build(name="el2n", schedule="epoch", warm_up=1))["warm_up"] == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "el2n", "warm_up": 1}, "warm_up: must be left out without `schedule: epoch`, got 1"),
        ({"name": "el2n", "schedule": "rounds", "refresh": 2}, "refresh: must be left out without `schedule: epoch`"),
        ({"name": "el2n", "random_start": 5}, "random_start: must be left out without `schedule: rounds` and 2 rounds"),
        (
            {"name": "el2n", "schedule": "rounds", "random_start": 1.5},
            "random_start: must be a whole number >= 1 or a share of the budget below 1, got 1.5",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(entry, message):
    with pytest.raises(ConfigError, match=message):
        build(**entry)


def test_a_start_that_leaves_nothing_to_choose_is_refused():
    strategy = build(name="el2n", schedule="rounds", random_start=20)
    planner, _ = make_pass_planner(strategy, POOL, 20, total_steps=100, batch_size=8)
    with pytest.raises(ConfigError, match=r"random_start: must be below the budget \(20\) of 'el2n', got 20"):
        planner.next_pass(0, None, SimulatedView(POOL, 0, 100))
