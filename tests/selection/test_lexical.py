import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from raybert.selection.scorers.lexical import (
    hdd,
    lexical_score,
    lexical_statistics,
    mattr,
    mtld,
    ttr,
    word_tokens,
)

GENERATOR = np.random.default_rng(0)


def random_words(count: int, vocabulary: int) -> list[str]:
    return [f"w{i}" for i in np.random.default_rng([count, vocabulary]).zipf(1.4, count) % vocabulary]


def test_words_are_lower_case_and_keep_inner_apostrophes_and_hyphens():
    assert word_tokens("Don't re-use THE 'word' - it\u2019s 3.5!") == [
        "don't",
        "re-use",
        "the",
        "word",
        "it\u2019s",
        "3",
        "5",
    ]
    assert word_tokens("... !?") == []


def test_short_values_by_hand():
    assert ttr(["a", "b", "a", "c"]) == 0.75
    assert mattr(["a", "b", "a", "c"], window=2) == 1.0
    assert mattr(["a", "a", "a", "b"], window=2) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert mtld([str(i) for i in range(10)]) == 10
    assert 19 <= mtld([str(i) for i in range(9)] + ["0"]) <= 28.0001
    # Two factors of two words each, forward and backward.
    assert mtld(["a", "a", "b", "b"]) == 2.0
    assert all(math.isnan(function([])) for function in (ttr, mattr, hdd, mtld))


@pytest.mark.parametrize(("count", "vocabulary"), [(1, 1), (17, 9), (41, 12), (42, 30), (60, 20), (200, 50), (43, 2)])
def test_hdd_is_the_sum_over_types_of_the_chance_to_be_drawn(count, vocabulary):
    words = random_words(count, vocabulary)
    draws = min(42, count)
    expected = sum((1 - hypergeom.pmf(0, count, words.count(word), draws)) / draws for word in set(words))
    assert hdd(words) == pytest.approx(expected, rel=1e-9)


def test_hdd_of_a_text_that_is_drawn_whole_is_its_type_token_ratio():
    words = random_words(30, 12)
    assert hdd(words) == ttr(words)


@pytest.mark.skipif(importlib.util.find_spec("lexicalrichness") is None, reason="lexicalrichness is not installed")
@pytest.mark.parametrize(("count", "vocabulary"), [(60, 25), (150, 40), (400, 90)])
def test_values_equal_those_of_lexicalrichness(count, vocabulary):
    from lexicalrichness import LexicalRichness

    words = random_words(count, vocabulary)
    theirs = LexicalRichness(" ".join(words), preprocessor=None, tokenizer=str.split)
    assert mattr(words, 50) == pytest.approx(theirs.mattr(window_size=50))
    assert hdd(words) == pytest.approx(theirs.hdd(draws=42))
    assert mtld(words) == pytest.approx(theirs.mtld(threshold=0.72))


def test_ranks_are_among_texts_of_similar_length_and_measures_that_say_nothing_do_not_count():
    short, long = 30, 60
    lexical = np.array(
        [[0.9, 0.1, 1, short], [0.5, 0.9, 99, short]] * 5 + [[0.9, 0.8, 80, long], [0.5, 0.9, 90, long]] * 5
    )
    score = lexical_score(lexical)
    # Among short texts only MATTR counts; among long ones the second of each pair wins two of three ranks.
    assert (score[0:10:2] > score[1:10:2]).all()
    assert (score[11:20:2] > score[10:20:2]).all()
    assert (lexical_score(lexical, (1.0, 0.0, 0.0))[10:20:2] > lexical_score(lexical, (1.0, 0.0, 0.0))[11:20:2]).all()


def test_texts_under_five_words_have_no_rank_and_a_permutation_changes_nothing():
    lexical = lexical_statistics([" ".join(random_words(n, 40)) for n in GENERATOR.integers(1, 120, 200)])
    score = lexical_score(lexical)
    np.testing.assert_array_equal(np.isnan(score), lexical[:, 3] < 5)
    order = GENERATOR.permutation(200)
    np.testing.assert_array_equal(lexical_score(lexical[order]), score[order])


def test_scores_are_weighted_means_of_ranks_in_which_ties_share_theirs():
    lexical = np.array([[0.5, 0.7, 60, 60], [0.6, 0.7, 90, 60], [0.6, 0.8, 80, 60], [0.9, 0.6, 70, 60]])
    mattr_ranks, hdd_ranks, mtld_ranks = [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 0], [0, 1, 2 / 3, 1 / 3]
    expected = (np.array(mattr_ranks) + 2 * np.array(hdd_ranks) + np.array(mtld_ranks)) / 4
    np.testing.assert_allclose(lexical_score(lexical, (1.0, 2.0, 1.0)), expected)
    lexical[:, 3] = 45  # MTLD says nothing: the other weights make up for it
    np.testing.assert_allclose(
        lexical_score(lexical, (1.0, 2.0, 1.0)), (np.array(mattr_ranks) + 2 * np.array(hdd_ranks)) / 3
    )
    assert np.isnan(lexical_score(lexical, (0.0, 0.0, 1.0))).all()


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60)), min_size=1, max_size=40), st.randoms())
def test_many_texts_of_one_length_are_never_split_by_position(rows, random):
    lexical = np.array([[value / 4, value / 4, value, count] for value, count in rows], np.float32)
    order = np.array(random.sample(range(len(rows)), len(rows)))
    score = lexical_score(lexical)
    np.testing.assert_array_equal(lexical_score(lexical[order]), score[order])
    assert ((score >= 0) & (score <= 1) | np.isnan(score)).all()
    np.testing.assert_array_equal(np.isnan(score), lexical[:, 3] < 5)


def test_a_factor_closes_at_a_ratio_that_equals_the_threshold():
    words = [*map(str, range(18)), *["0"] * 7, "x"]
    # Forward 18 of 25 types are .72, and x alone adds nothing; backward x00, 00, 00, and 18 types in 19 words.
    assert mtld(words) == pytest.approx((26 / 1 + 26 / (3 + (1 / 19) / 0.28)) / 2)
