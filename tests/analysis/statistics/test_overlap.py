from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raybert.analysis.statistics.overlap import (
    compare_subsets,
    expected_jaccard,
    overlap_table,
    rank_correlations,
    same_choices,
    same_rankings,
)
from raybert.analysis.statistics.subsets import Subset

N = 10


def subset(strategy, *positions, seed=0, budget=4, kind="distinct", scores=None, n=N):
    passes = np.bincount(positions, minlength=n)
    return Subset(strategy, budget, kind, seed, 0, passes, None if scores is None else np.asarray(scores, np.float32))


def pairs_of(*subsets):
    seeds = sorted({one.seed for one in subsets})
    return pd.concat([compare_subsets([one for one in subsets if one.seed == seed]) for seed in seeds])


def test_jaccard_is_the_shared_part_of_the_union():
    (row,) = compare_subsets([subset("a", 0, 1, 2, 3), subset("b", 2, 3, 4, 5)]).to_dict("records")
    assert (row["strategy_a"], row["strategy_b"], row["pool_size"]) == ("a", "b", 10)
    assert row["jaccard"] == pytest.approx(2 / 6)
    assert np.isnan(row["spearman"])
    assert np.isnan(row["ranking"])


def test_several_passes_count_as_the_set_of_all_that_was_trained_on():
    epoch = subset("epoch", 0, 1, 1, 2, 2, 2, kind="per_epoch")
    (row,) = compare_subsets([epoch, subset("once", 1, 2, 8)]).to_dict("records")
    assert (row["num_a"], row["num_b"]) == (3, 3)
    assert row["jaccard"] == pytest.approx(2 / 4)


def test_chance_by_enumeration():
    values = [
        len({*a} & {*b}) / len({*a} | {*b}) for a, b in product(combinations(range(6), 2), combinations(range(6), 3))
    ]
    assert expected_jaccard(2, 3, 6) == pytest.approx(np.mean(values))
    # One of 2 and one of 2: the same with probability 1/2.
    assert expected_jaccard(1, 1, 2) == pytest.approx(0.5)
    assert expected_jaccard(4, 10, 10) == pytest.approx(0.4)


@pytest.mark.slow
def test_random_draws_agree_by_chance():
    generator = np.random.default_rng(3)
    table = pd.concat(
        compare_subsets([subset(name, *generator.permutation(200)[:40], n=200) for name in "ab"]) for _ in range(300)
    )
    assert table["jaccard"].mean() == pytest.approx(table["jaccard_by_chance"].iloc[0], abs=0.005)


def test_strategies_without_a_budget_are_left_out():
    table = compare_subsets([subset("a", 0, 1), subset("all", *range(N), kind="none", budget=N), subset("b", 1, 2)])
    assert table[["strategy_a", "strategy_b"]].to_numpy().tolist() == [["a", "b"]]


def test_one_strategy_agrees_with_nobody():
    pairs = compare_subsets([subset("a", 0, 1)])
    assert pairs.empty
    assert overlap_table(pairs).empty
    assert same_rankings(pairs) == []
    assert same_choices(pairs) == []


def test_spearman_by_hand():
    # Ranks 1 2 3 4 and 2 1 4 3: squared differences sum to 4, 1 - 6 * 4 / (4 * 15) = .6
    matrix = rank_correlations([np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 40, 30]), None])
    assert matrix[0, 1] == pytest.approx(0.6)
    assert np.isnan(matrix[2]).all()
    assert np.isnan(matrix[:, 2]).all()


def test_spearman_is_over_what_both_scored_and_knows_infinity():
    one = np.array([1.0, 2, 3, 4, np.nan, 9, 5], np.float32)
    other = np.array([2.0, 1, np.inf, 3, 7, np.nan, 4], np.float32)
    known = [0, 1, 2, 3, 6]
    expected = stats.spearmanr(one[known], np.where(np.isinf(other), 1e9, other)[known]).statistic
    assert rank_correlations([one, other])[0, 1] == pytest.approx(expected)


def test_constant_or_few_scores_rank_nothing():
    ranked = np.arange(4.0)
    assert np.isnan(rank_correlations([ranked, np.ones(4)])[0, 1])
    assert np.isnan(rank_correlations([ranked, np.array([1.0, 2, np.nan, np.nan])])[0, 1])


@pytest.mark.slow
@given(st.integers(0, 1000))
def test_a_permuted_pool_gives_the_same_table(seed):
    generator = np.random.default_rng(seed)
    order = generator.permutation(N)
    subsets = [
        replace(subset(name, *generator.permutation(N)[:4]), pool_scores=generator.permutation(N).astype(np.float32))
        for name in "abc"
    ]
    permuted = [replace(one, passes=one.passes[order], pool_scores=one.pool_scores[order]) for one in subsets]
    pd.testing.assert_frame_equal(compare_subsets(subsets), compare_subsets(permuted))


def test_the_table_is_the_mean_over_seeds():
    pairs = pairs_of(
        *[subset("a", 0, 1, 2, 3, seed=seed) for seed in (0, 1)],
        *[subset("b", *chosen, seed=seed) for seed, chosen in enumerate([(2, 3, 4, 5), (0, 1, 2, 3)])],
        subset("c", 0, 1, 2, 3, seed=1),
    )
    table = overlap_table(pairs).set_index(["strategy_a", "strategy_b"])
    assert table.loc[("a", "b"), "jaccard"] == pytest.approx((1 / 3 + 1) / 2)
    assert table.loc[("a", "b"), "num_seeds"] == 2
    assert table.loc[("a", "c"), "num_seeds"] == 1
    # P(x shared) of two fours of ten: C(4,x) C(6,4-x) / 210 = 15, 80, 90, 24, 1
    by_hand = np.array([15, 80, 90, 24, 1]) @ np.array([0, 1 / 7, 2 / 6, 3 / 5, 1]) / 210
    assert table["jaccard_by_chance"].tolist() == pytest.approx([by_hand] * 3)


def two_class_scores(generator, n=4000):
    """Scores of the published strategies from the probability of the label's class."""
    right = generator.beta(2, 1, n)
    least = np.minimum(right, 1 - right)
    entropy = -(least * np.log(least) + (1 - least) * np.log(1 - least))
    return {
        "el2n": np.sqrt(2) * (1 - right),
        "loss": -np.log(right),
        "aum": 1 - 2 * right,
        "entropy": entropy,
        "margin": 2 * least - 1,
        "least_confidence": least,
        "perplexity": generator.normal(size=n),
    }


def test_two_classes_make_two_rankings():
    subsets = []
    for seed in range(3):
        scores = two_class_scores(np.random.default_rng(seed))
        subsets += [subset(name, 0, 1, seed=seed, scores=values, n=4000) for name, values in scores.items()]
    assert same_rankings(pairs_of(*subsets)) == [
        {"el2n": 1, "loss": 1, "aum": 1},
        {"entropy": 1, "margin": 1, "least_confidence": 1},
    ]


def test_a_reversed_ranking_is_named_as_such():
    scores = np.arange(N)
    pairs = pairs_of(subset("a", 0, scores=scores), subset("b", 1, scores=-scores), subset("c", 2, scores=scores**2))
    assert same_rankings(pairs) == [{"a": 1, "b": -1, "c": 1}]


def test_rankings_that_differ_at_one_seed_are_not_the_same():
    scores, swapped = np.arange(N), np.array([1, 0, *range(2, N)])
    pairs = pairs_of(
        *[subset("a", 0, scores=scores, seed=seed) for seed in (0, 1)],
        subset("b", 1, scores=scores, seed=0),
        subset("b", 1, scores=swapped, seed=1),
    )
    assert pairs["ranking"].tolist() == [1, 0]
    assert same_rankings(pairs) == []


def test_ties_in_one_score_do_not_make_another_ranking_unless_they_are_nearly_all():
    scores = np.arange(2000.0)
    few_ties, flag = np.maximum(scores, 50), (scores > 1000).astype(float)
    pairs = pairs_of(
        *[subset(name, 0, scores=s, n=2000) for name, s in zip("abc", (scores, few_ties, flag), strict=True)]
    )
    assert same_rankings(pairs) == [{"a": 1, "b": 1}]


def test_strategies_without_pool_scores_have_no_ranking():
    pairs = pairs_of(subset("a", 0, scores=np.arange(N)), subset("b", 0))
    assert same_rankings(pairs) == []


def test_same_choices_at_every_seed_are_found_below_the_whole_pool():
    pairs = pairs_of(
        *[subset("once", 0, 1, seed=seed) for seed in (0, 1)],
        *[subset("rounds", 1, 0, 0, seed=seed) for seed in (0, 1)],
        subset("sometimes", 0, 1, seed=0),
        subset("sometimes", 0, 2, seed=1),
    )
    assert same_choices(pairs) == [("once", "rounds")]
    everything = [subset(name, *range(N), budget=N) for name in "ab"]
    assert same_choices(compare_subsets(everything)) == []
