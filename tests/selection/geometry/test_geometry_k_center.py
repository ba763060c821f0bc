"""k-center against brute force: exact up to ties, whatever the ties, the path or the order of the pool."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raybert.errors import SelectionError
from raybert.selection.geometry.k_center import _PlainGreedy, find_medoid, k_center

GRID = arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(-2, 2))


def distances_to(points: np.ndarray, centres: list[int]) -> np.ndarray:
    rows = points.astype(np.float64)
    return np.min([np.linalg.norm(rows - rows[c], axis=1) for c in centres], axis=0)


def assert_greedy(points: np.ndarray, positions: np.ndarray, distances: np.ndarray, before: list[int]) -> None:
    """Every choice is within 1e-6 of the farthest point, in float64, and its distance is the one returned."""
    centres, nearest = list(before), np.full(len(points), np.inf)
    for centre in before:
        nearest = np.minimum(nearest, distances_to(points, [centre]))
    for position, distance in zip(positions, distances, strict=True):
        if centres:
            free = np.setdiff1d(np.arange(len(points)), centres)
            assert nearest[position] >= nearest[free].max() - 1e-6
            assert distance == pytest.approx(nearest[position], abs=1e-6, rel=1e-6)
        else:
            assert distance == np.inf
        centres.append(int(position))
        nearest = np.minimum(nearest, distances_to(points, [int(position)]))


def unit(points: np.ndarray) -> np.ndarray:
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def clustered(generator: np.random.Generator, num_points: int, width: int) -> np.ndarray:
    centres = generator.standard_normal((20, width))
    noise = generator.standard_normal((num_points, width))
    return unit(centres[generator.integers(20, size=num_points)] + 0.3 * noise)


def test_points_on_a_line_are_chosen_from_the_middle_outwards():
    points = np.array([[0.0], [1.0], [4.0], [5.0], [9.0]])
    positions, distances = k_center(points, 5)
    # The mean is 3.8: position 2 is nearest. Then 9 (distance 5), 0 (4), then 1 and 5 (distance 1 each).
    assert positions.tolist() == [2, 4, 0, 1, 3]
    assert distances.tolist() == [np.inf, 5.0, 4.0, 1.0, 1.0]


def test_tie_keys_decide_between_equal_distances():
    points = np.array([[0.0], [1.0], [4.0], [5.0], [9.0]])
    assert k_center(points, 5, tie_keys=np.array([0, 9, 0, 3, 0], np.uint64))[0].tolist() == [2, 4, 0, 3, 1]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(60, 4), (3000, 12)])
def test_every_choice_is_the_farthest_in_float64(shape):
    points = clustered(np.random.default_rng(0), *shape)
    positions, distances = k_center(points, shape[0] // 3)
    assert len(set(positions.tolist())) == shape[0] // 3
    assert_greedy(points, positions, distances, [])


def test_rows_that_are_not_normalised_are_taken_as_they_are():
    points = 20 * np.random.default_rng(1).standard_normal((1500, 30)).astype(np.float32)
    assert_greedy(points, *k_center(points, 300), [])


def test_tiny_rows_are_still_told_apart():
    points = 1e-5 * np.random.default_rng(2).standard_normal((200, 5)).astype(np.float32)
    positions, _ = k_center(points, 100)
    big, _ = k_center(points * np.float32(2.0**17), 100)
    np.testing.assert_array_equal(positions, big)


def choose_plainly(points: np.ndarray, budget: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    plain = _PlainGreedy(points, np.arange(len(points)), torch.device("cpu"))
    plain.start(np.array([first]))
    positions, distances = plain.extend(budget - 1)
    return np.concatenate([[first], positions]), np.concatenate([[np.inf], distances])


@pytest.mark.slow
def test_the_plain_loop_of_gpus_is_exact_up_to_ties_too():
    points = clustered(np.random.default_rng(3), 2500, 16)
    positions, distances = k_center(points, 700)
    chosen, plain_distances = choose_plainly(points, 700, int(positions[0]))
    assert_greedy(points, chosen, plain_distances, [])
    np.testing.assert_allclose(plain_distances, distances, atol=2e-6)


def test_lazy_and_plain_loops_agree_where_distances_are_exact():
    points = np.random.default_rng(3).integers(-2, 3, (3000, 4)).astype(np.float32)
    positions, distances = k_center(points, 3000)
    chosen, plain_distances = choose_plainly(points, 3000, int(positions[0]))
    np.testing.assert_array_equal(chosen, positions)
    np.testing.assert_array_equal(plain_distances.astype(np.float32), distances)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_chooses_the_farthest_in_float64():
    points = clustered(np.random.default_rng(3), 3000, 64)
    assert_greedy(points, *k_center(points, 600, device="cuda"), [])
    selected = [5, 1]
    assert_greedy(points, *k_center(points, 100, selected=selected, device="cuda"), selected)


@settings(max_examples=80, deadline=None)
@given(points=GRID, data=st.data())
def test_on_grids_with_many_ties_the_lowest_key_wins(points, data):
    keys = np.array(data.draw(st.permutations(range(len(points)))), np.uint64)
    positions, distances = k_center(points, len(points), tie_keys=keys)
    assert sorted(positions.tolist()) == list(range(len(points)))
    for count in range(1, len(points)):
        nearest = distances_to(points, positions[:count].tolist())
        nearest[positions[:count]] = -1
        tied = np.flatnonzero(nearest >= nearest.max() - 1e-9)
        assert positions[count] == tied[keys[tied].argmin()]
        assert distances[count] == pytest.approx(nearest.max(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(points=GRID, data=st.data())
def test_a_permuted_pool_gives_the_permuted_selection(points, data):
    keys = np.random.default_rng(0).permutation(len(points)).astype(np.uint64)
    order = np.array(data.draw(st.permutations(range(len(points)))))
    budget = data.draw(st.integers(1, len(points)))
    positions, distances = k_center(points, budget, tie_keys=keys)
    permuted, same = k_center(points[order], budget, tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], positions)
    np.testing.assert_array_equal(same, distances)


def test_a_permuted_pool_larger_than_a_block_gives_the_permuted_selection():
    generator = np.random.default_rng(4)
    distinct = clustered(generator, 2500, 24)
    points = np.concatenate([distinct, distinct[:1500]])  # exact duplicates
    keys = generator.permutation(len(points)).astype(np.uint64)
    order = generator.permutation(len(points))
    positions, _ = k_center(points, 3000, tie_keys=keys)
    permuted, _ = k_center(points[order], 3000, tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], positions)


def test_duplicates_come_last_at_distance_zero_in_key_order():
    generator = np.random.default_rng(5)
    points = np.repeat(clustered(generator, 300, 384), 5, axis=0)
    keys = generator.permutation(len(points)).astype(np.uint64)
    positions, distances = k_center(points, len(points), tie_keys=keys)
    assert len(np.unique(points[positions[:300]], axis=0)) == 300
    assert (distances[1:300] > 0).all()
    assert (distances[300:] == 0).all()
    assert (np.diff(keys[positions[300:]].astype(np.int64)) > 0).all()


@settings(max_examples=40, deadline=None)
@given(
    points=arrays(np.float32, (9, 2), elements=st.floats(-1, 1, width=16)),
    budget=st.integers(1, 4),
)
def test_radius_is_at_most_twice_the_optimal_one(points, budget):
    positions, _ = k_center(points, budget)
    optimum = min(distances_to(points, list(c)).max() for c in combinations(range(9), budget))
    assert distances_to(points, positions).max() <= 2 * optimum + 1e-6


def test_the_next_distance_is_the_radius_of_what_was_chosen_before():
    points = clustered(np.random.default_rng(7), 400, 8)
    positions, distances = k_center(points, 50)
    assert distances_to(points, positions[:49]).max() == pytest.approx(distances[49], abs=1e-6)


def test_distances_start_from_what_is_selected():
    points = clustered(np.random.default_rng(8), 2000, 12)
    all_positions, all_distances = k_center(points, 300)
    positions, distances = k_center(points, 200, selected=all_positions[:100])
    np.testing.assert_array_equal(positions, all_positions[100:])
    np.testing.assert_array_equal(distances, all_distances[100:])


def test_a_given_first_position_is_chosen_first():
    points = clustered(np.random.default_rng(9), 100, 6)
    positions, distances = k_center(points, 10, first=42)
    assert positions[0] == 42
    assert_greedy(points, positions, distances, [])
    positions, distances = k_center(points, 3, first=42, selected=[7])
    assert positions[0] == 42
    assert distances[0] == pytest.approx(distances_to(points, [7])[42], abs=1e-6)


def test_smaller_budgets_are_contained_in_larger_ones():
    points = clustered(np.random.default_rng(10), 3000, 8)
    large, _ = k_center(points, 1500)
    for budget in (0, 1, 2, 700):
        np.testing.assert_array_equal(k_center(points, budget)[0], large[:budget])


def test_all_equal_rows_are_chosen_in_key_order():
    positions, distances = k_center(np.ones((5, 3)), 5, tie_keys=np.array([4, 3, 0, 1, 2], np.uint64))
    assert positions.tolist() == [2, 3, 4, 1, 0]
    assert distances.tolist() == [np.inf, 0, 0, 0, 0]
    assert k_center(np.zeros((3, 2)), 3)[0].tolist() == [0, 1, 2]


def test_the_medoid_of_unit_rows_has_the_highest_mean_cosine():
    points = clustered(np.random.default_rng(11), 300, 10)
    cosines = points.astype(np.float64) @ points.T.astype(np.float64)
    assert find_medoid(points) == cosines.mean(axis=1).argmax()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 6}, r"budget: must be in 0\.\.5"),
        ({"budget": -1}, r"budget: must be in 0\.\.5"),
        ({"budget": 5, "selected": [0]}, r"budget: must be in 0\.\.4"),
        ({"selected": [5]}, r"selected: positions must be in 0\.\.4, got 5\.\.5"),
        ({"selected": [1, 1]}, "selected: positions must be distinct"),
        ({"selected": [1], "first": 1}, r"first: must be a free position in 0\.\.4, got 1"),
        ({"tie_keys": [1, 2]}, r"tie_keys: must have shape \(5,\), got \(2,\)"),
        ({"embeddings": np.ones(5)}, r"embeddings: must be \(n, d\)"),
        ({"embeddings": [[1.0], [np.nan], [2.0]]}, "embeddings: must be finite, got NaN or inf in row 1"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {"embeddings": np.arange(10.0).reshape(5, 2), "budget": 1} | change
    with pytest.raises(SelectionError, match=message):
        k_center(**arguments)


def test_memory_beside_the_rows_is_linear():
    points = np.random.default_rng(12).standard_normal((12_000, 16)).astype(np.float32)
    tracemalloc.start()
    k_center(points, 1200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All distances to all centres would be 115 MB as float64; blocks are at most 2048 x 1024.
    assert peak < 40e6
