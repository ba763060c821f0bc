"""Lazy greedy maximisation of coverage: sum_v max_{s chosen} sim(v, s), plus a score of each example.

Gains only shrink as examples are chosen, so a stale gain is an upper bound: only what is on top is evaluated
again. Similarities are rounded to float32 from float64 products and gains are summed in float64, so a gain
does not depend on what it was computed together with, and lazy greedy chooses what naive greedy chooses.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_array

from raybert.selection.geometry.points import row_blocks

_CACHE_BYTES = 1 << 30
_ROWS_AT_A_TIME = 64
_CHOSEN = np.iinfo(np.int64).min
_TIE = 2.0**-36
"""Values that differ by less than this part of the largest are equal."""


class Similarity(Protocol):
    """Similarities >= 0 of all examples to single ones, and what these would add to a coverage."""

    def __len__(self) -> int:
        """Return the number of examples n."""

    def gain_bounds(self) -> np.ndarray:
        """Return (n,) float64 upper bounds of the gains over an empty selection."""

    def gains(self, positions: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Return sum_v max(0, sim(v, i) - covered[v]) for each position i."""

    def cover(self, position: int, covered: np.ndarray) -> None:
        """Raise `covered` (n,) float32, in place, to the similarities of one chosen example."""

    def companions(self, position: int, priority: np.ndarray) -> np.ndarray:
        """Return the positions, `position` among them, that are best evaluated together."""


class DenseSimilarity:
    """(1 + cos) / 2 of all pairs, computed by blocks of rows; up to 1 GiB of them is kept."""

    def __init__(self, unit_points: np.ndarray, device: str | torch.device | None = None) -> None:
        num_points = len(unit_points)
        num_slots = min(num_points, max(4 * _ROWS_AT_A_TIME, _CACHE_BYTES // (4 * num_points)))
        # The product of two rows [e, 1] / sqrt(2) is (1 + cos) / 2.
        lifted = np.column_stack([unit_points.astype(np.float64), np.ones(num_points)]) * 0.5**0.5
        self.points = torch.from_numpy(lifted).to(device)
        self.rows = np.empty((num_slots, num_points), np.float32)
        self.slot_of = np.full(num_points, -1)
        self.owner_of = np.full(num_slots, -1)

    def __len__(self) -> int:
        return len(self.slot_of)

    def gain_bounds(self) -> np.ndarray:
        """Return sum_v (1 + e_v e_i) / 2, in closed form, and what rounding rows to float32 could add."""
        sums: np.ndarray = (self.points @ self.points.sum(dim=0)).cpu().numpy()
        return sums + len(self) * 2.0**-23

    def gains(self, positions: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        excess = self._rows(positions) - covered
        sums: np.ndarray = np.maximum(excess, 0.0, out=excess).sum(axis=1, dtype=np.float64)
        return sums

    def cover(self, position: int, covered: np.ndarray) -> None:
        """See `Similarity`."""
        np.maximum(covered, self._rows(np.array([position]))[0], out=covered)

    def companions(self, position: int, priority: np.ndarray) -> np.ndarray:
        """Return a kept row alone, else all missing rows among the leaders: one product, kept from now on.

        They replace the rows with the lowest priority, which are the last to be needed again.
        """
        if self.slot_of[position] >= 0:
            return np.array([position])
        num_leaders = min(_ROWS_AT_A_TIME, len(self))
        leaders = np.argpartition(priority, -num_leaders)[-num_leaders:]
        missing = leaders[(self.slot_of[leaders] < 0) & (priority[leaders] > _CHOSEN)]
        worth = np.where(self.owner_of < 0, _CHOSEN, priority[self.owner_of])
        slots = np.argpartition(worth, len(missing) - 1)[: len(missing)]
        self.rows[slots] = self._compute(missing)
        evicted = self.owner_of[slots]
        self.slot_of[evicted[evicted >= 0]] = -1
        self.owner_of[slots], self.slot_of[missing] = missing, slots
        return missing

    def _rows(self, positions: np.ndarray) -> np.ndarray:
        slots = self.slot_of[positions]
        return self._compute(positions) if (slots < 0).any() else self.rows[slots]

    def _compute(self, positions: np.ndarray) -> np.ndarray:
        points = self.points[positions]
        rows = np.empty((len(positions), len(self)), np.float32)
        for block in row_blocks(len(self)):
            rows[:, block] = (points @ self.points[block].T).cpu().numpy()
        return rows


class PrecomputedSimilarity:
    """A given (n, n) matrix: entry (v, i) is the similarity of v to i, >= 0."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.rows = np.ascontiguousarray(matrix.T, np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def gain_bounds(self) -> np.ndarray:
        """Return the gains over an empty selection, exactly."""
        sums: np.ndarray = self.rows.sum(axis=1, dtype=np.float64)
        return sums

    def gains(self, positions: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        sums: np.ndarray = np.maximum(self.rows[positions] - covered, 0).sum(axis=1, dtype=np.float64)
        return sums

    def cover(self, position: int, covered: np.ndarray) -> None:
        """See `Similarity`."""
        np.maximum(covered, self.rows[position], out=covered)

    def companions(self, position: int, priority: np.ndarray) -> np.ndarray:
        """Return the position alone."""
        return np.array([position])


class NeighbourSimilarity:
    """(1 + cos) / 2 of pairs of which one is among the nearest neighbours of the other, 0 of all others."""

    def __init__(self, neighbours: np.ndarray, cosines: np.ndarray) -> None:
        num_points, width = neighbours.shape
        similar = np.clip((1.0 + cosines.astype(np.float64)) / 2.0, 0.0, 1.0).astype(np.float32).ravel()
        rows = np.repeat(np.arange(num_points), width)
        directed = csr_array((similar, (rows, neighbours.ravel())), shape=(num_points, num_points))
        graph = directed.maximum(directed.T)
        graph = (graph + csr_array((np.ones(num_points, np.float32), (range(num_points),) * 2))).tocsr()
        self.starts, self.columns, self.values = graph.indptr, graph.indices, graph.data

    def __len__(self) -> int:
        return len(self.starts) - 1

    def gain_bounds(self) -> np.ndarray:
        """Return the gains over an empty selection, exactly."""
        return np.add.reduceat(self.values.astype(np.float64), self.starts[:-1])

    def gains(self, positions: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return np.array([self._gain(position, covered) for position in positions])

    def cover(self, position: int, covered: np.ndarray) -> None:
        """See `Similarity`."""
        row = slice(self.starts[position], self.starts[position + 1])
        covered[self.columns[row]] = np.maximum(covered[self.columns[row]], self.values[row])

    def companions(self, position: int, priority: np.ndarray) -> np.ndarray:
        """Return the position alone: a row has few entries."""
        return np.array([position])

    def _gain(self, position: int, covered: np.ndarray) -> float:
        row = slice(self.starts[position], self.starts[position + 1])
        return float(np.maximum(self.values[row] - covered[self.columns[row]], 0).sum(dtype=np.float64))


def maximise_coverage(
    similarity: Similarity,
    budget: int,
    *,
    base: np.ndarray,
    weight: float,
    selected: np.ndarray,
    ranks: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose greedily the largest base[i] + weight * gain(i); return positions and gains in that order.

    Args:
        similarity: of n examples.
        budget: number to choose beyond `selected`.
        base: (n,) float64, what an example is worth by itself.
        weight: of the gain, >= 0.
        selected: (s,) positions that are covered from the start.
        ranks: (n,) the lowest wins where values agree to 2**-36 of the largest.
    """
    greedy = _LazyGains(similarity, selected, ranks)
    step = max(float(np.abs(base + weight * greedy.gains).max()) * _TIE, np.finfo(np.float64).tiny)
    greedy.rank(base, weight, step)
    positions, gains = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        positions[count] = best = greedy.first(base, weight, step)
        gains[count] = greedy.gains[best]
        greedy.choose(best)
    return positions, gains


def maximise_mixture(
    similarity: Similarity,
    budget: int,
    *,
    quality: np.ndarray,
    alpha: float,
    selected: np.ndarray,
    ranks: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose greedily the largest (1 - alpha) quality[i] + alpha gain(i) / (the largest gain that is left).

    Gains shrink by orders of magnitude as examples are chosen. Measured against the first of them, coverage would
    stop to count after a few choices; measured against the largest of the moment it counts alike to the end.

    Args:
        similarity: of n examples.
        budget: number to choose beyond `selected`.
        quality: (n,) float64.
        alpha: weight of coverage, in 0..1.
        selected: (s,) positions that are covered from the start.
        ranks: (n,) the lowest wins where values agree to 2**-36 of the largest.

    Returns:
        positions in the order of choice, and the values that they were chosen by.
    """
    greedy = _LazyGains(similarity, selected, ranks)
    base, unweighted = (1.0 - alpha) * quality, np.zeros(len(quality))
    step = max(float(np.abs(base).max() + alpha) * _TIE, np.finfo(np.float64).tiny)
    positions, values = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        largest = 0.0
        if alpha > 0:
            fine = max(float(greedy.gains.max()) * _TIE, np.finfo(np.float64).tiny)
            greedy.rank(unweighted, 1.0, fine)
            largest = greedy.gains[greedy.first(unweighted, 1.0, fine)]
        weight = alpha / largest if largest > 0 else 0.0
        greedy.rank(base, weight, step)
        positions[count] = best = greedy.first(base, weight, step)
        values[count] = base[best] + weight * greedy.gains[best]
        greedy.choose(best)
    return positions, values


class _LazyGains:
    """Gains of coverage as examples are chosen: exact where they were asked for last, else upper bounds."""

    def __init__(self, similarity: Similarity, selected: np.ndarray, ranks: np.ndarray) -> None:
        self.similarity = similarity
        self.covered = np.zeros(len(similarity), np.float32)
        for position in selected:
            similarity.cover(int(position), self.covered)
        self.gains = similarity.gain_bounds()
        self.age = np.full(len(similarity), -1)  # how many were chosen when the gain was evaluated
        self.ties = len(similarity) - 1 - ranks
        self.is_chosen = np.zeros(len(similarity), bool)
        self.is_chosen[selected] = True
        self.num_chosen = 0
        self.priority = np.empty(len(similarity), np.int64)

    def rank(self, base: np.ndarray, weight: float, step: float) -> None:
        """Order all by base + weight * gain, rounded up to steps, and by rank among equals."""
        self.priority = np.ceil((base + weight * self.gains) / step).astype(np.int64) * len(base) + self.ties
        known = self.age == self.num_chosen
        self._place(np.flatnonzero(known), base, weight, step)
        self.priority[self.is_chosen] = _CHOSEN

    def first(self, base: np.ndarray, weight: float, step: float) -> int:
        """Return the free example with the largest base + weight * gain, by exact gains."""
        while self.age[best := int(self.priority.argmax())] != self.num_chosen:
            stale = self.similarity.companions(best, self.priority)
            self.gains[stale], self.age[stale] = self.similarity.gains(stale, self.covered), self.num_chosen
            self._place(stale, base, weight, step)
        return best

    def choose(self, position: int) -> None:
        """Cover what an example covers; it is not free any more."""
        self.similarity.cover(position, self.covered)
        self.is_chosen[position] = True
        self.priority[position] = _CHOSEN
        self.num_chosen += 1

    def _place(self, rows: np.ndarray, base: np.ndarray, weight: float, step: float) -> None:
        values = base[rows] + weight * self.gains[rows]
        self.priority[rows] = np.rint(values / step).astype(np.int64) * len(base) + self.ties[rows]
