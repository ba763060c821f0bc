"""D2 pruning: difficulty spread over a neighbour graph, then greedy with neighbours discounted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.points import as_selected, check_budget, tie_ranks


def d2_select(
    scores: ArrayLike,
    neighbours: ArrayLike,
    similarities: ArrayLike,
    budget: int,
    gamma: float = 0.1,
    *,
    forward_gamma: float = 1.0,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy choice by diffused score, each choice discounting its neighbours.

    Forward: x_i = s_i + sum_{j in N(i)} exp(-forward_gamma d_ij^2) s_j. Then repeatedly the largest x_i is
    chosen and x_j -= exp(-gamma d_ij^2) max(x_i, 0) for its neighbours j. d_ij^2 = 2 - 2 cos, N(i) = the
    given neighbours of i (directed).

    Args:
        scores: (n,) finite, >= 0, higher is harder.
        neighbours: (n, k) positions (see `knn_graph`).
        similarities: (n, k) their cosines.
        budget: number of new positions, 0..n - len(selected).
        gamma: of the discount, >= 0: the smaller, the more diverse.
        forward_gamma: of the diffusion, >= 0.
        selected: positions chosen earlier: they discount first, in this order, and are not returned.
        tie_keys: (n,) uint64, the lowest wins among equal values; default: the position.

    Returns:
        positions (budget,) int64 in the order of choice; values (budget,) float64 that they were chosen by.

    Raises:
        SelectionError: scores negative or not finite, shapes or budget out of range.

    Source: Maharana et al. 2023, "D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data
    Pruning", section 3.2. The authors' code has d in place of d^2; a choice below 0 would raise its
    neighbours there, here it discounts nothing.
    """
    values = np.asarray(scores, np.float64).copy()
    graph = np.asarray(neighbours, np.int64)
    cosines = np.asarray(similarities, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
        raise SelectionError("scores: must be finite and >= 0 (n,); shift or rank them first")
    if graph.ndim != 2 or graph.shape != cosines.shape or len(graph) != len(values):
        raise SelectionError(
            f"neighbours, similarities: must both be ({len(values)}, k), got {graph.shape}, {cosines.shape}"
        )
    kept = as_selected(selected, len(values))
    check_budget(budget, len(values) - len(kept))
    squared = 2.0 - 2.0 * np.clip(cosines, -1.0, 1.0)
    values += (np.exp(-forward_gamma * squared) * values[graph]).sum(axis=1)
    discounts = np.exp(-gamma * squared)
    # In the order of the tie ranks the first maximum is the one with the lowest key.
    order = np.argsort(tie_ranks(tie_keys, len(values)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return _choose(values[order], place[graph[order]], discounts[order], place[kept], budget, order)


def _choose(
    values: np.ndarray,
    graph: np.ndarray,
    discounts: np.ndarray,
    selected: np.ndarray,
    budget: int,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Run the greedy loop on rows in tie order; `order` leads back to positions."""
    chosen = np.empty(budget, np.int64)
    chosen_by = np.empty(budget)
    largest = _Largest(values)

    def discount(row: int) -> None:
        values[graph[row]] -= discounts[row] * max(values[row], 0.0)
        values[row] = -np.inf
        largest.update(np.append(graph[row], row))

    for row in selected:
        discount(row)
    for count in range(budget):
        row = chosen[count] = largest.first()
        chosen_by[count] = values[row]
        discount(row)
    return order[chosen], chosen_by


class _Largest:
    """Where the first of the largest values is, of which a few change at a time: by the maxima of blocks."""

    def __init__(self, values: np.ndarray) -> None:
        self._size = math.isqrt(len(values)) + 1
        num_blocks = -(-len(values) // self._size)
        self._values = np.full(num_blocks * self._size, -np.inf)
        self._source = values
        self._values[: len(values)] = values
        self._blocks = self._values.reshape(num_blocks, self._size)
        self._maxima = self._blocks.max(axis=1)

    def update(self, rows: np.ndarray) -> None:
        """Take over the values of some rows."""
        self._values[rows] = self._source[rows]
        blocks = np.unique(rows // self._size)
        self._maxima[blocks] = self._blocks[blocks].max(axis=1)

    def first(self) -> int:
        """Return the row of the largest value, the first of equals."""
        block = int(self._maxima.argmax())
        return block * self._size + int(self._blocks[block].argmax())
