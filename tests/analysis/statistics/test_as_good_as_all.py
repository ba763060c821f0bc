"""As good as training on everything: each number by SciPy, one family over all configurations, in either direction."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.results.as_good_claims import as_good_sentences, as_good_words, p_words
from raybert.analysis.statistics.as_good_as_all import as_good_as_all_table
from raybert.analysis.statistics.intervals import holm
from raybert.analysis.statistics.on_examples import MeanOverExamples
from raybert.tables import AS_GOOD_AS_ALL
from tests.analysis.statistics.test_comparisons import whole_pool
from tests.analysis.statistics.test_summary import trials_of

FULL = np.array([0.800, 0.812, 0.805, 0.809, 0.803])
NEAR = np.array([-0.001, 0.0005, -0.0004, 0.0008, -0.0012])


def table_of(metric="accuracy", **differences):
    """The table of strategies that differ from `all` by these."""
    sign = -1.0 if metric == "loss" else 1.0
    runs = {"all": list(FULL)} | {name: list(FULL[: len(own)] + sign * own) for name, own in differences.items()}
    return as_good_as_all_table(whole_pool(trials_of(runs)), metric=metric)


def test_all_configurations_are_one_family_of_one_sided_tests():
    table = table_of(random=NEAR - 0.1, el2n=NEAR, k_center=NEAR * 9)
    assert [*table] == AS_GOOD_AS_ALL.order()
    expected = [stats.ttest_1samp(own + 0.005, 0, alternative="greater").pvalue for own in (NEAR - 0.1, NEAR, NEAR * 9)]
    assert table["p"].tolist() == pytest.approx(expected)
    assert table["holm_p"].tolist() == pytest.approx(holm(np.array(expected)).tolist())
    low = stats.ttest_1samp(NEAR, 0, alternative="greater").confidence_interval(0.95).low
    assert table.loc[1, "difference_at_worst"] == pytest.approx(low)
    assert table["verdict"].tolist() == ["not shown", "as good", "not shown"]
    assert table["baseline_configuration"].tolist() == ["all"] * 3
    assert table["margin"].tolist() == [0.005] * 3


def test_a_loss_may_be_larger_by_the_margin():
    more, less = table_of("loss", el2n=NEAR), table_of(el2n=NEAR)
    assert more["verdict"].tolist() == ["as good"]
    assert more["p"].tolist() == pytest.approx(less["p"].tolist())
    assert more["difference_at_worst"].tolist() == pytest.approx((-less["difference_at_worst"]).tolist())
    assert as_good_sentences(more)[0].startswith("el2n: as good as all within 0.005 (+0.000, at worst +0.001, p")


def test_what_is_better_than_all_is_as_good():
    assert table_of(el2n=NEAR + 0.05)["verdict"].tolist() == ["as good"]


def test_two_seeds_say_nothing():
    table = table_of(el2n=NEAR[:2])
    assert table["verdict"].tolist() == ["not compared"]
    assert as_good_sentences(table) == []
    assert as_good_words(table) == ""


def test_without_all_there_is_nothing():
    table = as_good_as_all_table(trials_of({"random": [0.5, 0.6, 0.7], "el2n": [0.5, 0.6, 0.8]}))
    assert table.empty
    assert [*table] == AS_GOOD_AS_ALL.order()
    assert as_good_sentences(table) == []


def test_folds_have_the_variance_of_nadeau_and_bengio():
    rows = [trials_of({"all": [value], "el2n": [value + own]}) for value, own in zip(FULL, NEAR, strict=True)]
    trials = whole_pool(pd.concat([frame.assign(fold=fold) for fold, frame in enumerate(rows)], ignore_index=True))
    trials["trial_id"] += trials["fold"].astype(str)
    (p,) = as_good_as_all_table(trials)["p"]
    error = NEAR.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert p == pytest.approx(stats.t.sf((NEAR.mean() + 0.005) / error, 4))


@pytest.mark.parametrize(("size", "verdict"), [(40, "not settled"), (40_000, "as good")])
def test_a_small_test_set_settles_nothing(size, verdict):
    trials = whole_pool(trials_of({"all": list(FULL), "el2n": list(FULL + NEAR)}))
    right = np.tile([1.0, 0.0], size // 2)
    hits = {"all": right, "el2n": right[::-1] if size == 40 else right}
    table = as_good_as_all_table(trials, on_examples=MeanOverExamples(lambda name: hits[name.partition("-")[0]]))
    assert table["verdict"].tolist() == [verdict]
    first = as_good_sentences(table)[0]
    assert ("which test examples do not confirm: not settled" in first) == (verdict == "not settled")
    assert as_good_sentences(table)[-1] == (
        "As good as all: one-sided paired t-tests of a loss of sweep.margin or more at 5 % with Holm's correction over "
        "1 configuration, which a paired bootstrap over test examples must confirm."
    )


def test_sentences_name_what_is_as_good_and_count_the_others():
    table = table_of(random=NEAR - 0.1, el2n=NEAR, k_center=NEAR * 9)
    assert as_good_words(table) == f"el2n is as good as all within 0.5 points ({p_words(table.loc[1, 'holm_p'])})"
    assert as_good_sentences(table) == [
        f"el2n: as good as all within 0.5 points (+0.0 points, at worst -0.1, {p_words(table.loc[1, 'holm_p'])}, 5 seeds).",
        "Of 2 other configurations that is not shown.",
        "As good as all: one-sided paired t-tests of a loss of sweep.margin or more at 5 % with Holm's correction over 3 configurations.",
    ]
    both = table_of(el2n=NEAR, badge=NEAR + 0.02)
    assert as_good_words(both).startswith("el2n and badge are as good as all within 0.5 points (p")
    assert as_good_words(both).endswith(" each)")
    assert as_good_sentences(table_of(random=NEAR - 0.1)) == [
        "random is not shown to be as good as all within 0.5 points: one-sided paired t-tests of a loss of sweep.margin "
        "or more with Holm's correction."
    ]
    assert as_good_sentences(table_of(random=NEAR - 0.1, el2n=NEAR - 0.1))[0].startswith("None of 2 configurations is")


def test_nothing_finished_of_all_is_an_empty_table():
    trials = whole_pool(trials_of({"all": list(FULL), "el2n": list(FULL)}))
    table = as_good_as_all_table(trials.assign(status=np.where(trials["strategy"] == "all", "pending", "complete")))
    assert table.empty
    assert [*table] == AS_GOOD_AS_ALL.order()


def test_what_is_as_good_only_without_its_failed_runs_is_no_headline():
    trials = whole_pool(trials_of({"all": list(FULL), "el2n": list(FULL + NEAR)}, failed=("el2n", 4)))
    scored = trials.assign(status="complete", test_accuracy=trials["test_accuracy"].fillna(0.5))
    assert as_good_as_all_table(trials)["with_failures_verdict"].tolist() == [""]
    table = as_good_as_all_table(trials, scored=scored)
    assert table[["verdict", "with_failures_verdict", "num_dropped_pairs"]].to_numpy().tolist() == [
        ["as good", "not shown", 1]
    ]
    assert as_good_words(table) == ""
    assert as_good_sentences(table)[0].endswith(
        "4 seeds; 1 pair left out because a run failed), but only if failed runs do not count."
    )
