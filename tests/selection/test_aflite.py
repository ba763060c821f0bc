import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from raybert.selection.scorers.aflite import aflite, aflite_hardness, aflite_signal


def planted(num_examples: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points, labels, and whether a feature gives the label away."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, num_examples)
    points = generator.normal(size=(num_examples, 10)).astype(np.float32)
    is_easy = np.arange(num_examples) % 2 == 0
    points[is_easy, 0] += 6.0 * (2 * labels[is_easy] - 1)
    return points, labels, is_easy


def test_examples_that_a_feature_gives_away_go_first():
    points, labels, is_easy = planted()
    rounds, predictability = aflite(points, labels, np.random.default_rng(0), target=100)
    assert is_easy[rounds == 0].mean() > 0.9
    assert predictability[is_easy].mean() > 0.95
    hardness = aflite_hardness(rounds, predictability)
    assert hardness[~is_easy].mean() > hardness[is_easy].mean() + 1


def test_a_round_removes_at_most_a_tenth_and_the_target_is_never_undershot():
    points, labels, _ = planted()
    rounds, predictability = aflite(points, labels, np.random.default_rng(0), target=195)
    sizes = np.bincount(rounds)
    left = 400
    for removed in sizes[:-1]:
        assert removed <= max(1, int(0.1 * left))
        left -= removed
    assert left == sizes[-1] >= 195
    assert (predictability[rounds < rounds.max()] >= 0.75).all()


def test_filtering_stops_when_nothing_is_predictable():
    generator = np.random.default_rng(1)
    points, labels = generator.normal(size=(300, 5)), generator.integers(0, 2, 300)
    rounds, _ = aflite(points, labels, np.random.default_rng(0), target=10)
    assert (rounds == rounds.max()).mean() > 0.8


def test_one_class_is_never_predicted():
    rounds, predictability = aflite(np.eye(6), np.zeros(6, int), np.random.default_rng(0), target=2)
    assert (predictability == 0).all()
    assert len(np.unique(rounds)) == 1


def test_predictability_is_that_of_logistic_regression_on_the_same_splits():
    points, labels, _ = planted(200, seed=3)
    _, ours = aflite(points, labels, np.random.default_rng(5), target=199)
    generator = np.random.default_rng(5)
    correct, held_out = np.zeros(200), np.zeros(200)
    for _ in range(64):
        order = generator.permutation(200)
        train, rest = order[:100], order[100:]
        model = LogisticRegression(max_iter=500).fit(points[train], labels[train])
        correct[rest] += model.predict(points[rest]) == labels[rest]
        held_out[rest] += 1
    assert spearmanr(ours, correct / held_out).statistic > 0.9
    assert np.abs(ours - correct / held_out).mean() < 0.05


def test_ties_are_broken_by_key():
    points = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), 10, axis=0)
    labels = np.repeat([0, 1], 10)
    keys = np.arange(20, dtype=np.uint64)[::-1].copy()
    rounds, predictability = aflite(points, labels, np.random.default_rng(0), target=18, tie_keys=keys)
    assert (predictability == 1).all()
    assert np.flatnonzero(rounds == 0).tolist() == [18, 19]


def test_a_permuted_pool_gives_the_permuted_signal():
    points, labels, _ = planted()
    order = np.random.default_rng(2).permutation(len(labels))
    straight = aflite_signal(points, labels, 0)
    np.testing.assert_array_equal(aflite_signal(points[order], labels[order], 0), straight[order])
    assert straight.shape == (400, 2)
    assert (straight[:, 0] == straight[:, 0].max()).sum() >= 100


@pytest.mark.parametrize(("rounds", "predictability", "harder"), [([0, 1], [0.9, 1.0], 1), ([2, 2], [0.9, 0.8], 1)])
def test_later_is_harder_and_inside_a_round_less_predictable(rounds, predictability, harder):
    assert aflite_hardness(np.array(rounds), np.array(predictability)).argmax() == harder
