"""Failed runs in the comparison: pairs that are left out, and the line that scores them as the majority class."""

import numpy as np
import pytest
from scipy import stats

from raybert.analysis import load_sweep
from raybert.analysis.statistics.intervals import holm
from tests.analysis.folders import make_spec, write_error, write_outcomes, write_plan, write_result

FAILED, PENDING = "failed", "pending"
RANDOM = [0.700, 0.712, 0.695, 0.705, 0.690]
MAJORITY = 0.6
"""24 of the 40 test examples of `write_outcomes` are of the pool's most frequent class."""


def rows_of(folder, outcomes):
    return load_sweep(write_outcomes(folder, outcomes)).comparisons.set_index("strategy")


@pytest.mark.parametrize(
    ("random", "el2n", "pairs", "dropped", "pending"),
    [
        (RANDOM, [0.75, 0.76, 0.74, 0.75, 0.75], 5, 0, 0),
        (RANDOM, [0.75, FAILED, 0.74, FAILED, 0.75], 3, 2, 0),
        ([0.70, 0.71, FAILED], [0.75, 0.76, 0.74], 2, 1, 0),  # the partner of its third seed failed
        ([FAILED, 0.71, 0.69], [FAILED, FAILED, 0.74], 1, 2, 0),
        (RANDOM[:3], [0.75, PENDING, PENDING], 1, 0, 2),  # which have not failed
        ([0.70, FAILED, PENDING], [0.75, PENDING, FAILED], 1, 2, 0),  # whatever the partner will be
        (RANDOM[:2], [0.75, 0.76, 0.74], 2, 1, 0),  # a seed that the baseline does not have
    ],
)
def test_every_planned_pair_is_used_dropped_or_pending(tmp_path, random, el2n, pairs, dropped, pending):
    row = rows_of(tmp_path, {"random": random, "el2n": el2n}).loc["el2n"]
    assert (row["num_pairs"], row["num_dropped_pairs"], row["num_pending_pairs"]) == (pairs, dropped, pending)


def test_with_failures_is_the_t_test_of_all_pairs_failed_runs_at_the_majority_class(tmp_path):
    outcomes = {
        "random": RANDOM,
        "el2n": [0.75, FAILED, 0.747, FAILED, 0.742],
        "k_center": [0.71, 0.70, 0.69, 0.72, 0.70],
    }
    sweep = load_sweep(write_outcomes(tmp_path, outcomes))
    rows = sweep.comparisons.set_index("strategy")
    own, beside = np.array([0.75, MAJORITY, 0.747, MAJORITY, 0.742]), np.array(RANDOM)
    test = stats.ttest_rel(own, beside)
    row = rows.loc["el2n"]
    assert row["difference"] == pytest.approx((own - beside)[[0, 2, 4]].mean())
    assert row["verdict"] == "better"
    assert row["with_failures_mean"] == pytest.approx(own.mean())
    assert row["with_failures_baseline_mean"] == pytest.approx(beside.mean())
    assert row["with_failures_difference"] == pytest.approx((own - beside).mean())
    assert row["with_failures_difference_std"] == pytest.approx((own - beside).std(ddof=1))
    ends = row[["with_failures_difference_low", "with_failures_difference_high"]].to_numpy(float)
    np.testing.assert_allclose(ends, test.confidence_interval())
    assert row["with_failures_holm_p"] == pytest.approx(holm(np.array([test.pvalue, rows.loc["k_center", "p"]]))[0])
    assert row["with_failures_verdict"] == "no difference shown"
    assert np.isnan(rows.loc["k_center", "with_failures_difference"])  # which no failed run has a part in
    summary = sweep.summary().set_index("strategy")
    assert summary.loc["el2n", "with_failures_mean"] == pytest.approx(own.mean())
    assert summary["num_dropped_pairs"].to_dict() == {"random": 0, "el2n": 2, "k_center": 0}
    assert summary["with_failures_mean"].isna().to_dict() == {"random": True, "el2n": False, "k_center": True}


def test_a_failed_baseline_is_scored_too(tmp_path):
    row = rows_of(tmp_path, {"random": [0.70, 0.71, FAILED, 0.70], "el2n": [0.72, 0.73, 0.73, 0.75]}).loc["el2n"]
    differences = np.array([0.02, 0.02, 0.73 - MAJORITY, 0.05])
    assert row["num_dropped_pairs"] == 1
    assert row["with_failures_difference"] == pytest.approx(differences.mean())
    assert row["with_failures_mean"] == pytest.approx((0.72 + 0.73 + 0.73 + 0.75) / 4)


def test_a_strategy_of_which_every_run_failed_is_compared_with_failures_only(tmp_path):
    sweep = load_sweep(write_outcomes(tmp_path, {"random": RANDOM, "el2n": [FAILED] * 5}))
    assert sweep.comparisons.empty
    (row,) = sweep.compared.with_failures.to_dict("records")
    assert (row["strategy"], row["num_dropped_pairs"], row["verdict"]) == ("el2n", 5, "worse")
    assert row["p"] == pytest.approx(stats.ttest_1samp(MAJORITY - np.array(RANDOM), 0).pvalue)


def test_a_metric_of_probabilities_takes_those_of_the_pool(tmp_path):
    """Three of five examples of the pool and of the test split are of class 0."""
    sweep = load_sweep(write_outcomes(tmp_path, {"random": RANDOM[:3], "el2n": [0.75, FAILED, 0.74]}))
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    values = {"loss": entropy, "macro_f1": (2 * 0.6 / 1.6) / 2, "auc_roc": 0.5, "mcc": 0.0, "brier": 0.6 * 0.4}
    for metric in ("loss", "macro_f1", "auc_roc"):
        (row,) = sweep.compare("random", metric).to_dict("records")
        complete = sweep.trials[sweep.trials["strategy"] == "el2n"][f"test_{metric}"]
        assert row["with_failures_mean"] == pytest.approx((complete.sum() + values[metric]) / 3)


def test_what_is_not_known_of_the_classes_is_left_empty(tmp_path):
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in range(3)]
    write_plan(tmp_path, specs)
    for spec in specs[:-1]:
        write_result(tmp_path, spec, 0.7 + 0.01 * spec["seed"])
    write_error(tmp_path, specs[-1])
    (row,) = load_sweep(tmp_path).comparisons.to_dict("records")
    assert row["num_dropped_pairs"] == 1
    assert np.isnan(row["with_failures_difference"])
