"""How a budget is shared between classes: by size, equally, by error, by difficulty."""

import numpy as np
import pytest

import raybert
from raybert.config import StrategyConfig
from raybert.data.quotas import class_seats
from raybert.errors import ConfigError
from raybert.selection import build_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.scorers.class_error import errors_of_classes
from raybert.testing import make_pool

SIZES = [60, 30, 10]
LABELS = np.repeat(np.arange(3), SIZES)


def counts(name, budget, signals, **parameters):
    found = raybert.select(name, budget, labels=LABELS, parameters=parameters, **signals)
    return np.bincount(LABELS[found.positions], minlength=3).tolist()


def probs_of(truth):
    """Probabilities of the labels by class, so that EL2N = sqrt(1.5) (1 - p)."""
    right = np.asarray(truth)[LABELS]
    probs = np.repeat((1 - right)[:, None] / 2, 3, axis=1)
    probs[np.arange(100), LABELS] = right
    return probs.astype(np.float32)


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ([1, 1, 1], 12, [4, 4, 4]),
        ([1, 1, 1], 60, [25, 25, 10]),  # what is used up goes to the others
        ([60, 0, 30], 10, [6, 1, 3]),  # one each at least: 6, 1, 3 of 60 : 30
        ([0, 0, 0], 3, [1, 1, 1]),
        ([1, 1, 1], 100, SIZES),
    ],
)
def test_seats_by_weights_fill_up_no_class_beyond_its_examples(weights, total, expected):
    classes, numbers = class_seats(np.array(SIZES), np.array(weights, float))
    assert np.bincount(classes[:total], minlength=3).tolist() == expected
    assert (numbers < np.array(SIZES)[classes]).all()


def test_sizes_as_weights_are_the_quotas_of_always():
    one, two = class_seats(np.array(SIZES)), class_seats(np.array(SIZES), np.array(SIZES))
    assert one[0].tolist() == two[0].tolist()


def test_equal_and_error_quotas_of_a_ranking_and_of_a_draw():
    error = np.array([0.1, 0.2, 0.6], np.float32)[LABELS]  # times sizes: 6, 6, 6
    steep = np.array([0.0, 0.1, 0.3], np.float32)[LABELS]  # 0, 3, 3
    probs = probs_of([0.9, 0.6, 0.3])
    for name, signals in (("el2n", {"probs": probs}), ("random_stratified", {})):
        assert counts(name, 20, signals) == [12, 6, 2]
        assert counts(name, 21, signals, balance="equal") == [7, 7, 7]
        assert counts(name, 21, {**signals, "class_error": error}, balance="error") == [7, 7, 7]
        assert counts(name, 13, {**signals, "class_error": steep}, balance="error") == [1, 6, 6]


def test_difficulty_is_the_mean_score_above_the_lowest():
    # EL2N .122, .490 and .857, over the lowest 0, .367, .735: times sizes 0, 11.0, 7.35.
    assert counts("el2n", 16, {"probs": probs_of([0.9, 0.6, 0.3])}, balance="difficulty") == [1, 9, 6]


def test_without_any_error_quotas_are_by_size_and_the_selection_says_so():
    flat = {"class_error": np.zeros(100, np.float32)}
    assert counts("random_stratified", 20, flat, balance="error") == [12, 6, 2]
    pool = make_pool(class_error=np.zeros(240))
    strategy = build_strategy(StrategyConfig(name="el2n", balance="error"))
    assert select_from_pool(strategy, pool, 20).notes == ("`balance: error` is as `class`: no class has any",)


def test_a_larger_budget_contains_the_smaller_one_under_every_balance():
    pool = make_pool()
    for balance in ("class", "equal", "error"):
        strategy = build_strategy(StrategyConfig(name="random_stratified", balance=balance))
        small, large = (select_from_pool(strategy, pool, budget).positions for budget in (20, 90))
        assert large[:20].tolist() == small.tolist()


def test_errors_of_classes_are_shares_of_their_own_examples():
    probs = np.array([[0.9, 0.1, 0], [0.4, 0.6, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]])
    np.testing.assert_allclose(errors_of_classes(probs, np.array([0, 0, 1, 1]), 3), [0.5, 0.0, 0.25])


def test_what_greedy_choices_cannot_share_by_is_refused():
    with pytest.raises(
        ConfigError, match="balance: must be one of 'class', 'equal', 'none' or 'error', got 'difficulty'"
    ):
        build_strategy(StrategyConfig(name="d2", balance="difficulty"))
    assert "class_error" in build_strategy(StrategyConfig(name="d2", balance="error")).all_signals()
    assert "class_error" not in build_strategy(StrategyConfig(name="d2")).all_signals()
