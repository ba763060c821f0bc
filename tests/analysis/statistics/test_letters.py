"""Compact letters: two share one if and only if no test finds a difference, by brute force and by SciPy."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raybert.analysis.statistics.intervals import holm
from raybert.analysis.statistics.letters import compact_letters, letters_table, shown_letters
from raybert.tables import LETTERS
from tests.analysis.statistics.test_comparisons import whole_pool
from tests.analysis.statistics.test_summary import trials_of

NAMES = "ABCDEFGH"


def shares(letters, one, other):
    return bool(set(letters[one]) & set(letters[other]))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_two_share_a_letter_if_and_only_if_they_are_not_different_whatever_differs(number):
    names = NAMES[:number]
    pairs = list(combinations(names, 2))
    for chosen in product([False, True], repeat=len(pairs)):
        different = {pair for pair, is_different in zip(pairs, chosen, strict=True) if is_different}
        letters = compact_letters(names, different)
        assert all(letters.values())
        assert {pair for pair in pairs if not shares(letters, *pair)} == different


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(list(combinations(NAMES, 2)))))
def test_of_eight_names_no_letter_can_be_left_out(different):
    letters = compact_letters(NAMES, different)
    assert {pair for pair in combinations(NAMES, 2) if not shares(letters, *pair)} == different
    used = set("".join(letters.values()))
    for letter in used if len(used) > 1 else ():
        fewer = {name: own.replace(letter, "") for name, own in letters.items()}
        lost = [pair for pair in combinations(NAMES, 2) if shares(letters, *pair) != shares(fewer, *pair)]
        assert lost or not all(fewer.values())


def test_letters_by_hand():
    # 7 and 8 differ from all; of the others only 2 from 4, 5 and 6
    different = [("1", "7"), ("1", "8"), ("2", "4"), ("2", "5"), ("2", "6"), ("2", "7"), ("2", "8"), ("3", "7")]
    different += [("3", "8"), ("4", "7"), ("4", "8"), ("5", "7"), ("5", "8"), ("6", "7"), ("6", "8"), ("7", "8")]
    letters = compact_letters("12345678", different)
    assert letters == {"1": "ab", "2": "a", "3": "ab", "4": "b", "5": "b", "6": "b", "7": "c", "8": "d"}


def test_a_has_the_best_mean_and_more_than_52_groups_have_letters_of_their_own():
    names = [f"n{i}" for i in range(60)]
    letters = compact_letters(names, list(combinations(names, 2)))
    assert letters["n0"] == "a"
    assert letters["n59"] == "h2"
    assert len(set(letters.values())) == 60


RUNS = {
    "all": [0.90, 0.91, 0.905, 0.902],
    "el2n": [0.80, 0.82, 0.81, 0.805],
    "badge": [0.801, 0.815, 0.812, 0.809],
    "random": [0.70, 0.71, 0.70, 0.705],
    "k_center": [0.5, 0.6],
}


def table_of(metric="accuracy"):
    return letters_table(whole_pool(trials_of(RUNS)), metric=metric)


def test_letters_are_those_of_paired_t_tests_of_all_pairs_with_holms_correction():
    table = table_of()
    assert [*table] == LETTERS.order()
    known = [name for name in RUNS if name != "k_center"]  # of two seeds
    pairs = list(combinations(known, 2))
    p = holm(np.array([stats.ttest_rel(RUNS[one], RUNS[other]).pvalue for one, other in pairs]))
    letters = dict(zip(table["configuration"], table["letters"], strict=True))
    assert {pair for pair in pairs if not shares(letters, *pair)} == {
        pair for pair, own in zip(pairs, p, strict=True) if own < 0.05
    }
    assert table["configuration"].tolist() == ["all", "badge", "el2n", "random"]
    assert letters == {"all": "a", "badge": "b", "el2n": "b", "random": "c"}
    assert table["num_different"].tolist() == [3, 2, 2, 3]
    assert table["num_others"].tolist() == [3] * 4
    assert table["group_budget"].tolist() == [100] * 4
    assert shown_letters(table) == letters


def test_of_a_loss_the_least_is_the_best():
    assert table_of("loss")["configuration"].tolist() == ["random", "el2n", "badge", "all"]


def test_every_budget_is_a_family_and_the_whole_pool_stands_in_all():
    parts = []
    for budget in (100, 200):
        trials = whole_pool(trials_of(RUNS))
        trials["trial_id"] += f"-{budget}"
        is_limited = trials["budget_kind"] != "none"
        parts.append(
            trials[is_limited | (budget == 100)].assign(
                **{
                    "budget": np.where(is_limited, budget, 1000)[is_limited | (budget == 100)],
                    "selection.budget": np.where(is_limited, budget, np.nan)[is_limited | (budget == 100)],
                }
            )
        )
    table = letters_table(pd.concat(parts, ignore_index=True), ["selection.budget"])
    assert table["group_budget"].tolist() == [100] * 4 + [200] * 4
    assert (table["strategy"] == "all").sum() == 2
    assert "all" not in shown_letters(table)
    assert len(shown_letters(table)) == 6


def test_fewer_than_three_seeds_have_no_letters():
    two = {name: values[:2] for name, values in RUNS.items()}
    table = letters_table(whole_pool(trials_of(two)))
    assert table.empty
    assert shown_letters(table) == {}


def test_where_nothing_differs_no_letters_are_shown():
    same = {"random": [0.70, 0.72, 0.71], "el2n": [0.71, 0.70, 0.72], "badge": [0.72, 0.71, 0.705]}
    table = letters_table(trials_of(same))
    assert table["letters"].tolist() == ["a"] * 3
    assert shown_letters(table) == {}


def test_over_folds_the_tests_are_those_of_nadeau_and_bengio():
    generator = np.random.default_rng(0)
    rows = []
    for fold in range(5):
        for seed in range(2):
            base = generator.normal(0.7, 0.01)
            for name, gain in (("random", 0.0), ("el2n", 0.03)):
                rows.append(trials_of({name: [base + gain + generator.normal(0, 0.004)]}).assign(fold=fold, seed=seed))
    trials = pd.concat(rows, ignore_index=True)
    trials["trial_id"] += trials["fold"].astype(str) + trials["seed"].astype(str)
    values = trials.pivot_table(index=["fold", "seed"], columns="strategy", values="test_accuracy")
    differences = (values["el2n"] - values["random"]).groupby("fold").mean()
    t = differences.mean() / (differences.std() * np.sqrt(1 / 5 + 1 / 4))
    assert 2 * stats.t.sf(t, 4) < 0.05
    assert letters_table(trials)["letters"].tolist() == ["a", "b"]
