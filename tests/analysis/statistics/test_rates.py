"""How often verdicts are wrong where nothing differs, and what they find: a small part of the benchmark of rates."""

import numpy as np
import pytest

from tests.benchmarks.statistics_rates import (
    equal_families,
    families_at_the_edge,
    found_as_good,
    found_better,
    found_equal,
    shifted_families,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("seeds", "families"), [(3, 400), (5, 400), (9, 60)])
def test_no_more_than_six_percent_of_families_have_a_false_winner(seeds, families):
    differences = equal_families(families, seeds, np.random.default_rng(seeds))
    assert found_better(differences).any(axis=1).mean() <= 0.06


def test_one_of_ten_strategies_is_found_as_often_as_the_t_test_with_holm_can():
    generator = np.random.default_rng(0)
    for shift, seeds, expected in ((1.0, 10, 0.37), (2.1, 10, 0.99), (2.1, 5, 0.43)):
        differences = shifted_families(1_000, seeds, 0.0, generator)
        differences[:, 0] += shift
        assert found_better(differences, t_only=True)[:, 0].mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_no_more_than_six_percent_of_families_that_lose_the_margin_have_one_that_is_as_good(seeds):
    differences = families_at_the_edge(1_000, seeds, np.random.default_rng(seeds))
    assert found_as_good(differences).any(axis=1).mean() <= 0.06
    assert found_equal(differences).any(axis=1).mean() <= 0.06
