"""What decides with how many replicates: each test against enumeration, SciPy or a published example."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.comparisons import compare, default_pairs
from raybert.analysis.statistics.decision import (
    EVIDENCE,
    bca_interval,
    decide,
    further_evidence,
    more_seeds,
    sign_flip_p,
)
from raybert.analysis.statistics.intervals import holm, paired_p
from raybert.analysis.statistics.on_examples import MeanOverExamples
from raybert.analysis.statistics.verdicts import method_sentences, verdict_sentences
from tests.analysis.statistics.test_summary import trials_of

RNG = np.random.default_rng(4)
RANDOM = RNG.normal(0.7, 0.02, 12)
CLOSE = RNG.normal(0.004, 0.02, 12)
FAR = 0.05 + RNG.normal(0, 0.01, 12)


def by_enumeration(differences):
    """The share of all sign flips whose mean is as far from zero."""
    flipped = [np.mean(signs * differences) for signs in itertools.product([1, -1], repeat=len(differences))]
    return np.mean(np.abs(flipped) >= abs(differences.mean()) - 1e-12)


@pytest.mark.parametrize("differences", [CLOSE[:5], FAR[:5], CLOSE[:9], FAR[:9]], ids=["5", "5 far", "9", "9 far"])
def test_sign_flips_are_all_that_there_are(differences):
    assert sign_flip_p(differences) == pytest.approx(by_enumeration(differences))


def test_sign_flips_of_n_differences_have_a_floor():
    assert sign_flip_p(np.stack([FAR[:5], -FAR[:5]])).tolist() == [2 / 2**5] * 2


def test_holm_and_nadeau_bengio_give_what_is_published():
    # the four hypotheses of the article on Holm's method in Wikipedia
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # scikit-learn, "Statistical comparison of models using grid search": t 2.611 of 100 differences becomes .750
    assert paired_p(0.2611, 1.0, 100, 30 / 270) / 2 == pytest.approx(0.227, abs=5e-4)
    assert paired_p(0.2611, 1.0, 100) / 2 == pytest.approx(0.005, abs=5e-4)


def test_a_bca_interval_and_an_interquartile_mean_begin_with_ten():
    nine, ten = (further_evidence(FAR[:n], None, has_folds=False) for n in (9, 10))
    assert np.isnan([nine["bca_low"], nine["interquartile_mean"]]).all()
    assert nine["sign_flip_p"] == 2 / 2**9
    assert ten["interquartile_mean"] == pytest.approx(np.sort(FAR[:10])[2:8].mean())
    assert ten["bca_low"] < FAR[:10].mean() < ten["bca_high"]
    assert np.isnan(bca_interval(np.full(10, 0.1))).all()
    assert np.isnan(list(further_evidence(FAR[:4], (0.1, 0.2), has_folds=False).values())).all()
    assert np.isnan(further_evidence(FAR[:10], None, has_folds=True)["sign_flip_p"])


@pytest.mark.parametrize(
    ("count", "found", "verdict"),
    [
        (3, {}, "better"),
        (3, {"holm_p": 0.06}, "no difference shown"),
        (3, {"p": np.nan, "holm_p": np.nan}, "not compared"),
        (5, {"examples_low": 0.01, "examples_high": 0.09, "sign_flip_p": 0.0625}, "better"),
        (5, {"examples_low": -0.01, "examples_high": 0.09}, "not settled"),
        (5, {"difference": -0.05, "examples_low": -0.09, "examples_high": -0.01}, "worse"),
        (8, {"examples_low": -0.01, "examples_high": 0.09, "holm_p": 0.06}, "no difference shown"),
        (9, {"sign_flip_p": 0.004}, "better"),
        (9, {"sign_flip_p": 0.06}, "not settled"),
        (9, {"folds": 9}, "better"),  # there are no flips of folds
    ],
)
def test_what_decides_depends_on_the_number_of_replicates(count, found, verdict):
    row = {"difference": 0.05, "num_replicates": count, "folds": 1, "p": 0.01, "holm_p": 0.02}
    table = pd.DataFrame([row | dict.fromkeys(EVIDENCE, np.nan) | found])
    assert decide(table, pd.Series(["random"]), 1.0).tolist() == [verdict]
    if verdict == "better":
        assert decide(table, pd.Series(["random"]), -1.0).tolist() == ["worse"]


def test_what_seeds_find_and_test_examples_do_not_is_not_settled():
    trials = trials_of({"random": list(RANDOM[:5]), "el2n": list(RANDOM[:5] + FAR[:5])})
    good, bad = np.ones(40), np.repeat([1.0, 0.0], 20)
    clear = compare(trials, on_examples=MeanOverExamples(lambda name: good if name.startswith("el2n") else bad))
    assert clear["verdict"].tolist() == ["better"]
    assert 0.3 < clear["examples_low"].item() < 0.5 < clear["examples_high"].item() < 0.7
    assert verdict_sentences(clear)[0].endswith("5 seeds, sign-flip p 0.0625)")
    assert (
        "over 1 comparison, which a paired bootstrap over test examples must confirm; sign flips of 5 seeds have a p of "
        "0.0625 at least."
    ) in method_sentences(clear)[0]
    unclear = compare(trials, on_examples=MeanOverExamples(lambda name: bad[::-1] if name.startswith("el2n") else bad))
    assert unclear["verdict"].tolist() == ["not settled"]
    assert verdict_sentences(unclear)[0].startswith("el2n: difference to random not settled (+")
    assert compare(trials)["verdict"].tolist() == ["better"]  # where no predictions are left, seeds decide


def test_what_draws_anew_stands_beside_random_epoch_in_the_family_of_random():
    trials = trials_of({name: list(RANDOM[:3] + RNG.normal(0, 0.01, 3)) for name in ("random", "random_epoch", "rho")})
    trials["budget_kind"] = np.where(trials["strategy"] == "random", "distinct", "per_epoch")
    assert default_pairs(trials) == [("random", "random_epoch"), ("random_epoch", "rho")]
    table = compare(trials)
    assert table["holm_p"].tolist() == holm(table["p"].to_numpy()).tolist()
    assert "over 2 comparisons" in method_sentences(table)[0]
    assert default_pairs(trials[trials["strategy"] != "random_epoch"]) == [("random", "rho")]


def test_more_seeds_are_those_whose_t_test_passes_at_the_upper_limit_of_the_deviation():
    difference, std, count, tests = 0.05, 0.02, 5, 4
    upper = std / np.sqrt(stats.chi2.ppf(0.05, count - 1) / (count - 1))

    def is_enough(total):
        return 2 * tests * stats.t.sf(difference / (upper / np.sqrt(total)), total - 1) <= 0.05

    needed = next(total for total in range(count + 1, 40) if is_enough(total)) - count
    assert more_seeds(difference, std, count, tests) == needed == 5
    assert more_seeds(0.001, std, count, tests) == np.inf
