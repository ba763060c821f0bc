"""The Pareto front: by hand, by brute force, and what is sure of it by scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.pareto import COSTS, OVERALL, front_of, pareto_table
from raybert.tables import PARETO


def trials_of(configurations):
    """Trials of (strategy, budget, price, values of the seeds); a price is one of all runs, or a list."""
    rows = [
        {
            "trial_id": f"{strategy}-{budget}-{seed}",
            "strategy": strategy,
            "role": "proxy" if strategy == "proxy" else "trial",
            "budget_kind": "none" if strategy in ("all", "proxy") else "distinct",
            "budget": budget,
            "grid": budget,
            "seed": seed,
            "fold": 0,
            "status": "failed" if np.isnan(value) else "complete",
            "test_accuracy": value,
            "test_loss": 1 - value,
            "total_examples": np.nan if np.isnan(value) else spent,
            "total_seconds": np.nan if np.isnan(value) else spent / 10,
            "configuration": f"{strategy} {budget}",
        }
        for strategy, budget, price, values in configurations
        for seed, (value, spent) in enumerate(zip(values, np.broadcast_to(price, len(values)), strict=True))
    ]
    return pd.DataFrame(rows)


def overall(table, cost="examples"):
    return table[(table["front"] == OVERALL) & (table["cost"] == cost)].set_index("configuration")


HAND = trials_of(
    [
        ("random", 40, 100, [0.50, 0.52, 0.48]),
        ("el2n", 40, 300, [0.55, 0.56, 0.54]),  # +.05, +.04, +.06: surely better
        ("k_center", 40, 200, [0.40, 0.43, 0.37]),  # -.10, -.09, -.11: surely worse, for more
        ("aum", 40, 400, [0.56, 0.50, 0.63]),  # .563 > .55, but by +.01, -.06, +.09
        ("d2", 40, 500, [0.50, 0.60, 0.56]),  # .5533 < .5633: -.06, +.10, -.07
        ("all", 400, 900, [0.80, 0.82, 0.81]),
    ]
)


def test_every_configuration_stands_beside_the_best_that_costs_no_more():
    table = overall(pareto_table(HAND))
    assert table["place"].to_dict() == {
        "random 40": "front",
        "k_center 40": "behind",
        "el2n 40": "front",
        "aum 40": "front by the means",
        "d2 40": "behind by the means",
        "all 400": "front",
    }
    assert table["beside"].to_dict() == {
        "random 40": "",
        "k_center 40": "random 40",
        "el2n 40": "random 40",
        "aum 40": "el2n 40",
        "d2 40": "aum 40",
        "all 400": "aum 40",
    }
    assert table["spent"].tolist() == [100, 200, 300, 400, 500, 900]
    assert [*front_of(pareto_table(HAND))["configuration"]] == ["random 40", "el2n 40", "aum 40", "all 400"]


def test_the_difference_beside_is_paired_and_its_interval_is_students():
    row = overall(pareto_table(HAND)).loc["el2n 40"]
    values = np.array([0.05, 0.04, 0.06])
    expected = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert row["difference"] == pytest.approx(0.05)
    np.testing.assert_allclose([row["difference_low"], row["difference_high"]], expected)
    assert (row["num_pairs"], row["num_replicates"]) == (3, 3)


def test_what_is_equal_in_both_is_on_the_front_together_and_what_is_as_good_for_less_is_alone():
    same, values = [0.5, 0.6, 0.7], [0.7, 0.6, 0.5]
    trials = trials_of(
        [("a", 40, 100, same), ("b", 40, 100, values), ("c", 40, 101, same), ("worse", 40, 100, [0.5, 0.6, 0.69])]
    )
    table = overall(pareto_table(trials))
    assert table.loc["a 40", ["place", "beside"]].tolist() == ["front by the means", "b 40"]
    assert table.loc["b 40", ["place", "beside"]].tolist() == ["front by the means", "a 40"]
    assert table.loc["c 40", ["place", "beside"]].tolist() == ["behind by the means", "a 40"]
    assert table.loc["worse 40", "place"] == "behind by the means"


def test_two_seeds_are_never_sure_and_lost_runs_leave_pairs():
    trials = trials_of([("random", 40, 1, [0.5, 0.5, 0.6]), ("el2n", 40, 2, [np.nan, 0.7, 0.9])])
    row = overall(pareto_table(trials)).loc["el2n 40"]
    assert row["place"] == "front by the means"
    assert row["difference"] == pytest.approx(0.25)
    assert (row["num_pairs"], row["num_replicates"]) == (2, 2)
    assert np.isnan(row["difference_low"])


def test_a_lower_loss_is_better():
    table = overall(pareto_table(HAND, metric="loss"))
    assert table.loc["el2n 40", "place"] == "front"
    assert table.loc["el2n 40", "difference"] == pytest.approx(-0.05)
    assert table.loc["k_center 40", "place"] == "behind"


def test_each_budget_has_a_front_of_its_own_beside_what_has_none():
    trials = trials_of(
        [
            ("random", 20, 50, [0.4, 0.41, 0.42]),
            ("random", 40, 100, [0.5, 0.51, 0.52]),
            ("el2n", 40, 300, [0.3, 0.31, 0.33]),
            ("el2n", 20, 250, [0.45, 0.46, 0.48]),
            ("all", 400, 900, [0.8, 0.81, 0.82]),
        ]
    )
    table = pareto_table(trials)
    fronts = {name: [*rows["configuration"]] for name, rows in table[table["cost"] == "examples"].groupby("front")}
    assert fronts == {
        "all budgets": ["random 20", "random 40", "el2n 20", "el2n 40", "all 400"],
        "budget 20": ["random 20", "el2n 20", "all 400"],
        "budget 40": ["random 40", "el2n 40", "all 400"],
    }
    assert [*front_of(table, front="budget 20")["configuration"]] == ["random 20", "el2n 20", "all 400"]
    assert [*front_of(table)["configuration"]] == ["random 20", "random 40", "all 400"]
    assert set(pareto_table(trials[trials["budget"] != 20])["front"]) == {OVERALL}


@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    drawn = [
        (f"s{i}", 40, float(rng.integers(1, 8)), (rng.integers(0, 5, 3) / 8).tolist())
        for i in range(30)  # few costs and values: many ties
    ]
    trials = trials_of(drawn)
    means = {f"{name} {budget}": (price, sum(values) / 3) for name, budget, price, values in drawn}
    expected = {
        name
        for name, (price, mean) in means.items()
        if not any(
            (other <= price and value > mean + 1e-9) or (other < price and value >= mean - 1e-9)
            for other, value in means.values()
        )
    }
    table = pareto_table(trials)
    for cost in COSTS:
        assert set(front_of(table, cost)["configuration"]) == expected


def test_folds_are_replicates_with_overlapping_training_sets():
    trials = pd.concat(
        [
            trials_of([("random", 40, 1, [0.5, 0.5]), ("el2n", 40, 2, [0.5 + gain - 0.01, 0.5 + gain + 0.01])]).assign(
                fold=fold
            )
            for fold, gain in enumerate([0.02, 0.04, 0.03, 0.05, 0.01])
        ]
    )
    row = overall(pareto_table(trials)).loc["el2n 40"]
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.00025 * (1 / 5 + 1 / 4))
    assert (row["num_pairs"], row["num_replicates"]) == (10, 5)
    np.testing.assert_allclose([row["difference_low"], row["difference_high"]], [0.03 - half, 0.03 + half])
    assert row["place"] == "front"


def test_nothing_finished_or_measured_is_an_empty_table_of_the_same_columns():
    for trials in (HAND.assign(status="pending"), HAND.assign(test_accuracy=np.nan)):
        table = pareto_table(trials)
        assert table.empty
        assert [*table] == PARETO.order()
    unknown = HAND.assign(total_examples=np.nan)
    assert set(pareto_table(unknown)["cost"]) == {"seconds"}
