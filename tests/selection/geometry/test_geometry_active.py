"""TypiClust and ProbCover against their definitions."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from raybert.errors import SelectionError
from raybert.selection.geometry.prob_cover import prob_cover, pseudo_labels, purity_radius
from raybert.selection.geometry.typical import typical_of_clusters, typicality

GENERATOR = np.random.default_rng(8)


def blobs(sizes, spread=0.15, dimensions=8):
    centres = np.eye(dimensions)[: len(sizes)]
    points = np.repeat(centres, sizes, axis=0) + GENERATOR.normal(scale=spread, size=(sum(sizes), dimensions))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_typicality_is_one_over_the_mean_distance_to_the_nearest():
    points = blobs([60])
    distances, _ = NearestNeighbors(n_neighbors=21).fit(points).kneighbors(points)
    np.testing.assert_allclose(1 / typicality(points), distances[:, 1:].mean(axis=1), atol=1e-3)
    few = points[:7]
    distances, _ = NearestNeighbors(n_neighbors=4).fit(few).kneighbors(few)
    np.testing.assert_allclose(1 / typicality(few), distances[:, 1:].mean(axis=1), atol=1e-3)
    assert typicality(points[:1]).tolist() == [0]


def test_each_cluster_gives_its_most_typical_the_largest_first_and_then_again():
    sizes = [30, 20, 10]
    points = blobs(sizes, spread=0.05)
    group = np.repeat(np.arange(3), sizes)
    positions, values = typical_of_clusters(points, 6, np.random.default_rng(0), max_clusters=3)
    assert group[positions].tolist() == [0, 1, 2, 0, 1, 2]
    for number in range(3):
        members = np.flatnonzero(group == number)
        worth = typicality(points[members])
        assert worth[np.flatnonzero(members == positions[number])[0]] == worth.max() == pytest.approx(values[number])


def test_clusters_with_fewest_selected_come_first_and_small_ones_last():
    sizes = [30, 20, 3]
    points = blobs(sizes, spread=0.05)
    group = np.repeat(np.arange(3), sizes)
    positions, _ = typical_of_clusters(points, 2, np.random.default_rng(0), max_clusters=3, selected=[0])
    assert group[positions].tolist() == [1, 0]
    whole, _ = typical_of_clusters(points, 53, np.random.default_rng(0), max_clusters=3)
    assert group[whole[-3:]].tolist() == [2, 2, 2]


def test_prob_cover_takes_what_covers_most_and_begins_anew_when_all_is_covered():
    points = blobs([12, 9, 5, 4], spread=0.25)
    radius = 0.5
    near = pairwise_distances(points.astype(float)) < radius
    is_open, chosen, counts = np.ones(30, bool), [], []
    for _ in range(30):
        degrees = (near & is_open).sum(axis=1)
        degrees[chosen] = -1
        if degrees.max() == 0:
            is_open = ~np.isin(np.arange(30), chosen)
            degrees = (near & is_open).sum(axis=1)
            degrees[chosen] = -1
        best = int(degrees.argmax())
        chosen.append(best)
        counts.append(degrees[best])
        is_open &= ~near[best]
    positions, values = prob_cover(points, 30, radius)
    assert (positions.tolist(), values.tolist()) == (chosen, counts)
    assert counts[0] > counts[1] > 0
    later, _ = prob_cover(points, 4, radius, selected=chosen[:3])
    assert later.tolist() == chosen[3:7]


@pytest.mark.parametrize("purity", [0.8, 0.95, 1.0])
def test_the_radius_is_the_largest_of_which_so_many_balls_are_pure(purity):
    points = blobs([20, 20], spread=0.4)
    labels = np.repeat([0, 1], 20)
    distances = pairwise_distances(points.astype(float))

    def share(radius):
        return np.mean([len(set(labels[distances[i] < radius])) == 1 for i in range(40)])

    radius = purity_radius(labels, points, purity)
    assert share(radius - 1e-4) >= purity > share(radius + 1e-3)
    assert purity_radius(np.zeros(40, int), points, purity) == 2.0


def test_pseudo_labels_are_the_clusters_of_the_rows():
    points = blobs([15, 15, 15], spread=0.05)
    labels = pseudo_labels(points, 3, np.random.default_rng(0))
    assert [len(set(labels[i : i + 15])) for i in (0, 15, 30)] == [1, 1, 1]
    assert len(set(labels)) == 3
    with pytest.raises(SelectionError, match="radius: must be > 0, got 0"):
        prob_cover(points, 2, 0)
