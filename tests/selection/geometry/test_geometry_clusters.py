"""Selection by clusters and semantic near-duplicates."""

import numpy as np
import pytest

from raybert.errors import SelectionError
from raybert.selection.geometry.clusters import assign_clusters, nearest_to_centroids, semantic_duplicates
from raybert.selection.geometry.points import unit_rows


def blobs(generator: np.random.Generator, num_blobs: int, size: int, width: int = 16) -> np.ndarray:
    centres = 10 * generator.standard_normal((num_blobs, width))
    noise = generator.standard_normal((num_blobs, size, width))
    return (centres[:, None] + 0.1 * noise).reshape(-1, width).astype(np.float32)


def naive_duplicates(points: np.ndarray, labels: np.ndarray, epsilon: float) -> tuple[np.ndarray, set]:
    """Return what is kept and all pairs across labels, with the pool as one cluster."""
    rows = unit_rows(points).astype(np.float64)
    centroid = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
    order = sorted(range(len(rows)), key=lambda i: (round(rows[i] @ centroid, 9), i))
    near = rows @ rows.T > 1 - epsilon
    keep = np.ones(len(rows), bool)
    for place, i in enumerate(order):
        keep[i] = not any(near[i, j] and labels[i] == labels[j] for j in order[:place])
    pairs = {(i, j) for i in range(len(rows)) for j in range(i) if near[i, j] and labels[i] != labels[j]}
    return keep, {(j, i) for i, j in pairs}


def test_each_planted_cluster_gives_the_member_nearest_to_its_mean():
    points = blobs(np.random.default_rng(0), 12, 30)
    positions, distances = nearest_to_centroids(points, 12, np.random.default_rng(1))
    assert sorted(positions // 30) == list(range(12))
    for position, distance in zip(positions, distances, strict=True):
        members = points[position // 30 * 30 :][:30]
        gaps = np.linalg.norm(members - members.mean(axis=0), axis=1)
        # Mini-batch centroids are near the mean, not on it.
        assert gaps[position % 30] <= np.median(gaps)
        assert distance <= gaps.max()


def test_larger_clusters_come_first():
    generator = np.random.default_rng(2)
    points = np.concatenate([blobs(generator, 1, size) for size in (20, 200, 60)])
    positions, _ = nearest_to_centroids(points, 3, np.random.default_rng(0))
    assert [int(np.searchsorted([20, 220, 280], p, "right")) for p in positions] == [1, 2, 0]


@pytest.mark.parametrize("budget", [0, 1, 7, 99, 100])
def test_exactly_the_budget_of_distinct_positions_even_with_duplicates(budget):
    points = np.repeat(np.random.default_rng(3).standard_normal((10, 4)), 10, axis=0)
    positions, distances = nearest_to_centroids(points, budget, np.random.default_rng(0))
    assert len(set(positions.tolist())) == len(positions) == len(distances) == budget


def test_only_the_generator_is_random():
    points = np.random.default_rng(4).standard_normal((400, 8))
    first = nearest_to_centroids(points, 40, np.random.default_rng(7))[0]
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    np.testing.assert_array_equal(nearest_to_centroids(points, 40, np.random.default_rng(7))[0], first)
    assert set(nearest_to_centroids(points, 40, np.random.default_rng(8))[0]) != set(first)


def test_a_permuted_pool_gives_the_permuted_selection():
    points = np.random.default_rng(5).standard_normal((400, 8)).astype(np.float32)
    keys = np.random.default_rng(6).permutation(400).astype(np.uint64)
    order = np.random.default_rng(7).permutation(400)
    chosen, _ = nearest_to_centroids(points, 30, np.random.default_rng(1), tie_keys=keys)
    permuted, _ = nearest_to_centroids(points[order], 30, np.random.default_rng(1), tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], chosen)


def test_clusters_of_selected_examples_are_left_to_the_others():
    points = blobs(np.random.default_rng(8), 8, 25)
    selected = [3, 30, 60]  # blobs 0, 1, 2
    positions, _ = nearest_to_centroids(points, 5, np.random.default_rng(0), selected=selected)
    assert sorted(positions // 25) == [3, 4, 5, 6, 7]


def test_assignment_is_to_the_nearest_centroid():
    generator = np.random.default_rng(9)
    points, centroids = generator.standard_normal((300, 5)), generator.standard_normal((20, 5))
    clusters, squared = assign_clusters(points, centroids)
    gaps = np.linalg.norm(points[:, None] - centroids[None], axis=2) ** 2
    np.testing.assert_array_equal(clusters, gaps.argmin(axis=1))
    np.testing.assert_allclose(squared, gaps.min(axis=1))


@pytest.mark.parametrize("epsilon", [0.02, 0.2, 0.6])
def test_duplicates_are_those_of_the_naive_loop(epsilon):
    generator = np.random.default_rng(10)
    points = generator.standard_normal((150, 4)).astype(np.float32)
    labels = generator.integers(0, 3, 150)
    found = semantic_duplicates(points, labels, epsilon, generator)
    keep, pairs = naive_duplicates(points, labels, epsilon)
    np.testing.assert_array_equal(found.keep, keep)
    listed = {tuple(pair) for pair in found.conflicts.tolist()}
    assert listed <= pairs
    assert {p for pair in listed for p in pair} == {p for pair in pairs for p in pair}
    rows = unit_rows(points).astype(np.float64)
    for (i, j), cosine in zip(found.conflicts, found.similarities, strict=True):
        assert cosine == pytest.approx(rows[i] @ rows[j], abs=1e-6)


def test_of_a_group_the_farthest_from_the_centroid_is_kept():
    # The centroid points along (2, 1, 0) or so; the last of the group of near-duplicates has the lowest cosine.
    points = np.array([[1, 0, 0], [1, 0.01, 0], [1, 0.02, 0], [0.99, 0, -0.1], [0, 1, 0], [0, 1, 0.3]], float)
    found = semantic_duplicates(points, np.zeros(6), 0.01, np.random.default_rng(0))
    assert found.keep.tolist() == [False, False, False, True, True, True]
    assert found.conflicts.shape == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("exact_limit", [pytest.param(20_000, marks=pytest.mark.long), 10])
def test_every_text_doubled_keeps_each_once_even_across_clusters(exact_limit):
    points = np.random.default_rng(11).standard_normal((6000, 8)).astype(np.float32)
    doubled = np.concatenate([points, points])
    labels = np.tile(np.random.default_rng(12).integers(0, 2, 6000), 2)
    for epsilon in (0.0, 1e-5):
        found = semantic_duplicates(doubled, labels, epsilon, np.random.default_rng(0), exact_limit=exact_limit)
        assert (found.keep[:6000] ^ found.keep[6000:]).all()
        assert len(found.conflicts) == 0


@pytest.mark.parametrize("exact_limit", [20_000, 10])
def test_the_same_text_with_two_labels_is_kept_and_listed(exact_limit):
    points = np.random.default_rng(13).standard_normal((200, 8)).astype(np.float32)
    points[150] = points[20]
    labels = np.zeros(200, int)
    labels[150] = 1
    found = semantic_duplicates(points, labels, 0.0, np.random.default_rng(0), exact_limit=exact_limit)
    assert found.keep.all()
    assert found.conflicts.tolist() == [[20, 150]]
    assert found.similarities[0] == pytest.approx(1.0, abs=1e-6)


def test_duplicates_of_a_permuted_pool_are_the_permuted_duplicates():
    generator = np.random.default_rng(14)
    points = np.round(generator.standard_normal((300, 3))).astype(np.float32)  # many identical rows
    labels, keys = generator.integers(0, 2, 300), generator.permutation(300).astype(np.uint64)
    order = generator.permutation(300)
    found = semantic_duplicates(points, labels, 0.05, generator, tie_keys=keys)
    permuted = semantic_duplicates(points[order], labels[order], 0.05, generator, tie_keys=keys[order])
    np.testing.assert_array_equal(permuted.keep, found.keep[order])


def test_bad_arguments_are_refused():
    points, generator = np.eye(3), np.random.default_rng(0)
    with pytest.raises(SelectionError, match=r"labels: must be \(3,\), one per example, got \(2,\)"):
        semantic_duplicates(points, [0, 1], 0.1, generator)
    with pytest.raises(SelectionError, match=r"epsilon: must be in 0\.\.2 \(1 - cosine\), got -1"):
        semantic_duplicates(points, [0, 1, 1], -1, generator)
    with pytest.raises(SelectionError, match=r"budget: must be in 0\.\.3"):
        nearest_to_centroids(points, 4, generator)
