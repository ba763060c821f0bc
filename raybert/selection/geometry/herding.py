"""Greedy choices by sums of vectors: herding, and graph cut. One product of all rows with one vector a choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.points import as_points, as_selected, check_budget, row_blocks, tie_ranks, unit_rows

_LEVELS = 2.0**20
"""Values that agree to so many parts of one are ties: float32 products of equal rows may differ in their last bits."""


def herding(
    embeddings: ArrayLike, budget: int, *, selected: ArrayLike | None = None, tie_keys: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples whose running mean follows the mean of all, and what each was chosen by.

    w_0 = mu; repeat: the free x with the largest w . x, then w += mu - x.

    Args:
        embeddings: (n, d) rows, as they are.
        budget: number of new positions, 0..n - len(selected).
        selected: positions chosen earlier: w is what it would be after them; they are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.

    Returns:
        positions (budget,) int64 in the order of choice; w . x (budget,) float64.

    Raises:
        SelectionError: embeddings not finite, budget or positions out of range.

    Source: Welling 2009, "Herding Dynamical Weights to Learn", eq. 8-9, for moments that are the embeddings themselves.
    """
    points, kept, order, place = _in_tie_order(as_points(embeddings), budget, selected, tie_keys)
    mean = points.mean(axis=0, dtype=np.float64)
    weights = mean * (1 + len(kept)) - points[place[kept]].sum(axis=0, dtype=np.float64)
    is_free = np.ones(len(points), bool)
    is_free[place[kept]] = False
    rows, values = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        rows[count], values[count] = _first_best(points @ weights.astype(np.float32), is_free)
        weights += mean - points[rows[count]]
    return order[rows], values


def graph_cut(
    embeddings: ArrayLike,
    budget: int,
    weight: float = 2.0,
    *,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy maximiser of F(S) = weight sum_{v in V, s in S} sim(v, s) - sum_{s, t in S} sim(s, t).

    sim = (1 + cos) / 2, the second sum over ordered pairs, s = t among them. As sums of cosines are cosines with sums,
    no similarity is kept: memory O(n).

    Args:
        embeddings: (n, d) rows, normalised here.
        budget: number of new positions, 0..n - len(selected).
        weight: of what the choice is similar to; from 2 on F never falls.
        selected: positions chosen earlier, which count in S and are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.

    Returns:
        positions (budget,) int64 in the order of choice; gains of F (budget,) float64.

    Raises:
        SelectionError: embeddings not finite, weight, budget or positions out of range.

    Source: Iyer et al. 2021, "Submodular Combinatorial Information Measures", section 2 (graph cut), arXiv 2006.15412.
    """
    if weight < 0:
        raise SelectionError(f"weight: must be >= 0, got {weight}")
    points, kept, order, place = _in_tie_order(unit_rows(embeddings), budget, selected, tie_keys)
    total = points.sum(axis=0, dtype=np.float64)
    gains = np.empty(len(points))
    for block in row_blocks(len(points)):
        rows = points[block].astype(np.float64)
        gains[block] = weight * (len(points) + rows @ total) / 2 - (1 + np.square(rows).sum(axis=1)) / 2
    is_free = np.ones(len(points), bool)
    for row in place[kept]:
        gains -= 1.0 + points @ points[row]  # twice the similarity
        is_free[row] = False
    chosen, values = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        chosen[count], values[count] = _first_best(gains, is_free)
        gains -= 1.0 + points @ points[chosen[count]]
    return order[chosen], values


def _in_tie_order(
    points: np.ndarray, budget: int, selected: ArrayLike | None, tie_keys: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows in the order of the tie keys, what is selected, that order, and the place of each position."""
    kept = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(kept))
    order = np.argsort(tie_ranks(tie_keys, len(points)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return points[order], kept, order, place


def _first_best(values: np.ndarray, is_free: np.ndarray) -> tuple[int, float]:
    """Return the first free row of the largest value, which is free no more, and the value."""
    levels = np.where(is_free, np.rint(values.astype(np.float64) * _LEVELS), -np.inf)
    row = int(levels.argmax())
    is_free[row] = False
    return row, float(values[row])
