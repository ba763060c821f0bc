"""Tests at a margin: equivalence as statsmodels has it, non-inferiority as SciPy's one-sided t-test on moved differences."""

import numpy as np
import pytest
from scipy import stats

from raybert.analysis.statistics.comparisons import compare
from raybert.analysis.statistics.intervals import holm
from raybert.analysis.statistics.margins import equivalence_p, non_inferiority_p, worst_gain
from raybert.analysis.statistics.on_examples import MeanOverExamples
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import method_sentences, pair_sentences
from tests.analysis.statistics.test_summary import trials_of

OWN = np.array([0.801, 0.812, 0.798, 0.806, 0.809])
FULL = np.array([0.803, 0.811, 0.800, 0.804, 0.810])


def moments(differences):
    return differences.mean(), differences.std(ddof=1), len(differences)


@pytest.mark.parametrize(
    ("number", "margin", "expected"),
    [
        # statsmodels 0.15.0: statsmodels.stats.weightstats.ttost_paired(OWN, FULL, -0.005, 0.005)[0]
        (5, 0.005, 0.0023980936528681398),
        # ttost_paired([.795, .812, .798], [.803, .811, .800], -0.02, 0.02)[0]
        (3, 0.02, 0.011687758821787853),
    ],
)
def test_equivalence_is_the_tost_of_statsmodels(number, margin, expected):
    differences = OWN - FULL if number == 5 else np.array([0.795, 0.812, 0.798]) - np.array([0.803, 0.811, 0.800])
    assert equivalence_p(*moments(differences), margin) == pytest.approx(expected, rel=1e-9)
    assert equivalence_p(*moments(-differences), margin) == pytest.approx(expected, rel=1e-9)


def test_non_inferiority_is_a_one_sided_t_test_of_differences_moved_by_the_margin():
    generator = np.random.default_rng(0)
    for count in (3, 5, 10):
        differences = generator.normal(0, 0.01, count)
        expected = stats.ttest_1samp(differences + 0.005, 0, alternative="greater")
        assert non_inferiority_p(*moments(differences), 0.005) == pytest.approx(expected.pvalue)
        low = stats.ttest_1samp(differences, 0, alternative="greater").confidence_interval(0.95).low
        assert worst_gain(*moments(differences)) == pytest.approx(low)


def test_a_p_below_5_percent_is_an_interval_inside_the_margin():
    generator = np.random.default_rng(1)
    for _ in range(200):
        differences = generator.normal(0, 0.004, 4)
        mean, std, count = moments(differences)
        half = stats.t.ppf(0.95, 3) * std / 2
        assert (equivalence_p(mean, std, count, 0.005) < 0.05) == (max(abs(mean - half), abs(mean + half)) < 0.005)
        assert (non_inferiority_p(mean, std, count, 0.005) < 0.05) == (mean - half > -0.005)


def test_over_folds_the_variance_is_that_of_nadeau_and_bengio():
    mean, std, folds, margin = 0.001, 0.004, 5, 0.01
    error = std * np.sqrt(1 / folds + 1 / (folds - 1))
    expected = stats.t.sf((mean + margin) / error, folds - 1)
    assert non_inferiority_p(mean, std, folds, margin, 1 / (folds - 1)) == pytest.approx(expected)
    assert equivalence_p(mean, std, folds, margin, 1 / (folds - 1)) == pytest.approx(
        stats.t.sf((margin - mean) / error, folds - 1)
    )


def test_two_replicates_and_equal_ones_have_no_test():
    assert np.isnan(non_inferiority_p(0.1, 0.01, 2, 0.005))
    assert np.isnan(equivalence_p(0.0, 0.0, 5, 0.005))
    assert np.isnan(worst_gain(0.1, 0.0, 5))


SMALL = np.array([0.0004, -0.0003, 0.0001, 0.0002, -0.0002])
"""Differences far inside of half a point."""


def verdicts(on_examples=None, **strategies):
    random = np.array([0.70, 0.72, 0.69, 0.71, 0.70])
    trials = trials_of({"random": list(random)} | {name: list(random + own) for name, own in strategies.items()})
    return compare(trials, on_examples=on_examples)


def test_no_difference_is_said_only_by_two_one_sided_tests():
    table = verdicts(el2n=SMALL, k_center=SMALL * 20, badge=SMALL + 0.002)
    assert table["verdict"].tolist() == ["no difference", "no difference shown", "better"]
    assert table["equivalence_holm_p"].tolist() == holm(table["equivalence_p"].to_numpy()).tolist()
    assert table.loc[0, "equivalence_p"] == pytest.approx(equivalence_p(*moments(SMALL), 0.005))
    assert np.isnan(table.loc[0, "more_seeds"])
    assert not np.isnan(table.loc[1, "more_seeds"])
    equal, open_, small = pair_sentences(table)
    assert equal.startswith("el2n: no difference to random beyond 0.5 points (+0.0 points [")
    assert open_.startswith("k_center: no difference to random shown (")
    assert small.startswith("badge: better than random, by less than 0.5 points (+0.2 points [")
    (method,) = method_sentences(table)
    assert "No difference beyond 0.5 points: two one-sided t-tests (TOST), with Holm's correction, too." in method


def test_test_examples_must_confirm_that_there_is_no_difference():
    few, many = np.tile([1.0, 0.0], 20), np.tile([1.0, 0.0], 20_000)
    others = {40: few[::-1].copy(), 40_000: many}
    for hits, expected in ((few, "no difference shown"), (many, "no difference")):
        own = others[len(hits)]
        on_examples = MeanOverExamples(lambda name, own=own, hits=hits: own if name.startswith("el2n") else hits)
        table = verdicts(on_examples, el2n=SMALL)
        assert table["verdict"].tolist() == [expected]


def test_a_margin_is_half_a_point_of_a_share_and_its_number_of_a_loss():
    assert Scale("accuracy").margin(0.005) == "0.5 points"
    assert Scale("accuracy").margin(0.01) == "1 point"
    assert Scale("loss").margin(0.005) == "0.005"
