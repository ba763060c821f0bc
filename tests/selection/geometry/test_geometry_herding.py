"""Herding and graph cut against their definitions, step by step."""

import numpy as np
import pytest

from raybert.errors import SelectionError
from raybert.selection.geometry.herding import graph_cut, herding

GENERATOR = np.random.default_rng(3)
POINTS = GENERATOR.normal(size=(40, 6)).astype(np.float32)
POINTS /= np.linalg.norm(POINTS, axis=1, keepdims=True)


def test_herding_is_welling_s_update():
    mean = POINTS.astype(float).mean(axis=0)
    weights, expected = mean.copy(), []
    for _ in range(15):
        worth = POINTS.astype(float) @ weights
        worth[expected] = -np.inf
        expected.append(int(worth.argmax()))
        weights += mean - POINTS[expected[-1]]
    positions, values = herding(POINTS, 15)
    assert positions.tolist() == expected
    assert values[0] == pytest.approx(float((POINTS @ mean).max()), abs=1e-6)
    later, _ = herding(POINTS, 5, selected=expected[:10])
    assert later.tolist() == expected[10:]


def test_the_mean_of_a_herd_is_nearer_to_that_of_all_than_the_mean_of_a_draw():
    mean = POINTS.mean(axis=0)
    herd = np.linalg.norm(POINTS[herding(POINTS, 12)[0]].mean(axis=0) - mean)
    draws = [np.linalg.norm(POINTS[GENERATOR.permutation(40)[:12]].mean(axis=0) - mean) for _ in range(200)]
    assert herd < np.min(draws)


def cut(similarity, chosen, weight):
    return weight * similarity[:, chosen].sum() - similarity[np.ix_(chosen, chosen)].sum()


@pytest.mark.parametrize("weight", [0.5, 2.0, 10.0])
def test_graph_cut_takes_the_largest_gain_of_its_function(weight):
    similarity = (1 + POINTS.astype(float) @ POINTS.T) / 2
    chosen, gains = [], []
    for _ in range(12):
        before = cut(similarity, chosen, weight) if chosen else 0.0
        free = [i for i in range(40) if i not in chosen]
        gain = {i: cut(similarity, [*chosen, i], weight) - before for i in free}
        best = max(gain, key=gain.get)
        chosen.append(best)
        gains.append(gain[best])
    positions, values = graph_cut(POINTS, 12, weight)
    assert positions.tolist() == chosen
    np.testing.assert_allclose(values, gains, atol=1e-5)
    later, _ = graph_cut(POINTS, 5, weight, selected=chosen[:7])
    assert later.tolist() == chosen[7:]


@pytest.mark.parametrize("choose", [herding, graph_cut])
def test_equal_rows_go_by_the_tie_key(choose):
    same = np.tile(POINTS[:1], (6, 1))
    assert choose(same, 6, tie_keys=np.array([4, 0, 5, 1, 3, 2]))[0].tolist() == [1, 3, 5, 4, 0, 2]
    with pytest.raises(SelectionError, match=r"budget: must be in 0..6"):
        choose(same, 7)


def test_a_negative_weight_is_refused():
    with pytest.raises(SelectionError, match="weight: must be >= 0, got -1"):
        graph_cut(POINTS, 2, -1.0)
