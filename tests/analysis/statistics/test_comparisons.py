"""Pairs of strategies: differences, shares and verdicts by hand, whatever budgets, grids and baselines there are."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.comparisons import compare, default_pairs
from raybert.analysis.statistics.equal_cost import PARTS, equal_cost_table
from raybert.analysis.statistics.intervals import holm
from raybert.analysis.statistics.summary import summarize
from raybert.analysis.statistics.verdicts import method_sentences, verdict_sentences
from raybert.tables import COMPARISONS
from tests.analysis.statistics.test_equal_cost import curve, trial
from tests.analysis.statistics.test_summary import trials_of

ALL = [0.80, 0.82, 0.81]
THRESHOLD = [0.79, 0.80, 0.80]
SEVERAL = {
    "all": ALL,
    "loss_threshold": THRESHOLD,
    "random": [0.50, 0.52, 0.48],
    "el2n": [0.55, 0.56, 0.54],
    "k_center": [0.51, 0.54, 0.49],
}


def whole_pool(trials, *names):
    """Trials in which these strategies have no budget."""
    is_whole = trials["strategy"].isin(["all", *names])
    trials["budget_kind"] = np.where(is_whole, "none", "distinct")
    trials["budget"] = np.where(is_whole, 1000, trials["budget"])
    return trials


def several():
    return whole_pool(trials_of(SEVERAL), "loss_threshold")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["all", "loss_threshold"], [("all", "loss_threshold")]),
        (["all", "random"], [("all", "random")]),
        (["all", "el2n"], [("all", "el2n")]),
        (["el2n", "k_center"], []),
        (["random"], []),
        (
            [*SEVERAL],
            [("all", "loss_threshold"), ("random", "el2n"), ("random", "k_center")],
        ),
    ],
)
def test_by_default_a_budget_is_compared_with_random_and_the_whole_pool_with_all(names, pairs):
    trials = several()
    assert default_pairs(trials[trials["strategy"].isin(names)]) == pairs


def test_a_sweep_of_two_whole_pools_has_a_verdict():
    trials = whole_pool(trials_of({"all": ALL, "loss_threshold": THRESHOLD}), "loss_threshold")
    trials["total_examples"] = [300.0, 300.0, 300.0, 90.0, 120.0, 150.0]
    (row,) = compare(trials).to_dict("records")
    differences = np.array(THRESHOLD) - ALL
    assert (row["baseline"], row["configuration"], row["num_pairs"]) == ("all", "loss_threshold", 3)
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["p"] == row["holm_p"] == pytest.approx(stats.ttest_rel(THRESHOLD, ALL).pvalue)
    expected = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(expected)
    assert row["verdict"] == "no difference shown"
    assert row["metric_fraction"] == pytest.approx(np.mean(np.array(THRESHOLD) / ALL))
    shares = np.array([0.3, 0.4, 0.5])
    half = stats.t.ppf(0.975, 2) * shares.std(ddof=1) / np.sqrt(3) / shares.mean()
    assert row["total_examples_fraction"] == pytest.approx(0.4)
    ends = row["total_examples_fraction_low"], row["total_examples_fraction_high"]
    assert ends == pytest.approx((0.4 / np.exp(half), 0.4 * np.exp(half)))
    summary = summarize(trials).set_index("strategy")
    assert summary.loc["loss_threshold", ["baseline", "verdict"]].tolist() == ["all", "no difference shown"]
    assert summary.loc["loss_threshold", "total_examples_fraction_of_all"] == pytest.approx(0.4)
    assert summary.loc["loss_threshold", "metric_fraction_of_baseline"] == row["metric_fraction"]
    assert summary.loc["all", ["baseline", "verdict"]].tolist() == ["", "not compared"]
    assert verdict_sentences(compare(trials))[0] == (
        "loss_threshold: no difference to all shown (-1.3 points [-2.8, +0.1], 3 seeds)"
    )


def test_each_baseline_has_a_family_of_its_own_and_random_keeps_its_numbers():
    trials = several()
    table = compare(trials)
    summary = summarize(trials)
    by_hand = holm(summary["test_accuracy_vs_random_p"].to_numpy())
    compared = summary["baseline"] == "random"
    assert summary.loc[compared, "holm_p"].tolist() == by_hand[compared].tolist()
    (with_all,) = table.loc[table["baseline"] == "all", ["p", "holm_p"]].to_numpy()
    assert with_all[0] == with_all[1]
    assert "Holm's correction over 1 with all and 2 with random comparisons" in method_sentences(table)[0]


def test_pairs_that_are_asked_for_are_the_family():
    trials = several()
    table = compare(trials, pairs=[("random", "el2n"), ("el2n", "k_center")])
    assert table[["baseline", "strategy"]].to_numpy().tolist() == [["random", "el2n"], ["el2n", "k_center"]]
    assert table["holm_p"].tolist() == table["p"].tolist()
    assert table["difference"].tolist() == pytest.approx([0.05, -0.11 / 3])
    summary = summarize(trials, comparisons=table).set_index("strategy")
    assert summary["baseline"].to_dict() == {
        "all": "",
        "loss_threshold": "",
        "random": "",
        "el2n": "random",
        "k_center": "el2n",
    }


def test_the_whole_pool_stands_beside_every_budget():
    small = trials_of({"random": [0.5, 0.5, 0.6]})
    large = trials_of({"random": [0.7, 0.7, 0.8]}).assign(budget=200)
    whole = trials_of({"all": ALL})
    trials = pd.concat(
        [part.assign(**{"selection.budget": share}) for part, share in ((small, 0.1), (large, 0.2), (whole, None))],
        ignore_index=True,
    )
    table = compare(trials, ["selection.budget"], pairs=[("random", "all"), ("all", "random")])
    assert table["baseline_configuration"].tolist()[:2] == ["random, budget 100", "random, budget 200"]
    assert table["difference"].tolist()[:2] == pytest.approx([0.81 - 1.6 / 3, 0.81 - 2.2 / 3])
    assert table["difference"].tolist()[2:] == pytest.approx([1.6 / 3 - 0.81, 2.2 / 3 - 0.81])
    said = verdict_sentences(table)
    assert said[0].startswith("all: better than random, budget 100 (")
    assert said[2].startswith("random, budget 100: worse than all (")
    assert table.columns.tolist() == COMPARISONS.order(["selection.budget"])


def test_a_key_that_only_the_baseline_reads_is_compared_at_all_its_values():
    parts = [
        trials_of({"k_center": [0.5 + shift, 0.6 + shift, 0.7]}).assign(pooling=word)
        for word, shift in (("mean", 0.0), ("cls", 0.1))
    ]
    parts.append(trials_of({"random": [0.5, 0.5, 0.5]}).assign(pooling=None))
    table = compare(pd.concat(parts, ignore_index=True), ["pooling"], pairs=[("k_center", "random")])
    assert table["baseline_configuration"].tolist() == ["k_center, pooling mean", "k_center, pooling cls"]
    assert table["difference"].tolist() == pytest.approx([-0.1, -0.5 / 3])


def test_a_share_of_what_is_zero_or_less_means_nothing():
    trials = trials_of({"all": ALL, "random": [0.5, 0.5, 0.5]})
    trials["test_mcc"] = [0.5, -0.1, 0.2, 0.1, 0.1, 0.1]
    trials["validation_mcc"] = trials["test_mcc"]
    (row,) = compare(trials, metric="mcc").to_dict("records")
    assert np.isnan(row["metric_fraction"])
    assert row["difference"] == pytest.approx(-0.1)


def test_one_finished_strategy_has_an_empty_table_of_the_same_columns():
    table = compare(trials_of({"random": [0.5]}))
    assert table.empty
    assert table.columns.tolist() == COMPARISONS.order()


def test_equal_cost_says_what_a_part_of_the_cost_of_all_buys():
    trials = pd.DataFrame(
        [trial("all", 0, 0.0, kind="none", budget=400), trial("loss_threshold", 0, 1.0, kind="none", budget=400)]
    )
    evaluations = pd.DataFrame(
        curve("all", 0, [5, 10], [0.5, 0.9], budget=400) + curve("loss_threshold", 0, [1, 4], [0.6, 0.85], budget=400)
    )
    table = equal_cost_table(trials, evaluations).set_index(["strategy", "multiple"])
    assert (table["baseline"] == "all").all()
    assert table["cost_of_random"].isna().all()
    reached = table["validation_accuracy"].unstack()[list(PARTS)]
    np.testing.assert_array_equal(reached.loc["all"], [np.nan, np.nan, 0.5, 0.5, 0.9])
    np.testing.assert_array_equal(reached.loc["loss_threshold"], [np.nan, 0.6, 0.85, 0.85, 0.85])


def test_what_costs_vary_by_is_in_the_summary():
    trials = trials_of({"random": [0.5, 0.5, 0.5]})
    trials["train_seconds"] = [1.0, 2.0, 6.0]
    (row,) = summarize(trials).to_dict("records")
    assert (row["train_seconds_mean"], row["train_seconds_std"]) == (3.0, pytest.approx(np.sqrt(7)))
    half = stats.t.ppf(0.975, 2) * np.sqrt(7 / 3) / 3
    ends = row["train_seconds_low"], row["train_seconds_high"]
    assert ends == pytest.approx((3 / np.exp(half), 3 * np.exp(half)))
