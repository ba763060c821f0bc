"""Cutting a large pool into parts of neighbours, and putting together what is chosen in each of them.

The parts are those of a tree of principal axes: a set of rows is cut across the direction in which it is widest, so
that both halves have their share of the rows, then each half likewise. They depend on the rows alone: not on their
order, a seed, the budget or the number of threads (sums are rounded before anything is decided by them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from raybert.selection.geometry.points import row_blocks

LARGEST_WHOLE = 200_000
"""Rows of a pool up to which nothing is cut, unless a strategy's `num_parts` asks for it."""
CENTRE_ROWS = 65_536
"""Of a part of k-center: distances are computed anew, so that a part takes little more than its rows."""
GRAPH_ROWS = 8_192
"""Of a part where all similarities of a part are kept: 256 MiB."""
_LEVELS = 2.0**21
"""Steps of a projection; of a covariance 2**24."""
_ITERATIONS = 48
"""Of the power method: the direction must be wide, it need not be the widest to the last digit."""

Chosen = tuple[np.ndarray, np.ndarray]
"""Positions in the order of choice, and the values that they were chosen by, which never increase."""


def count_parts(num_points: int, num_parts: int | None, largest: int) -> int:
    """Return in how many parts a pool is chosen from.

    Args:
        num_points: n.
        num_parts: that a user asks for; None: one up to `LARGEST_WHOLE` rows, above as many as
            `largest` makes necessary.
        largest: rows of a part.
    """
    if num_parts is not None:
        return min(num_parts, num_points)
    return 1 if num_points <= LARGEST_WHOLE else -(-num_points // largest)


def is_cut(num_points: int, num_parts: int | None = None) -> bool:
    """Tell whether a pool is chosen from in more than one part."""
    return count_parts(num_points, num_parts, LARGEST_WHOLE) > 1


def cut_into_parts(points: np.ndarray, num_parts: int) -> list[np.ndarray]:
    """Return the (m,) rows of each part, ascending; identical rows are never in two parts.

    Args:
        points: (n, d) float32.
        num_parts: how many there are to be; fewer where so many rows are identical.
    """
    keys = _content_keys(points) if num_parts > 1 else np.empty(len(points), np.uint64)
    return [np.sort(rows) for rows in _cut(points, keys, np.arange(len(points)), num_parts)]


def choose_by_value(
    parts: Sequence[np.ndarray], budget: int, num_free: Sequence[int], choose: Callable[[np.ndarray, int], Chosen]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `budget` choices of the largest values that greedy choices in the parts make.

    That is the greedy choice in the whole pool, had rows of different parts nothing to do with each other. Each part
    gives as many as it is worth: those with more to gain give more. What a smaller budget takes, a larger one does.

    Args:
        parts: rows of each.
        budget: at most what is free.
        num_free: of each part, how many can be chosen.
        choose: (rows of a part, how many) -> positions in the pool and values that never increase; what it chooses
            for a smaller number it chooses first for a larger one.

    Returns:
        positions (budget,) int64 and their values, the largest first; and (parts,) the value that each part would
        choose next by, 0 where nothing is left.
    """
    total = sum(map(len, parts))
    wanted = [
        min(free, -(-5 * budget * len(rows) // (4 * total)) + 16) for rows, free in zip(parts, num_free, strict=True)
    ]
    found: dict[int, Chosen] = {}
    taken = np.zeros(len(parts), np.int64)
    short = list(range(len(parts)))
    while short:
        found |= {part: _never_increasing(*choose(parts[part], wanted[part])) for part in short}
        owners = np.concatenate([np.full(len(found[part][0]), part) for part in range(len(parts))])
        places = np.concatenate([np.arange(len(found[part][0])) for part in range(len(parts))])
        positions, values = (np.concatenate([found[part][i] for part in range(len(parts))]) for i in (0, 1))
        order = np.lexsort((owners, places, -values))[:budget]
        taken = np.bincount(owners[order], minlength=len(parts))
        # Of a part whose every choice is taken the next one might be, too.
        short = [part for part in range(len(parts)) if taken[part] == wanted[part] < num_free[part]]
        for part in short:
            wanted[part] = min(num_free[part], 2 * wanted[part])
    left = [found[part][1][taken[part] :] for part in range(len(parts))]
    return positions[order], values[order], np.array([rest[0] if len(rest) else 0.0 for rest in left])


def _never_increasing(positions: np.ndarray, values: np.ndarray) -> Chosen:
    return positions, np.minimum.accumulate(values)  # equal ones may differ in their last bits


def _cut(points: np.ndarray, keys: np.ndarray, rows: np.ndarray, num_parts: int) -> list[np.ndarray]:
    if num_parts == 1:
        return [rows]
    first = num_parts // 2
    places = np.rint(_along_widest(points, rows) * _LEVELS)
    order = np.lexsort((keys[rows], places))
    at = _end_of_equals(keys[rows[order]], len(rows) * first // num_parts)
    if not 0 < at < len(rows):
        return [rows]  # all the same
    return [
        *_cut(points, keys, rows[order[:at]], first),
        *_cut(points, keys, rows[order[at:]], num_parts - first),
    ]


def _end_of_equals(keys: np.ndarray, at: int) -> int:
    """Return the place nearest to `at` that has no equal keys on both sides: the next one, else the one before."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    after = starts[np.searchsorted(starts, at) :]
    if len(after):
        return int(after[0])
    return int(starts[-1])


def _along_widest(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (m,) float64 where the rows are in the direction in which they are widest."""
    width = points.shape[1]
    sums, products = np.zeros(width), np.zeros((width, width))
    for block in row_blocks(len(rows), 8192):
        part = points[rows[block]].astype(np.float64)
        sums += part.sum(axis=0)
        products += part.T @ part
    mean = sums / len(rows)
    covariance = products / len(rows) - np.outer(mean, mean)
    step = (float(np.abs(covariance).max()) or 1.0) * 2.0**-24
    covariance = np.rint(covariance / step) * step
    direction = covariance[np.square(covariance).sum(axis=1).argmax()]
    for _ in range(_ITERATIONS):
        direction = direction / (np.sqrt(np.square(direction).sum()) or 1.0)
        direction = np.einsum("ij,j->i", covariance, direction)
    direction = direction / (np.sqrt(np.square(direction).sum()) or 1.0)
    along = np.empty(len(rows))
    for block in row_blocks(len(rows), 8192):
        along[block] = (points[rows[block]].astype(np.float64) - mean) @ direction
    return along


def _content_keys(points: np.ndarray) -> np.ndarray:
    """Return (n,) uint64, equal for identical rows; of others by a chance of 2**-64 a pair."""
    factors = np.random.default_rng(0).integers(1, 2**63, size=points.shape[1], dtype=np.uint64) * np.uint64(2)
    factors += np.uint64(1)
    keys = np.empty(len(points), np.uint64)
    with np.errstate(over="ignore"):
        for block in row_blocks(len(points), 8192):
            bits = (points[block] + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0 is 0
            keys[block] = (bits * factors).sum(axis=1, dtype=np.uint64)
    return keys
