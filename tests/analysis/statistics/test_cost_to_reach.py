"""What it costs to come near full training: crossings by numpy, targets, censoring and shares by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.cost_to_reach import cost_of_crossing, cost_to_reach_table
from raybert.tables import COST_TO_REACH

SEEDS = (0, 1, 2)


def test_a_run_that_failed_never_gets_there_and_one_of_all_sets_no_target():
    trials, evaluations = sweep_of(
        {(name, seed): (0.5, 0.8) for name in ("all", "random") for seed in SEEDS}
        | {("el2n", seed): (0.8, 0.8) for seed in SEEDS}
    )
    failed = trials["trial_id"].isin(["random1", "all2"])
    table = cost_to_reach_table(trials.assign(status=np.where(failed, "failed", "complete")), evaluations)
    rows = table[(table["share"] == 0.95) & (table["cost"] == "examples")].set_index("configuration")
    assert rows["num_pairs"].to_dict() == {"all": 2, "random": 2, "el2n": 2}  # seeds 0 and 1
    assert rows["num_reached"].to_dict() == {"all": 2, "random": 1, "el2n": 2}
    assert np.isnan(rows.loc["random", "spent"])
    assert np.isnan(rows.loc["random", "spent_median"])  # one of two: as many never get there


def sweep_of(curves, **more):
    """Trials and evaluations of (strategy, seed) -> accuracies at 100, 200, ... examples; el2n pays 1,000 for signals."""
    trials, evaluations = [], []
    for (strategy, seed), values in curves.items():
        name, seen = f"{strategy}{seed}", 100 * np.arange(1, len(values) + 1)
        signals = 1000 if strategy == "el2n" else 0
        trials.append(
            {
                "trial_id": name,
                "strategy": strategy,
                "role": "trial",
                "budget_kind": "none" if strategy == "all" else "distinct",
                "budget": 400 if strategy == "all" else 40,
                "seed": seed,
                "fold": 0,
                "status": "complete",
                "signal_seconds": signals / 100,
                "examples_seen": seen[-1],
                "total_examples": 3 * seen[-1] + signals,
                "majority_share": 0.5,
                "configuration": strategy,
                **more,
            }
        )
        evaluations += [
            {
                "trial_id": name,
                "evaluation": number + 1,
                "examples_seen": seen[number],
                "seconds": (number + 1) * 2.0,
                "validation_accuracy": value,
                "validation_loss": 1 - value,
            }
            for number, value in enumerate(values)
        ]
    return pd.DataFrame(trials), pd.DataFrame(evaluations)


def row_of(table, strategy, share=0.95, cost="examples"):
    return table.set_index(["strategy", "share", "cost"]).loc[(strategy, share, cost)]


HAND = sweep_of(
    {
        **{("all", seed): [0.2, 0.6, 0.8, 0.7] for seed in SEEDS},
        ("el2n", 0): [0.66, 0.86, 0.5],
        ("el2n", 1): [0.80, 0.80, 0.8],
        ("el2n", 2): [0.56, 0.66, 0.86],
        ("random", 0): [0.5, 0.76, 0.7],
        ("random", 1): [0.5, 0.6, 0.7],
        ("random", 2): [0.5, 0.75999, 0.7],
    }
)


def test_the_cost_is_where_a_line_through_the_evaluations_crosses_the_target():
    table = cost_to_reach_table(*HAND)
    row = row_of(table, "el2n")  # 95 % of .8 is .76
    assert row["target"] == pytest.approx(0.76)
    # Signals cost 1,000, an example that is trained on 3: half way from 1,300 to 1,600; at its first evaluation; half
    # way from 1,600 to 1,900.
    spent = np.array([1450.0, 1300.0, 1750.0])
    assert (row["num_pairs"], row["num_reached"], row["num_at_first"], row["num_replicates"]) == (3, 3, 1, 3)
    assert (row["spent"], row["spent_median"]) == pytest.approx((1500, 1450))
    interval = stats.t.interval(0.95, 2, loc=1500, scale=stats.sem(spent))
    half = (interval[1] - interval[0]) / 2
    # On the logarithmic scale, as every amount.
    expected = [1500 * np.exp(-half / 1500), 1500 * np.exp(half / 1500)]
    np.testing.assert_allclose([row["spent_low"], row["spent_high"]], expected)
    # `all` is there at .76 between .6 (600) and .8 (900): 840.
    assert row_of(table, "all")["spent"] == pytest.approx(840)
    assert row["spent_fraction_of_all"] == pytest.approx((spent / 840).mean())
    assert row_of(table, "all")["spent_fraction_of_all"] == 1


def test_a_run_that_is_never_there_is_counted_and_dearer_than_any():
    row = row_of(cost_to_reach_table(*HAND), "random")
    assert (row["num_pairs"], row["num_reached"]) == (3, 1)
    missing = ["spent", "spent_std", "spent_low", "spent_high", "spent_median", "spent_fraction_of_all"]
    assert row[missing].isna().all()
    curves = {("all", seed): [0.2, 0.8] for seed in SEEDS} | {("random", seed): [0.2, 0.8] for seed in (0, 1)}
    row = row_of(cost_to_reach_table(*sweep_of(curves | {("random", 2): [0.2, 0.3]})), "random")
    assert (row["num_pairs"], row["num_reached"]) == (3, 2)
    assert np.isnan(row["spent"])
    assert row["spent_median"] == pytest.approx(300 + 300 * (0.76 - 0.2) / 0.6)


def test_seconds_hold_signals_and_evaluation():
    row = row_of(cost_to_reach_table(*HAND), "el2n", cost="seconds")
    assert row["spent"] == pytest.approx(10 + np.mean([3, 2, 5]))


def test_of_a_loss_the_target_is_the_value_divided_by_the_share():
    row = row_of(cost_to_reach_table(*HAND, metric="loss"), "all", 0.99)
    assert row["target"] == pytest.approx(0.2 / 0.99)  # reached between .4 (600) and .2 (900)
    assert row["spent"] == pytest.approx(600 + 300 * (0.4 - 0.2 / 0.99) / 0.2)


def test_what_the_most_frequent_class_reaches_is_named_trivial():
    assert row_of(cost_to_reach_table(*HAND), "el2n")["num_trivial"] == 0
    trials, evaluations = HAND
    assert row_of(cost_to_reach_table(trials.assign(majority_share=0.77), evaluations), "el2n")["num_trivial"] == 3
    assert (
        row_of(cost_to_reach_table(trials.assign(majority_share=0.77), evaluations), "el2n", 0.99)["num_trivial"] == 0
    )


def test_every_seed_has_the_target_of_its_own_full_training():
    curves = {("all", 0): [0.4, 0.8], ("all", 1): [0.4, 0.5], ("random", 0): [0.5], ("random", 1): [0.5]}
    table = cost_to_reach_table(*sweep_of(curves | {("random", 2): [0.9]}))
    row = row_of(table, "random", 0.99)
    assert (row["num_pairs"], row["num_reached"]) == (2, 1)  # seed 2 has no `all` beside it
    assert row["target"] == pytest.approx((0.8 + 0.5) / 2 * 0.99)


def test_folds_are_replicates_of_the_mean_of_their_seeds():
    trials, evaluations = sweep_of({("all", seed): [0.2, 0.8] for seed in range(4)})
    trials = trials.assign(fold=[0, 0, 1, 1], seed=[0, 1, 0, 1])
    row = row_of(cost_to_reach_table(trials, evaluations), "all")
    assert (row["num_pairs"], row["num_reached"], row["num_replicates"]) == (4, 4, 2)


def test_without_full_training_or_a_positive_score_there_is_nothing_to_reach():
    trials, evaluations = HAND
    empty = cost_to_reach_table(trials[trials["strategy"] != "all"], evaluations)
    assert empty.empty
    assert [*empty] == COST_TO_REACH.order()
    assert cost_to_reach_table(trials.assign(status="pending"), evaluations).empty
    assert cost_to_reach_table(trials, evaluations.assign(validation_mcc=-0.1), metric="mcc").empty
    # What was spent on signals is not known of folders of an older raybert.
    assert set(cost_to_reach_table(trials.assign(total_examples=np.nan), evaluations)["cost"]) == {"seconds"}


@pytest.mark.parametrize("seed", range(3))
def test_a_crossing_is_the_first_one_of_the_line_on_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    costs = np.cumsum(rng.uniform(1, 3, 12))
    values = np.concatenate([[0.0], rng.uniform(0, 1, 11)])
    target = rng.uniform(0.3, 0.9) * values.max()
    fine = np.linspace(costs[0], costs[-1], 400_001)
    first = fine[np.argmax(np.interp(fine, costs, values) >= target)]
    found, is_at_first = cost_of_crossing(costs, values, target)
    assert found == pytest.approx(first, abs=1e-3)
    assert not is_at_first


def test_a_strategy_stands_beside_full_training_at_its_own_point_of_a_grid():
    parts = []
    for rate, best in ((0.1, 0.8), (0.2, 0.4)):
        trials, evaluations = sweep_of({("all", 0): [0.1, best], ("random", 0): [0.1, 0.4]})
        for frame in (trials, evaluations):
            frame["trial_id"] += f"-{rate}"
        names = trials["strategy"] + f", learning_rate {rate}"
        parts.append((trials.assign(**{"train.learning_rate": rate, "configuration": names}), evaluations))
    trials, evaluations = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    table = cost_to_reach_table(trials, evaluations, ["train.learning_rate"])
    reached = table[(table["strategy"] == "random") & (table["cost"] == "examples") & (table["share"] == 0.95)]
    assert reached.set_index("full_configuration")["num_reached"].to_dict() == {
        "all, learning_rate 0.1": 0,
        "all, learning_rate 0.2": 1,
    }
    assert len(table) == 2 * 2 * 2 * 2
