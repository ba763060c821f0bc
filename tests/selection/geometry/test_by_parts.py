"""Selection by parts: against brute force on what the parts mean, against the exact algorithms in what it loses."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from raybert import select
from raybert.selection.geometry import parts
from raybert.selection.geometry.by_parts import (
    covering_radius,
    facility_location_by_parts,
    k_center_by_parts,
    knn_by_parts,
    mean_coverage,
    qdit_by_parts,
)
from raybert.selection.geometry.cells import nearest_in_cells
from raybert.selection.geometry.clusters import semantic_duplicates
from raybert.selection.geometry.coverage import PrecomputedSimilarity, maximise_coverage
from raybert.selection.geometry.d2 import d2_select
from raybert.selection.geometry.facility_location import facility_location
from raybert.selection.geometry.k_center import k_center
from raybert.selection.geometry.neighbours import knn_graph
from raybert.selection.geometry.parts import choose_by_value, count_parts, cut_into_parts
from raybert.selection.geometry.points import unit_rows
from raybert.selection.strategies import coverage

NUM, WIDTH = 1200, 24


def topics(seed: int = 0, num: int = NUM) -> np.ndarray:
    """Return unit rows of 15 topics of very different sizes, some rows twice."""
    generator = np.random.default_rng(seed)
    topic = np.minimum(generator.geometric(0.2, num) - 1, 14)
    rows = generator.normal(size=(15, WIDTH))[topic] + 0.5 * generator.normal(size=(num, WIDTH))
    rows[num // 2 : num // 2 + 20] = rows[:20]
    return unit_rows(rows.astype(np.float32))


POINTS = topics()
KEYS = np.random.default_rng(1).integers(2**63, size=NUM, dtype=np.uint64)


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7, 16])
def test_every_row_is_in_one_part_and_parts_are_of_one_size_but_for_identical_rows(num_parts):
    found = cut_into_parts(POINTS, num_parts)
    assert len(found) == num_parts
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(NUM))
    sizes = [len(rows) for rows in found]
    assert max(sizes) - min(sizes) <= 8
    part_of = np.empty(NUM, int)
    for number, rows in enumerate(found):
        part_of[rows] = number
    assert np.array_equal(part_of[:20], part_of[NUM // 2 : NUM // 2 + 20])


def test_rows_that_are_all_the_same_are_one_part():
    assert [len(rows) for rows in cut_into_parts(np.ones((50, 3), np.float32), 4)] == [50]
    two = np.repeat([[1.0, 0], [0, 1]], [1, 49], axis=0).astype(np.float32)
    assert sorted(len(rows) for rows in cut_into_parts(two, 5)) == [1, 49]


def test_parts_are_of_neighbours():
    found = cut_into_parts(POINTS, 8)
    inside = np.mean([(POINTS[rows] @ POINTS[rows].T).mean() for rows in found])
    assert inside > (POINTS @ POINTS.T).mean() + 0.1


def test_parts_do_not_depend_on_the_order_or_the_threads():
    order = np.random.default_rng(2).permutation(NUM)
    with threadpool_limits(1):
        one = cut_into_parts(POINTS, 8)
    with threadpool_limits(2):
        two = cut_into_parts(POINTS[order], 8)
    for rows, others in zip(one, two, strict=True):
        assert np.array_equal(np.sort(KEYS[order][others]), np.sort(KEYS[rows]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 40))
def test_by_value_is_the_largest_of_all_whole_sequences(seed, num_parts, budget):
    generator = np.random.default_rng(seed)
    rows = np.array_split(np.arange(60), num_parts)
    # One part is worth far more than its size says, so that its first quota does not do.
    whole = [
        np.sort(generator.integers(0, 9, len(part)))[::-1] * (10.0 if i == 0 else 1.0) for i, part in enumerate(rows)
    ]
    asked = []

    def choose(part, count):
        number = next(i for i, one in enumerate(rows) if one[0] == part[0])
        asked.append(count)
        return part[:count], whole[number][:count]

    positions, values, left = choose_by_value(rows, budget, list(map(len, rows)), choose)
    assert np.array_equal(values, np.sort(np.concatenate(whole))[::-1][:budget])
    assert len(set(positions.tolist())) == budget
    for part, sequence, rest in zip(rows, whole, left, strict=True):
        taken = int(np.isin(part, positions).sum())
        assert np.array_equal(positions[np.isin(positions, part)], part[:taken])
        assert rest == (sequence[taken] if taken < len(sequence) else 0.0)


def test_facility_location_is_the_greedy_choice_where_other_parts_are_not_similar_at_all():
    similarity = (1.0 + POINTS.astype(np.float64) @ POINTS.T) / 2.0
    own = np.zeros_like(similarity)
    for rows in cut_into_parts(POINTS, 4):
        own[np.ix_(rows, rows)] = similarity[np.ix_(rows, rows)]
    ranks = np.argsort(np.argsort(KEYS))
    expected, gains = maximise_coverage(
        PrecomputedSimilarity(own), 60, base=np.zeros(NUM), weight=1.0, selected=np.empty(0, int), ranks=ranks
    )
    found = facility_location_by_parts(POINTS, 60, 4, tie_keys=KEYS)
    assert np.array_equal(np.sort(found.positions), np.sort(expected))
    assert found.values == pytest.approx(gains, rel=1e-5)


@pytest.mark.parametrize(
    ("num_parts", "budget", "times", "share"),
    [(2, 60, 1.1, 0.995), (2, 120, 1.1, 0.995), (4, 120, 1.15, 0.99), (9, 300, 1.15, 0.98), (9, 30, 1.5, 0.97)],
)
def test_what_parts_lose_is_small(num_parts, budget, times, share):
    centres = k_center_by_parts(POINTS, budget, num_parts, tie_keys=KEYS)
    exact, _ = k_center(POINTS, budget, tie_keys=KEYS)
    radius = covering_radius(POINTS, centres.positions)
    assert radius <= times * covering_radius(POINTS, exact)
    said = float(re.search(r"within ([\d.]+) of", centres.note).group(1))
    assert radius <= said + 1e-3
    covering = facility_location_by_parts(POINTS, budget, num_parts, tie_keys=KEYS)
    best, _ = facility_location(POINTS, budget, tie_keys=KEYS)
    assert mean_coverage(POINTS, covering.positions) >= share * mean_coverage(POINTS, best)
    said = float(re.search(r"at least ([\d.]+)", covering.note).group(1))
    assert mean_coverage(POINTS, covering.positions) >= said - 1e-3


def test_radius_and_coverage_are_those_of_all_distances():
    chosen = np.array([3, 500, 900])
    gaps = np.linalg.norm(POINTS[:, None].astype(float) - POINTS[chosen], axis=2).min(axis=1)
    assert covering_radius(POINTS, chosen) == pytest.approx(gaps.max(), rel=1e-6)
    cosines = (POINTS.astype(float) @ POINTS[chosen].T).max(axis=1)
    assert mean_coverage(POINTS, chosen) == pytest.approx((1 + cosines).mean() / 2, rel=1e-6)


CHOICES = {
    "k_center": lambda points, count, keys, **more: k_center_by_parts(points, count, 5, tie_keys=keys, **more),
    "facility_location": lambda points, count, keys, **more: facility_location_by_parts(
        points, count, 5, tie_keys=keys, **more
    ),
    "qdit": lambda points, count, keys, **more: qdit_by_parts(
        np.square(points[:, 0]), 0.5, count, 5, embeddings=points, tie_keys=keys, **more
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_larger_budget_takes_all_that_a_smaller_one_does_and_the_order_of_the_pool_does_not_matter(name):
    choose = CHOICES[name]
    large = choose(POINTS, 90, KEYS).positions
    assert len(set(large.tolist())) == 90
    assert np.array_equal(choose(POINTS, 40, KEYS).positions, large[:40])
    order = np.random.default_rng(3).permutation(NUM)
    assert np.array_equal(order[choose(POINTS[order], 90, KEYS[order]).positions], large)


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_selected_already_is_not_chosen_again_and_everything_can_be(name):
    choose = CHOICES[name]
    first = choose(POINTS, 20, KEYS).positions
    rest = choose(POINTS, NUM - 20, KEYS, selected=first).positions
    assert np.array_equal(np.sort(np.concatenate([first, rest])), np.arange(NUM))


def test_neighbours_are_those_of_the_whole_pool_but_for_few_which_is_said():
    neighbours, cosines, note = knn_by_parts(POINTS, 4, 8, tie_keys=KEYS)
    exact, best = knn_graph(POINTS, 4, tie_keys=KEYS)
    similar = np.einsum("ikd,id->ik", POINTS[neighbours].astype(np.float64), POINTS)
    assert cosines == pytest.approx(similar, abs=1e-6)
    assert not (neighbours == np.arange(NUM)[:, None]).any()
    assert all(len(set(row)) == 4 for row in neighbours.tolist())
    is_found = [np.isin(exact[row], neighbours[row]).mean() for row in range(NUM)]
    assert np.mean(is_found) > 0.97  # among 150 of 1,200; in 8 parts it is less than half of them
    assert (cosines <= best + 1e-6).all()
    hits = np.mean([is_found[row] for row in np.argsort(KEYS)[:256]])
    assert float(re.search(r"([\d.]+) % of the 4", note).group(1)) == pytest.approx(100 * hits, abs=2.0)


def test_neighbours_in_all_cells_are_exact_and_a_permuted_pool_has_the_same():
    ranks = np.argsort(np.argsort(KEYS))
    exact, best = knn_graph(POINTS, 5, tie_keys=KEYS)
    everywhere, cosines = nearest_in_cells(POINTS, 5, NUM, ranks)
    assert np.array_equal(everywhere, exact)
    assert cosines == pytest.approx(best, abs=1e-6)
    places = np.random.default_rng(2).permutation(NUM)
    found, _ = nearest_in_cells(POINTS, 5, 100, ranks)
    permuted, _ = nearest_in_cells(POINTS[places], 5, 100, ranks[places])
    assert np.array_equal(places[permuted], found[places])


def test_one_cell_of_identical_rows_and_cells_of_one_row_are_searched():
    rows = np.concatenate([np.repeat(POINTS[:1], 300, axis=0), POINTS[100:160], np.zeros((1, WIDTH), np.float32)])
    found, cosines = nearest_in_cells(rows, 3, 20, np.arange(len(rows)))
    assert found[:3].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3]]
    assert np.allclose(cosines[:300], 1, atol=1e-6)
    assert all(len(set(row)) == 3 for row in found.tolist())


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("k_center", r"k_center chooses in 4 parts of .*covering radius of [\d.]+, in one piece [\d.]+"),
        (
            "facility_location",
            r"facility_location chooses in 4 parts .*mean similarity to the chosen of [\d.]+, in one",
        ),
        ("d2", r"d2 looks for neighbours in 16 cells near each .* nearest neighbours are found"),
        ("qdit_lite", "qdit_lite chooses in 4 parts"),
    ],
)
def test_strategies_that_are_asked_to_choose_in_parts_say_what_that_loses(strategy, said):
    labels = np.zeros(NUM, int)
    probs = np.random.default_rng(4).dirichlet([1, 1], NUM).astype(np.float32)
    signals = {"embeddings": POINTS, **({"probs": probs} if strategy in ("d2", "qdit_lite") else {})}
    whole = select(strategy, 50, labels=labels, **signals)
    assert whole.notes == ()
    same = select(strategy, 50, labels=labels, parameters={"num_parts": 1}, **signals)
    assert np.array_equal(whole.positions, same.positions)
    cut = select(strategy, 50, labels=labels, parameters={"num_parts": 4}, **signals)
    (note,) = cut.notes
    assert re.match(said, note), note
    assert len(set(cut.positions.tolist())) == 50


def test_a_large_pool_is_cut_unasked(monkeypatch):
    monkeypatch.setattr(parts, "LARGEST_WHOLE", 1000)
    monkeypatch.setattr(coverage, "CENTRE_ROWS", 500)
    (note,) = select("k_center", 50, labels=np.zeros(NUM, int), embeddings=POINTS).notes
    assert note.startswith("k_center chooses in 3 parts of at most 40")
    assert not select("k_center", 50, labels=np.zeros(NUM, int), embeddings=POINTS, parameters={"num_parts": 1}).notes
    assert not select("k_center", 50, labels=np.zeros(1000, int), embeddings=POINTS[:1000]).notes
    notes = select("edfs_lite", 90, labels=np.zeros(3 * NUM, int), **_long()).notes
    assert all(note.startswith("edfs_lite chooses in 3 parts") for note in notes)
    assert notes


def _long() -> dict[str, np.ndarray]:
    probs = np.random.default_rng(5).dirichlet([1, 1], 3 * NUM).astype(np.float32)
    return {"embeddings": topics(6, 3 * NUM), "probs": probs}


def test_up_to_the_limit_nothing_is_cut():
    assert count_parts(parts.LARGEST_WHOLE, None, 10) == 1
    assert count_parts(1_000_000, None, 65_536) == 16
    assert count_parts(1_000_000, 1, 65_536) == 1
    assert count_parts(3, 8, 65_536) == 3


def test_semantic_duplicates_say_how_many_pairs_two_clusters_hide():
    found = semantic_duplicates(POINTS, np.zeros(NUM, int), 0.3, np.random.default_rng(0), tie_keys=KEYS)
    assert found.note == ""
    cut = semantic_duplicates(
        POINTS, np.zeros(NUM, int), 0.3, np.random.default_rng(0), tie_keys=KEYS, exact_limit=NUM // 2
    )
    clusters, missed, pairs, sample = map(int, re.findall(r"\d+", cut.note.replace(",", "")))
    near = POINTS[np.argsort(KEYS)[:512]] @ POINTS.T > 0.7
    assert (clusters, pairs, sample) == (1, int(near.sum()) - 512, 512)
    assert missed == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 4))
def test_d2_chooses_the_first_largest_value_each_time(seed, num, width):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, num).astype(float)
    graph = np.array([generator.permutation(num)[:width] for _ in range(num)])
    cosines = generator.integers(-1, 2, graph.shape) / 2.0
    positions, by = d2_select(scores, graph, cosines, num, 0.1)
    squared = 2.0 - 2.0 * cosines
    values = scores + (np.exp(-squared) * scores[graph]).sum(axis=1)
    for position, value in zip(positions, by, strict=True):
        assert position == values.argmax()
        assert value == values[position]
        np.subtract.at(values, graph[position], np.exp(-0.1 * squared[position]) * max(values[position], 0.0))
        values[position] = -np.inf
