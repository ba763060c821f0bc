"""Strategies over data sets: the example of Demsar (2006), table 6, and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from raybert.analysis.statistics.data_sets import rank_data_sets

DEMSAR = pd.DataFrame(
    [
        (0.763, 0.768, 0.771, 0.798),
        (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898),
        (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685),
        (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962),
        (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975),
        (0.957, 0.978, 0.946, 0.970),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)


def test_ranks_critical_difference_and_holm_are_those_of_the_published_example():
    found = rank_data_sets(DEMSAR, "accuracy", "C4.5")
    assert found.ranks.round(3).to_dict() == {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert found.difference == pytest.approx(1.25, abs=0.005)
    assert found.friedman_p == friedmanchisquare(*DEMSAR.to_numpy().T).pvalue
    # z = 2.416, 2.342, 0.512; p = .016, .019, .607
    assert found.holm_p.drop("C4.5").to_dict() == pytest.approx(
        {"C4.5+m+cf": 3 * 0.0157, "C4.5+m": 3 * 0.0157, "C4.5+cf": 0.608}, abs=0.001
    )
    assert np.isnan(found.holm_p["C4.5"])
    assert found.differs
    assert found.verdicts("C4.5").to_dict() == {
        "C4.5+m+cf": "better",
        "C4.5+m": "better",
        "C4.5+cf": "no difference shown",
        "C4.5": "not compared",
    }


def test_less_is_better_turns_the_ranks():
    assert rank_data_sets(1 - DEMSAR, "loss").ranks.to_dict() == rank_data_sets(DEMSAR, "accuracy").ranks.to_dict()


@pytest.mark.parametrize(
    "values", [DEMSAR.head(4), DEMSAR[["C4.5", "C4.5+m"]]], ids=["four data sets", "two strategies"]
)
def test_too_few_are_ranked_and_not_tested(values):
    found = rank_data_sets(values, "accuracy", "C4.5")
    assert found.ranks.sum() == pytest.approx(sum(range(1, values.shape[1] + 1)))
    assert (found.is_tested, found.differs) == (False, False)
    assert set(found.verdicts("C4.5")) == {"not compared"}


def test_without_any_difference_nothing_is_better_than_the_baseline():
    found = rank_data_sets(pd.DataFrame(np.ones((6, 3)), columns=list("abc")), "accuracy", "a")
    assert (found.friedman_p, found.differs) == (1.0, False)
    assert found.verdicts("a").tolist() == ["not compared", "no difference shown", "no difference shown"]
    assert set(found.verdicts(None)) == {"not compared"}
