"""Intervals that stay in the range of what is measured, and are none where there is nothing to base them on."""

import numpy as np
import pytest
from scipy import stats

from raybert.analysis.statistics.intervals import (
    difference_interval,
    mean_interval,
    paired_p,
    t_interval,
    two_values,
)


def moments(values):
    return np.mean(values), np.std(values, ddof=1), len(values)


def test_the_interval_of_a_share_is_students_on_the_logit_scale():
    mean, std, count = moments([0.985, 0.99, 0.998])
    half = stats.t.ppf(0.975, 2) * std / np.sqrt(3) / (mean * (1 - mean))  # d logit / dp = 1 / (p (1 - p))
    logit = np.log(mean / (1 - mean))
    low, high = mean_interval(mean, std, count)
    np.testing.assert_allclose([low, high], 1 / (1 + np.exp([half - logit, -half - logit])))
    assert 0 < low < mean < high < 1
    assert t_interval(mean, std, count)[1] > 1  # which the plain one does not


@pytest.mark.parametrize("values", [(0.74, 0.76, 0.77), (0.4, 0.5, 0.55, 0.6), (0.3, 0.32, 0.31, 0.33, 0.3)])
def test_in_the_middle_of_the_range_it_is_nearly_the_plain_one(values):
    for found, plain in zip(mean_interval(*moments(values)), t_interval(*moments(values)), strict=True):
        assert found == pytest.approx(plain, abs=0.006)


@pytest.mark.parametrize(
    ("values", "lowest", "highest"),
    [
        ((0.999, 1.0, 1.0), 0.0, 1.0),  # PR-AUC of nearly perfect models
        ((0.0, 0.0, 0.004), 0.0, 1.0),
        ((0.5, 0.98, 0.99), 0.0, 1.0),  # one of three has collapsed
        ((-0.9, 0.1, 0.97), -1.0, 1.0),  # Matthews' correlation
        ((0.001, 0.3, 1.9), 0.0, 2.0),  # Brier score of several classes
        ((0.001, 0.02, 3.0), 0.0, np.inf),  # cross entropy
        ((0.9,) * 9 + (1.0,), 0.0, 1.0),
    ],
)
def test_no_interval_leaves_the_range(values, lowest, highest):
    mean, std, count = moments(values)
    low, high = mean_interval(mean, std, count, lowest=lowest, highest=highest)
    assert lowest <= low < mean < high <= highest
    largest = highest - lowest
    ends = difference_interval(mean, std, count, largest=largest)
    assert max(abs(end) for end in ends) <= largest


def test_a_loss_has_its_interval_on_the_logarithmic_scale():
    mean, std, count = moments([0.1, 0.2, 0.6])
    half = stats.t.ppf(0.975, 2) * std / np.sqrt(3) / mean
    ends = mean_interval(mean, std, count, highest=np.inf)
    np.testing.assert_allclose(ends, mean * np.exp([-half, half]))


@pytest.mark.parametrize("values", [(0.5,), (0.9, 0.93), (0.8, 0.8, 0.8), (1.0,) * 5])
def test_there_is_none_of_two_values_and_of_equal_ones(values):
    mean, count = np.mean(values), len(values)
    std = np.std(values, ddof=1) if count > 1 else np.nan
    for interval in (t_interval, mean_interval, difference_interval):
        assert np.isnan(interval(mean, std, count)).all()
    assert np.isnan(paired_p(mean, std, count))


def test_two_values_follow_from_their_mean_and_deviation():
    mean, std, _ = moments([0.931, 0.902])
    assert two_values(mean, std) == pytest.approx((0.902, 0.931))


def test_an_interval_of_a_difference_holds_zero_exactly_where_the_test_finds_nothing():
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = generator.normal(0.02, 0.02, 4)
        low, high = difference_interval(*moments(values))
        assert (low <= 0 <= high) == (paired_p(*moments(values)) >= 0.05)


def coverage(interval, mean, std, count, families=4000):
    """Return how often the interval of so many beta distributed shares holds their mean."""
    size = mean * (1 - mean) / std**2 - 1
    shares = np.random.default_rng(3).beta(mean * size, (1 - mean) * size, (families, count))
    low, high = interval(shares.mean(axis=1), shares.std(axis=1, ddof=1), np.full(families, count))
    return float(((low <= mean) & (mean <= high)).mean())


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.03), (0.75, 0.01), (0.95, 0.03), (0.99, 0.008), (0.995, 0.005)])
@pytest.mark.parametrize("count", [3, 5])
def test_it_covers_the_truth_near_the_end_of_the_range_where_the_plain_one_does_not(mean, std, count):
    assert 0.93 < coverage(mean_interval, mean, std, count) < 0.97
    if mean > 0.98:
        assert coverage(t_interval, mean, std, count) < 0.93
