"""Cuts that spread every one of several labels: iterative stratification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybert.data.units import Units


def spread_units(units: Units, marks: np.ndarray, shares: Sequence[float], seed: int, purpose: str) -> np.ndarray:
    """Return (n,) int64 the part of each row; rows of one unit share it, and parts are alike in every label.

    The label that fewest of the units left have is spread first: each of its units goes to the part that still wants
    most rows with it, of these to the one that still wants most rows at all, of these by the keyed order of the unit.
    Units without labels go to the part that wants most rows.

    Args:
        units: of the n rows.
        marks: (n, L) which labels each row has.
        shares: of the rows that each part is to have, in total 1.
        seed: of the order of units, and of parts that want the same.
        purpose: another purpose is another order.

    Source: Sechidis, Tsoumakas & Vlahavas 2011, "On the Stratification of Multi-Label Data", algorithm 1, for units of
    several rows: a unit counts as often as its rows, and has the labels of all of them.
    """
    sizes = units.sizes.astype(np.float64)
    counts = np.zeros((len(units), marks.shape[1]))
    np.add.at(counts, units.of_row, marks > 0)
    keys = units.order(seed, purpose)
    order = np.argsort(keys, kind="stable")
    wanted_rows = np.array(shares, np.float64) * sizes.sum()
    wanted = np.outer(shares, counts.sum(axis=0))  # (parts, L)
    part = np.full(len(units), -1, np.int64)
    holders = [order[counts[order, label] > 0] for label in range(marks.shape[1])]
    left = (counts > 0).sum(axis=0)

    def give(unit: int, wishes: np.ndarray) -> None:
        chosen = _most_wanting(wishes, wanted_rows, int(keys[unit]))
        part[unit] = chosen
        wanted_rows[chosen] -= sizes[unit]
        wanted[chosen] -= counts[unit]
        left[counts[unit] > 0] -= 1

    while left.any():
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for unit in holders[label]:
            if part[unit] < 0:
                give(int(unit), wanted[:, label])
    for unit in order[part[order] < 0]:
        give(int(unit), wanted_rows)
    return np.asarray(part[units.of_row])


def _most_wanting(wishes: np.ndarray, wanted_rows: np.ndarray, key: int) -> int:
    """Return the part with the largest wish, of several the one that wants most rows, of these one by a key."""
    best = np.flatnonzero(wishes >= wishes.max() - 1e-9)
    if len(best) > 1:
        best = best[wanted_rows[best] >= wanted_rows[best].max() - 1e-9]
    return int(best[key % len(best)])


def lacking_labels(part: np.ndarray, marks: np.ndarray, num_parts: int) -> np.ndarray:
    """Return (parts, L) bool: which part has no example of a label that there is."""
    counts = np.zeros((num_parts, marks.shape[1]), np.int64)
    np.add.at(counts, part, marks > 0)
    return np.asarray((counts == 0) & (counts.sum(axis=0) > 0))
