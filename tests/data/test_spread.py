"""Iterative stratification: by hand, beside a plain one of single rows, and beside the best of all cuts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from raybert.data.spread import lacking_labels, spread_units
from raybert.data.units import Units


def single(count: int) -> Units:
    return Units.of_names([f"row {i}" for i in range(count)])


def published(marks: np.ndarray, shares: list[float], keys: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Sechidis et al. 2011, word by word, for rows one by one."""
    order = np.argsort(keys, kind="stable").tolist()
    wanted_rows = [share * len(marks) for share in shares]
    wanted = [[share * marks[:, k].sum() for k in range(marks.shape[1])] for share in shares]
    part, left = [-1] * len(marks), set(range(len(marks)))

    def give(row: int, wishes: list[float]) -> None:
        best = [p for p in range(len(shares)) if wishes[p] >= max(wishes) - 1e-9]
        most = max(wanted_rows[p] for p in best)
        best = [p for p in best if wanted_rows[p] >= most - 1e-9]
        chosen = best[int(keys[row]) % len(best)]
        part[row] = chosen
        left.discard(row)
        wanted_rows[chosen] -= 1
        for k in np.flatnonzero(marks[row]):
            wanted[chosen][k] -= 1

    while any(marks[row].any() for row in left):
        counts = [sum(marks[row, k] for row in left) for k in range(marks.shape[1])]
        label = min((k for k in range(len(counts)) if counts[k]), key=lambda k: (counts[k], k))
        for row in [row for row in order if row in left and marks[row, label]]:
            give(row, [wanted[p][label] for p in range(len(shares))])
    for row in [row for row in order if row in left]:
        give(row, list(wanted_rows))
    return np.array(part)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.7, 0.1, 0.2], [0.25] * 4])
def test_it_is_the_published_algorithm(seed: int, shares: list[float]):
    generator = np.random.default_rng(seed)
    marks = (generator.random((60, 4)) < [0.5, 0.2, 0.1, 0.05]).astype(int)
    units = single(60)
    keys = units.order(seed, "split")
    assert spread_units(units, marks, shares, seed, "split").tolist() == published(marks, shares, keys).tolist()


def test_halves_are_as_alike_as_the_best_of_all():
    generator = np.random.default_rng(3)
    marks = (generator.random((12, 3)) < [0.6, 0.4, 0.3]).astype(int)
    part = spread_units(single(12), marks, [0.5, 0.5], 0, "split")

    def distance(chosen: tuple[int, ...]) -> float:
        return float(np.abs(2 * marks[list(chosen)].sum(axis=0) - marks.sum(axis=0)).sum())

    best = min(distance(chosen) for chosen in combinations(range(12), 6))
    assert abs((part == 0).sum() - 6) <= 1
    assert distance(tuple(np.flatnonzero(part == 0).tolist())) <= best + 2


def test_units_stay_whole_and_the_order_of_rows_does_not_matter():
    generator = np.random.default_rng(1)
    names = [f"group {i}" for i in generator.integers(0, 25, 100)]
    marks = (generator.random((100, 3)) < 0.3).astype(int)
    part = spread_units(Units.of_names(names), marks, [0.6, 0.4], 5, "split")
    assert all(len({p for p, n in zip(part, names, strict=True) if n == name}) == 1 for name in set(names))
    moved = generator.permutation(100)
    again = spread_units(Units.of_names([names[i] for i in moved]), marks[moved], [0.6, 0.4], 5, "split")
    assert again.tolist() == part[moved].tolist()


def test_a_label_of_two_examples_is_in_both_halves():
    marks = np.zeros((40, 2), int)
    marks[:, 0] = np.arange(40) % 2
    marks[[3, 9], 1] = 1
    part = spread_units(single(40), marks, [0.5, 0.5], 0, "split")
    assert sorted(part[[3, 9]]) == [0, 1]
    assert not lacking_labels(part, marks, 2).any()
    assert lacking_labels(np.zeros(40, int), marks, 2).tolist() == [[False, False], [True, True]]
