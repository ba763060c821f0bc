import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.intervals import holm, paired_p, t_interval
from raybert.analysis.statistics.summary import summarize
from raybert.tables import COSTS, SUMMARIZED

ACCURACY = {
    "random": [0.50, 0.52, 0.48],
    "el2n": [0.55, 0.56, 0.54],
    "all": [0.80, 0.82, 0.81],
}


def trials_of(accuracy: dict[str, list[float]], failed: tuple[str, int] | None = None) -> pd.DataFrame:
    rows = []
    for strategy, values in accuracy.items():
        for seed, value in enumerate(values):
            is_failed = failed == (strategy, seed)
            rows.append(
                {
                    "trial_id": f"{strategy}-{seed}",
                    "strategy": strategy,
                    "role": "trial",
                    "budget_kind": "none" if strategy == "all" else "distinct",
                    "budget": 1000 if strategy == "all" else 100,
                    "seed": seed,
                    "fold": 0,
                    "status": "failed" if is_failed else "complete",
                    **dict.fromkeys(SUMMARIZED, np.nan if is_failed else value),
                    **dict.fromkeys(COSTS, 1.0),
                }
            )
    return pd.DataFrame(rows)


def test_intervals_are_students():
    values = np.array([0.50, 0.52, 0.48])
    low, high = t_interval(values.mean(), values.std(ddof=1), 3)
    expected = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([low, high], expected)
    assert np.isnan(t_interval(0.5, np.nan, 1)).all()


def test_differences_are_paired_over_seeds():
    summary = summarize(trials_of(ACCURACY)).set_index("strategy")
    differences = np.array(ACCURACY["el2n"]) - np.array(ACCURACY["random"])
    row = summary.loc["el2n"]
    assert row["test_accuracy_vs_random"] == pytest.approx(differences.mean())
    expected = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    np.testing.assert_allclose([row["test_accuracy_vs_random_low"], row["test_accuracy_vs_random_high"]], expected)
    paired = stats.ttest_rel(ACCURACY["el2n"], ACCURACY["random"])
    assert row["test_accuracy_vs_random_p"] == pytest.approx(paired.pvalue)
    assert row["test_accuracy_vs_all"] == pytest.approx(np.mean(ACCURACY["el2n"]) - np.mean(ACCURACY["all"]))
    assert row["verdict"] == "better"
    assert summary.loc["all", "verdict"] == "not compared"


def test_a_failed_trial_leaves_its_pair_and_the_means():
    summary = summarize(trials_of(ACCURACY, failed=("random", 2))).set_index("strategy")
    assert summary.loc["random", ["num_complete", "num_failed"]].tolist() == [2, 1]
    assert summary.loc["random", "test_accuracy_mean"] == pytest.approx(0.51)
    assert summary.loc["el2n", "num_pairs_random"] == 2
    assert summary.loc["el2n", "test_accuracy_vs_random"] == pytest.approx((0.05 + 0.04) / 2)


def test_equal_differences_are_no_certainty():
    assert np.isnan(paired_p(0.01, 0.0, 3))
    assert paired_p(0.0, 0.0, 3) == 1.0


def test_holm_by_hand():
    adjusted = holm(np.array([0.01, 0.04, 0.03, np.nan]))
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, np.nan])


def test_a_baseline_that_does_not_depend_on_a_grid_key_stands_at_all_its_values():
    parts = []
    for pooling, shift in (("mean", 0.0), ("cls", 0.02)):
        part = trials_of({"el2n": [value + shift for value in ACCURACY["el2n"]]})
        parts.append(part.assign(**{"selection.embedding.pooling": pooling}))
    parts.append(trials_of({"random": ACCURACY["random"]}).assign(**{"selection.embedding.pooling": None}))
    summary = summarize(pd.concat(parts, ignore_index=True), ("selection.embedding.pooling",))
    rows = summary[summary["strategy"] == "el2n"].set_index("selection.embedding.pooling")
    assert rows["num_pairs_random"].tolist() == [3, 3]
    assert rows["test_accuracy_vs_random"].to_dict() == pytest.approx({"mean": 0.05, "cls": 0.07})
