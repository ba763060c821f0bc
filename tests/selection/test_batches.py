"""Strategies that return batches: what is refused, and what is kept of them."""

from typing import ClassVar

import numpy as np
import pytest

from raybert.errors import SelectionError
from raybert.selection import PassPlan, PassRequest, Strategy
from raybert.selection.schedule import make_pass_planner
from raybert.sweeping.trial.records import RecordedPasses, frame_of_plans
from raybert.testing import CHECKS, SimulatedView, make_pool


class Batched(Strategy):
    """Batches that are given."""

    name: ClassVar[str] = "batched"
    schedules = ("epoch",)
    budget_kind = "none"
    batches: list

    def plan_pass(self, request: PassRequest) -> PassPlan:
        return PassPlan.of_batches(self.batches)


def planner_of(batches, budget=20):
    pool = make_pool(20)
    planner, chosen = make_pass_planner(Batched(batches=batches), pool, budget, total_steps=10, batch_size=4)
    assert chosen is None
    return planner, SimulatedView(pool, 0, 10)


def test_batches_are_kept_as_they_are():
    planner, view = planner_of([[3, 1], [0, 19, 7, 2]])
    plan = planner.next_pass(0, None, view)
    assert [part.tolist() for part in plan.batches] == [[3, 1], [0, 19, 7, 2]]
    assert plan.positions.tolist() == [3, 1, 0, 19, 7, 2]


@pytest.mark.parametrize(
    ("batches", "line"),
    [
        ([[1, 2], [3, 20]], r"batch 1 must be in 0\.\.19, got 20"),
        ([[1, -1]], r"batch 0 must be in 0\.\.19, got -1"),
        ([[1, 2], [3, 1]], "positions must be distinct, got 1 more than once"),
        ([[4, 4]], "positions must be distinct, got 4 more than once"),
        ([[1, 2], []], "batch 1 must have at least one position, got none"),
        ([[0, 1], [2, 3, 4, 5, 6]], r"batch 1 must have at most 4 positions \(train.batch_size\), got 5"),
        ([[0.0, 1.0]], r"batch 0 must be a flat array of integers, got float64 \(2,\)"),
        ([0, 1, 2], r"batch 0 must be a flat array of integers, got int64 \(\)"),
        ([[[0, 1]]], r"batch 0 must be a flat array of integers, got int64 \(1, 2\)"),
    ],
)
def test_nonsense_is_one_line_that_names_the_strategy(batches, line):
    planner, view = planner_of(batches)
    with pytest.raises(SelectionError, match=rf"^strategy 'batched': {line}$"):
        planner.next_pass(0, None, view)


def test_a_budget_counts_the_examples_of_all_batches():
    class Budgeted(Batched):
        """With a budget."""

        name: ClassVar[str] = "budgeted"
        budget_kind = "distinct"

    planner, _ = make_pass_planner(Budgeted(batches=[[0, 1], [2]]), make_pool(20), 5, total_steps=10, batch_size=4)
    with pytest.raises(SelectionError, match="strategy 'budgeted': must return exactly 5 positions, got 3"):
        planner.next_pass(0, None, SimulatedView(make_pool(20), 0, 10))


def test_what_a_trial_keeps_says_the_step_of_every_example(tmp_path):
    planner, view = planner_of([[3, 1], [0, 19, 7, 2]])
    recorded = RecordedPasses(planner, tmp_path)
    recorded.next_pass(0, None, view)
    frame = frame_of_plans([*recorded.plans(), (1, PassPlan(np.array([5, 6])))])
    assert frame["position"].tolist() == [3, 1, 0, 19, 7, 2, 5, 6]
    assert frame["pass"].tolist() == [0] * 6 + [1] * 2
    assert frame["batch"].tolist() == [0, 0, 1, 1, 1, 1, -1, -1]
    assert "batch" not in frame_of_plans([(0, PassPlan(np.array([5, 6])))])


class EasyToHard(Strategy):
    """The example of docs/how-to/own_strategies.md."""

    name = "easy_to_hard"
    schedules = ("epoch",)
    budget_kind = "none"

    def plan_pass(self, request):
        order = np.lexsort((request.draw_keys, request.view.train_losses))
        return PassPlan.in_order(order, request.batch_size)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_strategy_that_only_plans_keeps_the_contract(check):
    check(EasyToHard())


def test_an_order_by_recorded_losses_begins_with_the_lowest_and_ends_with_what_has_none():
    pool = make_pool(20)
    planner, _ = make_pass_planner(EasyToHard(), pool, 20, total_steps=10, batch_size=6)
    view = SimulatedView(pool, 0, 10)
    plan = planner.next_pass(1, None, view)
    losses = view.train_losses[plan.positions]
    assert np.isnan(losses[-4:]).all()  # every fifth is one that was not trained on
    assert losses[:16].tolist() == sorted(losses[:16].tolist())
    assert plan.batch_sizes == [6, 6, 6, 2]


def test_the_random_order_of_a_pass_is_its_own_and_stays_the_same():
    pool, view = make_pool(20), SimulatedView(make_pool(20), 0, 10)
    keys = [PassRequest(pool, 5, number, None, view, 4, lambda: None).draw_keys for number in (0, 1, 0)]
    assert keys[0].tolist() == keys[2].tolist()
    assert len({tuple(np.argsort(each).tolist()) for each in (*keys[:2], pool.draw_keys)}) == 3
