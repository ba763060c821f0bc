"""Neighbour graphs and D2 pruning against naive computations."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from raybert.errors import SelectionError
from raybert.selection.geometry import neighbours
from raybert.selection.geometry.d2 import d2_select
from raybert.selection.geometry.neighbours import knn_graph


@pytest.fixture
def points():
    return np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)


def naive_d2(scores, graph, cosines, budget, gamma, forward_gamma, selected=()):
    squared = 2 - 2 * cosines
    values = [
        scores[i] + sum(np.exp(-forward_gamma * squared[i, j]) * scores[graph[i, j]] for j in range(graph.shape[1]))
        for i in range(len(scores))
    ]
    chosen = []
    for turn in range(len(selected) + budget):
        free = [i for i in range(len(scores)) if i not in chosen and i not in selected[turn:]]
        best = selected[turn] if turn < len(selected) else max(free, key=lambda i: (values[i], -i))
        for j, neighbour in enumerate(graph[best]):
            values[neighbour] -= np.exp(-gamma * squared[best, j]) * max(values[best], 0)
        chosen.append(best)
    return chosen[len(selected) :]


def test_neighbours_are_those_of_scikit_learn(points):
    found, cosines = knn_graph(points, 7)
    reference = NearestNeighbors(n_neighbors=8, metric="cosine", algorithm="brute").fit(points)
    distances, expected = reference.kneighbors(points)
    np.testing.assert_array_equal(found, expected[:, 1:])
    np.testing.assert_allclose(cosines, 1 - distances[:, 1:], atol=1e-6)


def test_blocks_change_nothing(points, monkeypatch):
    expected, _ = knn_graph(points, 5)
    monkeypatch.setattr(neighbours, "_SIMILARITIES_PER_BLOCK", 1600)
    np.testing.assert_array_equal(knn_graph(points, 5)[0], expected)


def test_among_duplicates_the_lowest_key_comes_first_and_never_oneself():
    points = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]])
    found, cosines = knn_graph(points, 3, tie_keys=np.array([3, 0, 2, 1, 4], np.uint64))
    assert found.tolist() == [[1, 3, 2], [3, 2, 0], [1, 3, 0], [1, 2, 0], [1, 3, 2]]
    assert cosines[0].tolist() == [1, 1, 1]
    assert cosines[4].tolist() == [0, 0, 0]


def test_too_many_neighbours_are_refused(points):
    with pytest.raises(SelectionError, match=r"num_neighbours: must be in 1\.\.499 .*, got 500"):
        knn_graph(points, 500)


def test_approximate_search_finds_nearly_the_same():
    pytest.importorskip("faiss", reason="needs the extra ann")
    points = np.random.default_rng(1).standard_normal((2000, 8)).astype(np.float32)
    exact, similarities = knn_graph(points, 10)
    found, cosines = knn_graph(points, 10, method="ann")
    assert found.shape == exact.shape
    assert (found != np.arange(2000)[:, None]).all()
    np.testing.assert_allclose(cosines, similarities, atol=1e-5)


def test_approximate_search_fills_all_neighbours_of_a_large_pool():
    pytest.importorskip("faiss", reason="needs the extra ann")
    generator = np.random.default_rng(1)
    points = generator.standard_normal((12_000, 8)).astype(np.float32)
    points[0] = 1e3 * generator.standard_normal(8)
    exact, _ = knn_graph(points, 100)
    found, _ = knn_graph(points, 100, method="ann")
    assert (found >= 0).all()
    hits = [len(np.intersect1d(a, b)) for a, b in zip(exact[:500], found[:500], strict=True)]
    assert np.mean(hits) > 80


def test_approximate_search_without_faiss_names_the_remedy(points, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(SelectionError, match=r"install raybert\[ann\] or use 'exact'"):
        knn_graph(points, 3, method="ann")


def test_d2_by_hand():
    # A chain 0 - 1, 1 - 0, 2 - 1 with cosine 1: all weights are 1. Values: 1 + 2 = 3, 2 + 1 = 3, 5 + 2 = 7.
    graph, cosines = np.array([[1], [0], [1]]), np.ones((3, 1))
    positions, values = d2_select([1.0, 2.0, 5.0], graph, cosines, 3)
    # 2 is first and takes 7 from 1 (-4); 0 has 3 and takes 3 from 1 (-7).
    assert positions.tolist() == [2, 0, 1]
    assert values.tolist() == [7.0, 3.0, -7.0]


@pytest.mark.parametrize("gamma", [0.0, 0.1, 5.0])
@pytest.mark.parametrize("selected", [[], [4, 2]])
def test_d2_is_its_naive_loop(points, gamma, selected):
    scores = np.random.default_rng(2).random(120)
    graph, cosines = knn_graph(points[:120], 5)
    positions, _ = d2_select(scores, graph, cosines, 60, gamma, forward_gamma=0.7, selected=selected)
    assert positions.tolist() == naive_d2(scores, graph, cosines.astype(np.float64), 60, gamma, 0.7, selected)


def test_d2_chooses_in_key_order_among_equals_and_takes_all():
    graph, cosines = np.array([[1], [0], [3], [2]]), np.zeros((4, 1))
    keys = np.array([3, 2, 1, 0], np.uint64)
    positions, _ = d2_select(np.ones(4), graph, cosines, 4, tie_keys=keys)
    assert positions.tolist() == [3, 1, 2, 0]


def test_d2_of_a_permuted_pool_is_the_permuted_selection(points):
    scores = np.random.default_rng(3).integers(0, 3, 500)
    keys = np.random.default_rng(4).permutation(500).astype(np.uint64)
    order = np.random.default_rng(5).permutation(500)
    chosen, _ = d2_select(scores, *knn_graph(points, 5, tie_keys=keys), 200, tie_keys=keys)
    graph = knn_graph(points[order], 5, tie_keys=keys[order])
    permuted, _ = d2_select(scores[order], *graph, 200, tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], chosen)


def test_d2_refuses_negative_scores_and_other_shapes():
    with pytest.raises(SelectionError, match="scores: must be finite and >= 0"):
        d2_select([-1.0, 2.0], [[1], [0]], [[1.0], [1.0]], 1)
    with pytest.raises(SelectionError, match=r"must both be \(2, k\), got \(1, 1\), \(1, 1\)"):
        d2_select([1.0, 2.0], [[1]], [[1.0]], 1)
