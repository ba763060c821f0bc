import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, RidgeClassifier

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


@pytest.mark.slow
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


def brute_force(points, labels, generator, target, num_splits) -> tuple[list[int], list[float]]:
    """AFLite by its definition, one example at a time, with scikit-learn's ridge classifier."""
    left, removed_in, predictability = list(range(len(labels))), {}, [0.0] * len(labels)
    round_number = 0
    while len(left) > target:
        correct, held_out = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
        for _ in range(num_splits):
            order = [left[i] for i in generator.permutation(len(left))]
            train, rest = order[: len(left) // 2], order[len(left) // 2 :]
            if len({labels[i] for i in train}) == 1:
                continue
            shrink = 0.1 * (np.square(points[train]).sum() + len(train)) / (points.shape[1] + 1)
            model = RidgeClassifier(alpha=shrink).fit(points[train].astype(np.float64), labels[train])
            for i, predicted in zip(rest, model.predict(points[rest].astype(np.float64)), strict=True):
                correct[i] += predicted == labels[i]
                held_out[i] += 1
        for i in left:
            predictability[i] = correct[i] / held_out[i] if held_out[i] else 0.0
        slice_size = max(1, len(left) // 10)
        qualified = sorted((i for i in left if predictability[i] >= 0.75), key=lambda i: (-predictability[i], i))
        for i in qualified[: min(slice_size, len(left) - target)]:
            removed_in[i] = round_number
        left = [i for i in left if i not in removed_in]
        round_number += 1
        if len(qualified) < slice_size:
            break
    return [removed_in.get(i, round_number) for i in range(len(labels))], predictability


@pytest.mark.parametrize(
    ("count", "classes", "target", "num_splits"), [(60, 3, 20, 8), (45, 2, 10, 5), (30, 3, 29, 1), (8, 2, 2, 6)]
)
def test_rounds_and_predictability_equal_those_of_the_definition(count, classes, target, num_splits):
    # Eight examples of which two are of the second class: some splits have one class only, and are skipped.
    generator = np.random.default_rng(count)
    labels = generator.integers(0, classes, count) if count > 8 else np.array([0, 0, 0, 0, 0, 0, 1, 1])
    points = generator.normal(size=(count, 4)).astype(np.float32)
    points[::2, 0] += 3 * labels[::2]
    found = aflite(points, labels, np.random.default_rng(7), target=target, num_splits=num_splits)
    expected = brute_force(points, labels, np.random.default_rng(7), target, num_splits)
    assert found[0].tolist() == expected[0]
    assert found[1].tolist() == expected[1]


def test_what_was_never_held_out_is_not_removed():
    points, labels, _ = planted(40)
    rounds, predictability = aflite(points, labels, np.random.default_rng(0), target=39, num_splits=1)
    trained_on = np.random.default_rng(0).permutation(40)[:20]
    assert (predictability[trained_on] == 0).all()
    assert (rounds[trained_on] == 1).all()
    assert (rounds == 0).sum() == 1


def test_repeated_rows_share_a_value_and_a_permuted_pool_still_gives_the_permuted_signal():
    points, labels, _ = planted(200)
    points, labels = np.repeat(points, 2, axis=0), np.repeat(labels, 2)
    labels[1] = 1 - labels[1]  # one text with two labels: these are not the same example
    order = np.random.default_rng(3).permutation(len(labels))
    signal = aflite_signal(points, labels, 0)
    np.testing.assert_array_equal(aflite_signal(points[order], labels[order], 0), signal[order])
    np.testing.assert_array_equal(signal[2::2], signal[3::2])
    assert (signal[0] != signal[1]).any()


def test_predictability_that_equals_the_threshold_qualifies():
    points = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), 10, axis=0)
    rounds, predictability = aflite(points, np.repeat([0, 1], 10), np.random.default_rng(0), target=18, threshold=1.0)
    assert (predictability == 1).all()
    assert (rounds == 0).sum() == 2
