"""When another round is no longer worth it: measures against scikit-learn and scipy, criteria by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

from raybert.annotation.stopping import Certainty, cohens_kappa, criteria_met, measure, normalised_entropy


def test_kappa_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    for num_classes in (2, 3, 7):
        one = generator.integers(num_classes, size=200).astype(str)
        other = np.where(generator.random(200) < 0.7, one, generator.integers(num_classes, size=200).astype(str))
        assert cohens_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    assert cohens_kappa(["a", "a"], ["a", "a"]) == 1.0  # scikit-learn: NaN
    assert cohens_kappa(["a", "b"], ["b", "a"]) == -1.0


def test_entropy_is_a_share_of_that_of_equal_probabilities():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    assert normalised_entropy(probs) == pytest.approx(entropy(probs, axis=1) / np.log(4))
    assert normalised_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx([0, 1])


def _state(ids, predicted):
    return pd.DataFrame({"example_id": ids, "predicted": predicted, "confidence": 0.75, "entropy": 0.5})


def test_two_models_are_compared_on_what_both_were_asked_about():
    before = _state(list("abcdef"), list("xxyyyx"))
    now = _state(list("cdefg"), list("yyxxx"))  # a and b have labels by now; g was added to the source
    certainty = measure(now, before)
    assert certainty.changed == pytest.approx(1 / 4)  # of c, d, e, f, only e
    assert certainty.kappa == pytest.approx(cohen_kappa_score(list("yyxx"), list("yyyx")))
    assert (certainty.mean_confidence, certainty.mean_entropy) == (0.75, 0.5)
    alone = measure(now, None)
    assert np.isnan([alone.changed, alone.kappa]).all()
    assert np.isnan(measure(now, _state(["z"], ["x"])).kappa)


@pytest.mark.parametrize(
    ("kappas", "changed", "entropy", "met"),
    [
        ([np.nan, 0.99, 0.99, 0.99], 0.01, 0.5, ["kappa"]),
        ([np.nan, 0.98, 0.99, 1.0], 0.01, 0.5, ["kappa"]),
        ([np.nan, 0.97, 0.99, 1.0], 0.01, 0.5, []),
        ([np.nan, 1.0, 1.0], 0.01, 0.5, []),  # three comparisons, not two
        ([0.5, 0.5, 0.5], 0.0, 0.5, ["classification change"]),
        ([0.5, 0.5, 0.5], 0.1, 0.04, ["uncertainty"]),
        ([np.nan], np.nan, np.nan, []),
    ],
)
def test_criteria(kappas, changed, entropy, met):
    assert [line.split(" (")[0] for line in criteria_met(kappas, changed, entropy)] == met


def test_without_a_model_nothing_is_certain():
    assert all(np.isnan(value) for value in vars(Certainty()).values())
