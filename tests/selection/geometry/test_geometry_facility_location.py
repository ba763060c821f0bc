"""Facility location and QDIT against naive greedy on the full matrix, and published values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raybert.errors import SelectionError
from raybert.selection.geometry import coverage
from raybert.selection.geometry.facility_location import facility_location, qdit_greedy
from raybert.selection.geometry.neighbours import knn_graph
from raybert.selection.geometry.points import unit_rows

PUBLISHED = np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.1, 0.2], [0.1, 0.1, 1, 0.3], [0.2, 0.2, 0.3, 1]])
QUALITY = np.array([0.9, 0.95, 0.2, 0.5])


def similarity_matrix(points: np.ndarray) -> np.ndarray:
    """Return all similarities, rounded to float32 as the lazy loop takes them, so that both see equal ties."""
    rows = unit_rows(points).astype(np.float64)
    return ((1 + rows @ rows.T) / 2).astype(np.float32).astype(np.float64)


def naive_greedy(similar, budget, selected=(), base=0.0, weight=1.0, relative=False) -> tuple[list[int], list[float]]:
    covered = similar[:, list(selected)].max(axis=1, initial=0)
    positions, values = [], []
    for _ in range(budget):
        gains = np.maximum(similar - covered[:, None], 0).sum(axis=0)
        free = np.setdiff1d(np.arange(len(similar)), [*selected, *positions])
        value = base + weight * gains / (gains[free].max() if relative else 1.0)
        value[[*selected, *positions]] = -np.inf
        best = int(value.argmax())
        positions.append(best)
        values.append(value[best])
        covered = np.maximum(covered, similar[:, best])
    return positions, values


@pytest.fixture
def points():
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((8, 12))
    return (centres[generator.integers(8, size=400)] + generator.standard_normal((400, 12))).astype(np.float32)


@pytest.mark.parametrize("selected", [[], [3, 250, 17]])
def test_lazy_chooses_what_naive_chooses(points, selected):
    positions, gains = facility_location(points, 150, selected=selected)
    expected, expected_gains = naive_greedy(similarity_matrix(points), 150, selected)
    assert positions.tolist() == expected
    np.testing.assert_allclose(gains, expected_gains, atol=1e-4)


def test_a_small_cache_changes_nothing(points, monkeypatch):
    expected, _ = facility_location(points, 200)
    monkeypatch.setattr(coverage, "_CACHE_BYTES", 1)
    monkeypatch.setattr(coverage, "_ROWS_AT_A_TIME", 5)
    np.testing.assert_array_equal(facility_location(points, 200)[0], expected)


def test_gains_never_increase_and_add_up_to_the_coverage(points):
    positions, gains = facility_location(points, 400)
    assert (np.diff(gains) <= 1e-9).all()
    assert sorted(positions.tolist()) == list(range(400))
    best = similarity_matrix(points)[:, positions[:50]].max(axis=1).sum()
    assert gains[:50].sum() == pytest.approx(best, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    points=arrays(np.float32, st.tuples(st.integers(2, 25), st.integers(1, 3)), elements=st.integers(-2, 2)),
    data=st.data(),
)
def test_with_many_ties_the_permuted_pool_gives_the_permuted_selection(points, data):
    keys = np.random.default_rng(0).permutation(len(points)).astype(np.uint64)
    order = np.array(data.draw(st.permutations(range(len(points)))))
    positions, gains = facility_location(points, len(points), tie_keys=keys)
    permuted, _ = facility_location(points[order], len(points), tie_keys=keys[order])
    np.testing.assert_array_equal(order[permuted], positions)
    covered = np.zeros(len(points))
    for position, gain in zip(positions, gains, strict=True):
        similar = similarity_matrix(points)
        naive = np.maximum(similar - covered[:, None], 0).sum(axis=0)
        assert gain == pytest.approx(naive[position], abs=1e-5)
        covered = np.maximum(covered, similar[:, position])


def test_one_example_is_the_medoid(points):
    position = facility_location(points, 1)[0][0]
    assert position == similarity_matrix(points).sum(axis=0).argmax()


def test_the_sparse_graph_is_naive_greedy_on_the_cut_matrix(points):
    neighbours, _ = knn_graph(points, 15)
    mask = np.eye(400, dtype=bool)
    mask[np.repeat(np.arange(400), 15), neighbours.ravel()] = True
    similar = np.where(mask | mask.T, similarity_matrix(points), 0.0)
    positions, gains = facility_location(points, 120, num_neighbours=15)
    expected, expected_gains = naive_greedy(similar, 120)
    assert positions.tolist() == expected
    np.testing.assert_allclose(gains, expected_gains, atol=1e-4)


def test_all_neighbours_are_the_exact_facility_location(points):
    sparse, _ = facility_location(points[:80], 40, num_neighbours=79)
    np.testing.assert_array_equal(sparse, facility_location(points[:80], 40)[0])


def test_published_values_of_qdit():
    assert qdit_greedy(QUALITY, 0.0, 3, similarity=PUBLISHED, raw_gain=True)[0].tolist() == [1, 0, 3]
    positions = qdit_greedy(QUALITY, 1.0, 3, similarity=PUBLISHED, raw_gain=True)[0].tolist()
    assert {2, 3} < set(positions)
    assert set(positions) & {0, 1}


def test_qdit_divides_gains_by_the_largest_that_is_left():
    # Column sums are 2.2, 2.2, 1.5, 1.7: at alpha .5 (.95 + 2.2 / 2.2) / 2 is best, position 1. Then the gains of
    # 0, 2, 3 are .1, .9 + .1, .8 + .2: (.9 + .1 / 1) / 2 = .5, (.2 + 1) / 2 = .6, (.5 + 1) / 2 = .75, position 3.
    # Then those of 0 and 2 are .1 and .7 (of itself; 3 covers it by .3): (.9 + .1 / .7) / 2 = .521, (.2 + 1) / 2 = .6.
    positions, values = qdit_greedy(QUALITY, 0.5, 3, similarity=PUBLISHED)
    assert positions.tolist() == [1, 3, 2]
    np.testing.assert_allclose(values, [0.975, 0.75, 0.6], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("raw_gain", [False, True])
def test_qdit_chooses_what_naive_chooses(points, alpha, raw_gain):
    quality = np.random.default_rng(1).random(400)
    similar = similarity_matrix(points)
    positions, values = qdit_greedy(quality, alpha, 100, embeddings=points, raw_gain=raw_gain, selected=[9])
    expected, expected_values = naive_greedy(similar, 100, [9], (1 - alpha) * quality, alpha, relative=not raw_gain)
    assert positions.tolist() == expected
    np.testing.assert_allclose(values, expected_values, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.1}, r"alpha: must be in 0\.\.1, got 1\.1"),
        ({"similarity": None}, "exactly one of embeddings and similarity"),
        ({"embeddings": PUBLISHED}, "exactly one of embeddings and similarity"),
        ({"similarity": -PUBLISHED}, r"similarity: must be a square matrix >= 0, got shape \(4, 4\)"),
        ({"quality": [1.0]}, "quality: must be 4 finite numbers"),
        ({"budget": 5}, r"budget: must be in 0\.\.4"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {"quality": QUALITY, "alpha": 0.5, "budget": 1, "similarity": PUBLISHED} | change
    with pytest.raises(SelectionError, match=message):
        qdit_greedy(**arguments)
