import numpy as np
import pytest
from scipy import stats

from raybert.evaluation.language_models.estimates import Estimate, mean_losses, mean_of, range_of, resampled_sums


def losses_of(seed, documents=60, seeds=3, shift=0.0, spread=0.0):
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 9, documents)
    per_piece = draw.gamma(8, 0.5, documents) + shift
    return np.stack([counts * (per_piece + spread * draw.normal()) for _ in range(seeds)]), counts


def test_resampled_means_are_those_of_a_loop_over_drawn_documents():
    losses, counts = losses_of(0)
    found = mean_losses(losses, counts, resamples=200, seed=5)
    assert found.value == pytest.approx(losses.sum() / (3 * counts.sum()))
    generator = np.random.default_rng(5)
    for draw in found.draws:
        times = generator.multinomial(60, np.full(60, 1 / 60))
        rows = np.repeat(np.arange(60), times)
        assert draw == pytest.approx(losses[:, rows].sum() / (3 * counts[rows].sum()))


def test_sums_are_the_same_in_chunks_of_any_size(monkeypatch):
    values = np.random.default_rng(0).random((2, 7))
    whole = resampled_sums(values, 20, 1)
    monkeypatch.setattr("raybert.evaluation.language_models.estimates._CHUNK", 21)
    np.testing.assert_allclose(resampled_sums(values, 20, 1), whole)


def test_error_and_interval_of_documents_and_seeds_are_those_by_hand():
    draws, of_seeds = np.array([1.0, 1.4, 0.8, 1.2]), np.array([0.9, 1.1, 1.3])
    found = Estimate(1.1, draws, (of_seeds,), 5)
    documents, seeds = np.var(draws, ddof=1) * 5 / 4, np.var(of_seeds, ddof=1) / 3
    freedom = (documents + seeds) ** 2 / (seeds**2 / 2 + documents**2 / 4)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(documents + seeds)
    assert found.interval() == pytest.approx((1.1 - half, 1.1 + half))
    assert found.seeds_deviation == pytest.approx(0.2)
    alone = Estimate(1.1, draws, (of_seeds[:1],), 5)
    half = stats.t.ppf(0.975, 4) * documents**0.5
    assert alone.interval() == pytest.approx((1.1 - half, 1.1 + half))
    assert alone.documents_interval() == pytest.approx(found.documents_interval()) == alone.interval()
    assert np.isnan(alone.seeds_deviation)


def test_differences_are_paired_over_documents_and_seeds():
    losses, counts = losses_of(1, spread=0.5)
    better = losses - 0.1 * counts
    one, other = (mean_losses(each, counts, resamples=300, seed=0) for each in (losses, better))
    found = one - other
    assert found.value == pytest.approx(0.1)
    assert found.interval() == pytest.approx((0.1, 0.1), abs=1e-9)
    unpaired = one - mean_losses(better[:2], counts, resamples=300, seed=0)
    assert unpaired.error[0] > 0.1
    assert (one - one).p_value() == 1.0


def test_seeds_that_are_not_paired_add_their_variances_as_welch_does():
    first, second = np.array([1.0, 1.2, 1.1, 0.9]), np.array([1.5, 1.9, 1.6])
    one, other = (Estimate(float(each.mean()), np.full(9, each.mean()), (each,), 9) for each in (first, second))
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert (one - other).p_value() == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("seeds", "fewest", "most"), [(1, 0.02, 0.09), (3, 0.0, 0.07)])
def test_equal_models_differ_in_about_one_pair_of_twenty_and_fewer_with_seeds(seeds, fewest, most):
    """Losses of two models with the same expectation on the same documents, 400 times."""
    found = []
    for number in range(400):
        draw = np.random.default_rng(number)
        counts = draw.integers(1, 9, 80)
        common = draw.gamma(8, 0.5, 80)
        one, other = (
            np.stack(
                [
                    counts * (common + draw.normal(0, 0.6, 80)) + counts * 0.05 * draw.normal() * (seeds > 1)
                    for _ in range(seeds)
                ]
            )
            for _ in range(2)
        )
        pair = [mean_losses(each, counts, resamples=100, seed=number) for each in (one, other)]
        found.append((pair[0] - pair[1]).p_value())
    assert fewest <= np.mean(np.array(found) < 0.05) <= most


def test_intervals_hold_the_truth_in_about_nineteen_of_twenty_samples():
    hits = 0
    for number in range(400):
        draw = np.random.default_rng(number)
        counts = draw.integers(1, 9, 120)
        losses = (counts * draw.gamma(8, 0.5, 120))[None]
        low, high = mean_losses(losses, counts, resamples=100, seed=number).interval()
        hits += low <= 4.0 <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_means_and_ranges_are_of_each_resample_and_seed():
    parts = [
        Estimate(1.0, np.array([1.0, 2.0]), (np.array([0.5, 1.5]),), 9),
        Estimate(3.0, np.array([3.0, 1.0]), (np.array([3.0, 3.0]),), 7),
    ]
    assert (mean_of(parts).value, mean_of(parts).draws.tolist(), mean_of(parts).of_seeds.tolist()) == (
        2.0,
        [2.0, 1.5],
        [1.75, 2.25],
    )
    assert (range_of(parts).value, range_of(parts).draws.tolist(), range_of(parts).of_seeds.tolist()) == (
        2.0,
        [2.0, 1.0],
        [2.5, 1.5],
    )


def test_whole_groups_are_drawn_as_a_loop_over_drawn_groups_does():
    losses, counts = losses_of(3)
    groups = np.random.default_rng(9).integers(0, 6, 60)
    found = mean_losses(losses, counts, resamples=200, seed=5, groups=groups)
    assert found.num_units == 6
    generator = np.random.default_rng(5)
    for draw in found.draws:
        times = generator.multinomial(6, np.full(6, 1 / 6))
        rows = np.concatenate([np.flatnonzero(groups == group) for group in np.repeat(np.arange(6), times)])
        assert draw == pytest.approx(losses[:, rows].sum() / (3 * counts[rows].sum()))


def test_a_group_for_every_document_is_the_same_as_none():
    losses, counts = losses_of(4)
    one = mean_losses(losses, counts, resamples=200, seed=5, groups=np.arange(60))
    assert one.draws.tolist() == mean_losses(losses, counts, resamples=200, seed=5).draws.tolist()


@pytest.mark.parametrize("num_groups", [3, 8, 25])
def test_intervals_over_groups_hold_the_truth_where_those_over_documents_do_not(num_groups):
    """Documents of a group share a part of their loss: 200 samples of groups of 12 documents."""
    hits = {"groups": 0, "documents": 0}
    for number in range(200):
        draw = np.random.default_rng(number)
        groups = np.repeat(np.arange(num_groups), 12)
        counts = draw.integers(1, 9, len(groups))
        losses = (counts * (4 + 0.5 * draw.normal(size=num_groups)[groups] + draw.normal(size=len(groups))))[None]
        for name, given in (("groups", groups), ("documents", None)):
            low, high = mean_losses(losses, counts, resamples=100, seed=number, groups=given).interval()
            hits[name] += low <= 4.0 <= high
    assert 0.91 <= hits["groups"] / 200 <= 0.98
    assert hits["documents"] / 200 < 0.82


def test_one_group_says_nothing_of_others():
    losses, counts = losses_of(0)
    found = mean_losses(losses, counts, resamples=100, seed=0, groups=np.zeros(60, int))
    assert np.isnan(found.interval()).all()
    assert np.isnan(found.p_value())


def test_nothing_measured_is_an_error():
    with pytest.raises(ValueError, match="must have a piece or word that is measured, got none"):
        mean_losses(np.zeros((1, 3)), np.zeros(3, int), resamples=100, seed=0)
