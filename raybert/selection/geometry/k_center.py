"""Greedy k-center: lazy and blockwise on CPU, one plain loop on GPU, O(n + k d) memory beside the rows.

A point's distance to its nearest centre only shrinks as centres are added, so a stale distance is an upper
bound. The CPU path takes the `_NUM_LEADERS` points with the highest bounds, brings them up to date in matrix
products, and runs the greedy loop among them alone for as long as the best of them beats every bound outside.
No (point, centre) pair is computed twice but for the padding of a block, so the work never exceeds that of
the plain loop and it is done by matrix-matrix instead of memory-bound matrix-vector products.

Distances are compared in steps of 2**-21 (4.8e-7; times the largest norm where that is below 1): what differs
by rounding only is an exact tie, and one integer per point, level * n + (n - 1 - tie rank), orders all points
totally. The products are float64: |x|^2 + |c|^2 - 2xc in float32 is off by 5e-4 for duplicates.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.points import as_points, as_selected, check_budget, row_blocks, tie_ranks

_NUM_LEADERS = 1024
_ROW_BLOCK = 128
_CENTRE_BLOCK = 1024
_CHOSEN = -1


def k_center(
    embeddings: ArrayLike,
    budget: int,
    *,
    selected: ArrayLike | None = None,
    first: int | None = None,
    tie_keys: ArrayLike | None = None,
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy k-center: each next position is the farthest from all that are chosen.

    Exact up to ties: the distance of the chosen point is within 1e-6 of the maximum; the lowest tie key
    wins among equals. The covering radius is at most twice the optimal one.

    Args:
        embeddings: (n, d), used as float32 rows under Euclidean distance (L2-normalise for cosine).
        budget: number of new positions, 0..n - len(selected).
        selected: positions chosen earlier: they are centres from the start and are not returned.
        first: position to begin with. Default: the farthest from `selected`, or without them the medoid, the
            row nearest to the mean (least sum of squared distances; for unit rows the highest mean cosine).
        tie_keys: (n,) uint64; default: the position.
        device: None or cpu for the lazy path, else the torch device of the plain loop.

    Returns:
        positions (budget,) int64 in the order of choice; distances (budget,) float32 to the nearest earlier
        centre at that moment, rounded to 2**-21 (inf where there was none).

    Raises:
        SelectionError: embeddings not finite, budget or positions out of range.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; Sener & Savarese 2018,
    "Active Learning for Convolutional Neural Networks: A Core-Set Approach", algorithm 1.
    """
    points = as_points(embeddings)
    centres = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(centres))
    if first is not None and (not 0 <= first < len(points) or first in centres):
        raise SelectionError(f"first: must be a free position in 0..{len(points) - 1}, got {first}")
    if budget == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    on_cpu = device is None or torch.device(device).type == "cpu"
    ranks = tie_ranks(tie_keys, len(points))
    greedy = _LazyGreedy(points, ranks, len(centres) + budget) if on_cpu else _PlainGreedy(points, ranks, device)
    if len(centres):
        greedy.start(centres)
    if first is None and not len(centres):
        first = find_medoid(points, ranks)
    head = [] if first is None else [(first, greedy.distance(first))]
    if first is not None:
        greedy.start(np.array([first]))
    positions, distances = greedy.extend(budget - len(head))
    return (
        np.concatenate([np.array([p for p, _ in head], np.int64), positions]),
        np.concatenate([[d for _, d in head], distances]).astype(np.float32),
    )


def find_medoid(points: np.ndarray, ranks: np.ndarray | None = None) -> int:
    """Return the row nearest to the mean of the (n, d) rows: the medoid under squared distances.

    Ties (within 1e-9 of the largest squared norm) go to the lowest rank, by default the lowest position.
    """
    mean = points.mean(axis=0, dtype=np.float64)
    squared = np.empty(len(points))
    for rows in row_blocks(len(points)):
        squared[rows] = np.square(points[rows] - mean).sum(axis=1)
    tied = np.flatnonzero(squared <= squared.min() + 1e-9 * max(squared.max(), mean @ mean))
    return int(tied[0] if ranks is None else tied[ranks[tied].argmin()])


def _squared_norms(points: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    return norms


def _nearest_squared(points: np.ndarray, norms: np.ndarray, lifted: np.ndarray, largest_norm: float) -> np.ndarray:
    """Return each row's squared distance to the nearest lifted centre; what is mere rounding becomes 0."""
    rows = np.column_stack([points.astype(np.float64), np.ones(len(points))])
    nearest = np.full(len(points), np.inf)
    for block in row_blocks(len(lifted), _CENTRE_BLOCK):
        np.minimum(nearest, (rows @ lifted[block].T).min(axis=1), out=nearest)
    return _drop_rounding(nearest + norms, largest_norm)


def _drop_rounding(squared: np.ndarray, largest_norm: float) -> np.ndarray:
    """Set to 0, in place, what float64 cannot tell from 0 at this squared norm."""
    squared[squared < 2.0**-47 * largest_norm] = 0.0
    return squared


def _level_step(points: np.ndarray, largest_norm: float) -> float:
    """Return the step of distances: 2**-21, less for tiny rows, more only where int64 would overflow."""
    scale = math.sqrt(largest_norm) or 1.0
    return max(2.0**-21 * min(1.0, 2.0 ** round(math.log2(scale))), scale * len(points) * 2.0**-60)


class _LazyGreedy:
    """The lazy loop on CPU. `priority` holds upper bounds, exact where `seen` equals `num_centres`."""

    def __init__(self, points: np.ndarray, ranks: np.ndarray, capacity: int) -> None:
        num_points, width = points.shape
        self.points = points
        self.norms = _squared_norms(points)
        self.largest_norm = float(self.norms.max())
        self.step = _level_step(points, self.largest_norm)
        self.ties = num_points - 1 - ranks
        self.priority = np.full(num_points, np.iinfo(np.int64).max)
        self.seen = np.zeros(num_points, np.int64)
        self.lifted = np.empty((capacity, width + 1))
        self.num_centres = 0

    def start(self, positions: np.ndarray) -> None:
        """Add centres and bring every point up to date."""
        for position in positions:
            self._add(position)
        for rows in row_blocks(len(self.points)):
            self._refresh(np.arange(rows.start, rows.stop))

    def distance(self, position: int) -> float:
        """Return the distance to the nearest centre of a point that is up to date."""
        if not self.num_centres:
            return float("inf")
        return int(self.priority[position]) // len(self.points) * self.step

    def extend(self, budget: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose `budget` more; return their positions and distances."""
        chosen: list[int] = []
        priorities: list[int] = []
        while len(chosen) < budget:
            rows, outside = self._find_leaders()
            self._refresh(rows)
            self._choose_among(rows, outside, budget, chosen, priorities)
        levels = np.array(priorities, np.int64) // len(self.points)
        return np.array(chosen, np.int64), levels * self.step

    def _find_leaders(self) -> tuple[np.ndarray, int]:
        """Return the rows with the highest bounds and the highest bound outside of them."""
        num_outside = len(self.points) - _NUM_LEADERS
        if num_outside <= 0:
            return np.arange(len(self.points)), _CHOSEN
        order = np.argpartition(self.priority, num_outside - 1)
        return order[num_outside:], int(self.priority[order[num_outside - 1]])

    def _refresh(self, rows: np.ndarray) -> None:
        stale = rows[self.seen[rows] < self.num_centres]
        # Rows of like age share a block, so that few products are computed again.
        stale = stale[np.argsort(self.seen[stale], kind="stable")]
        for block in row_blocks(len(stale), _ROW_BLOCK):
            members = stale[block]
            missing = self.lifted[self.seen[members[0]] : self.num_centres]
            squared = _nearest_squared(self.points[members], self.norms[members], missing, self.largest_norm)
            self.priority[members] = np.minimum(self.priority[members], self._priorities(squared, self.ties[members]))
            self.seen[members] = self.num_centres

    def _choose_among(
        self, rows: np.ndarray, outside: int, budget: int, chosen: list[int], priorities: list[int]
    ) -> None:
        points, norms, ties = self.points[rows].astype(np.float64), self.norms[rows], self.ties[rows]
        priority = self.priority[rows]
        while len(chosen) < budget:
            best = int(priority.argmax())
            if priority[best] <= outside:
                break
            chosen.append(int(rows[best]))
            priorities.append(int(priority[best]))
            self._add(rows[best])
            squared = _drop_rounding(norms + norms[best] - 2.0 * (points @ points[best]), self.largest_norm)
            np.minimum(priority, self._priorities(squared, ties), out=priority)
            priority[best] = _CHOSEN
        self.priority[rows] = priority
        self.seen[rows] = self.num_centres

    def _add(self, position: int) -> None:
        self.lifted[self.num_centres, :-1] = -2.0 * self.points[position]
        self.lifted[self.num_centres, -1] = self.norms[position]
        self.num_centres += 1
        self.priority[position] = _CHOSEN

    def _priorities(self, squared: np.ndarray, ties: np.ndarray) -> np.ndarray:
        priorities: np.ndarray = np.rint(np.sqrt(squared) / self.step).astype(np.int64)
        priorities *= len(self.points)
        priorities += ties
        return priorities


class _PlainGreedy:
    """The plain loop on a torch device: one pass over the rows per centre, no synchronisation inside."""

    def __init__(self, points: np.ndarray, ranks: np.ndarray, device: str | torch.device | None) -> None:
        self.step = _level_step(points, float(_squared_norms(points).max()))
        self.points = torch.from_numpy(points).to(device)
        self.ties = torch.from_numpy(len(points) - 1 - ranks).to(device)
        self.priority = torch.full_like(self.ties, torch.iinfo(torch.int64).max)
        self.has_centres = False

    def start(self, positions: np.ndarray) -> None:
        """Add centres."""
        for position in torch.from_numpy(positions).to(self.points.device):
            self._add(position)
        self.has_centres = True

    def distance(self, position: int) -> float:
        """Return the distance of a point to the nearest centre."""
        if not self.has_centres:
            return float("inf")
        return int(self.priority[position]) // len(self.points) * self.step

    def extend(self, budget: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose `budget` more; return their positions and distances."""
        chosen = self.ties.new_empty(budget)
        priorities = self.ties.new_empty(budget)
        for count in range(budget):
            priorities[count], chosen[count] = self.priority.max(dim=0)
            self._add(chosen[count])
        levels = priorities.cpu().numpy() // len(self.points)
        return chosen.cpu().numpy(), levels * self.step

    def _add(self, position: torch.Tensor) -> None:
        row = position.view(1)
        centre = self.points.index_select(0, row)
        # Differences, not the expanded square: float32 keeps small distances, and duplicates are exactly 0.
        distances = torch.cdist(self.points, centre, compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        levels = (distances.double() / self.step).round().long()
        torch.minimum(self.priority, levels * len(self.points) + self.ties, out=self.priority)
        self.priority.index_fill_(0, row, _CHOSEN)
