"""Two-level k-center: its parts, its merge and its radius."""

import numpy as np
import pytest

from raybert.errors import SelectionError
from raybert.selection.geometry.k_center import covering_radius, k_center
from raybert.selection.geometry.two_level import choose_local_centres, merge_centres, partition_k_center, split_pool


@pytest.fixture
def points():
    return np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)


def test_one_part_is_the_exact_greedy(points):
    np.testing.assert_array_equal(partition_k_center(points, 40, 1)[0], k_center(points, 40)[0])


@pytest.mark.parametrize("num_parts", [2, 7, 600])
def test_radius_is_within_the_bound_of_the_exact_greedy(points, num_parts):
    positions, _ = partition_k_center(points, 40, num_parts)
    assert len(set(positions.tolist())) == 40
    exact = covering_radius(points, k_center(points, 40)[0])
    # At most 4 times the optimum, and the greedy radius is no less than the optimum.
    assert covering_radius(points, positions) <= 4 * exact


def test_the_steps_apart_give_what_the_whole_gives(points):
    keys = np.random.default_rng(1).permutation(600).astype(np.uint64)
    parts = split_pool(600, 3, tie_keys=keys)
    local = [part[choose_local_centres(points[part], 30, tie_keys=keys[part])] for part in parts]
    merged, _ = merge_centres(local, [points[part] for part in local], 30, tie_keys=keys[np.concatenate(local)])
    np.testing.assert_array_equal(merged, partition_k_center(points, 30, 3, tie_keys=keys)[0])


def test_a_permuted_pool_gives_the_permuted_selection(points):
    keys = np.random.default_rng(2).permutation(600).astype(np.uint64)
    order = np.random.default_rng(3).permutation(600)
    permuted, _ = partition_k_center(points[order], 25, 4, tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], partition_k_center(points, 25, 4, tie_keys=keys)[0])


def test_parts_cover_the_pool_once_and_evenly():
    parts = split_pool(10, 3, tie_keys=np.arange(10)[::-1])
    assert [part.tolist() for part in parts] == [[9, 8, 7, 6], [5, 4, 3], [2, 1, 0]]


def test_the_whole_pool_and_nothing_can_be_chosen(points):
    assert sorted(partition_k_center(points, 600, 5)[0].tolist()) == list(range(600))
    assert partition_k_center(points, 0, 5)[0].tolist() == []


def test_more_parts_than_points_are_refused():
    with pytest.raises(SelectionError, match=r"num_parts: must be in 1\.\.3 \(pool size\), got 4"):
        split_pool(3, 4)
