"""ProbCover: balls of one radius around what is chosen, that cover as much as possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.clusters import assign_clusters, fit_centroids
from raybert.selection.geometry.points import as_selected, check_budget, row_blocks, tie_ranks, unit_rows

_LEVELS = 2.0**30
"""Cosines are compared in so many parts of one: finer than those of two rows differ, coarser than rounding."""


def prob_cover(
    embeddings: ArrayLike,
    budget: int,
    radius: float,
    *,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy choice that covers most: an example covers all that are nearer to it than the radius.

    When all is covered, it begins anew with what is not chosen. Similarities are computed in blocks and not kept.

    Args:
        embeddings: (n, d) rows, normalised here.
        budget: number of new positions, 0..n - len(selected).
        radius: Euclidean distance, > 0; of unit rows at most 2.
        selected: positions chosen earlier: they cover from the start and are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.

    Returns:
        positions (budget,) int64 in the order of choice; how many each newly covered (budget,) float64.

    Raises:
        SelectionError: embeddings not finite, radius, budget or positions out of range.

    Source: Yehuda et al. 2022, "Active Learning Through a Covering Lens", algorithm 1, arXiv 2205.11320. The authors'
    code takes an example that is chosen already when all is covered.
    """
    if not radius > 0:
        raise SelectionError(f"radius: must be > 0, got {radius}")
    points = unit_rows(embeddings)
    kept = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(kept))
    order = np.argsort(tie_ranks(tie_keys, len(points)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    cover = _Cover(points[order], radius)
    for row in place[kept]:
        cover.take(int(row))
    rows, values = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        rows[count], values[count] = cover.best()
        cover.take(int(rows[count]))
    return order[rows], values


def purity_radius(pseudo_labels: np.ndarray, embeddings: ArrayLike, purity: float = 0.95, sample: int = 5000) -> float:
    """Return the largest radius of balls of which at least the share `purity` holds rows of one pseudo-label only.

    A ball is pure as long as it is no larger than the distance to the nearest row of another pseudo-label, so this is a
    quantile of those distances. With one pseudo-label there is no limit: 2, the largest distance of unit rows.

    Args:
        pseudo_labels: (n,) whole numbers.
        embeddings: (n, d) rows, normalised here.
        purity: share of pure balls, in (0, 1].
        sample: at most so many balls, the first ones, are looked at.

    Source: Yehuda et al. 2022, section 3.3, where a grid of radii is tried.
    """
    points, labels = unit_rows(embeddings), np.asarray(pseudo_labels)
    nearest = np.full(min(sample, len(points)), 2.0)
    for block in row_blocks(len(nearest), 512):
        cosines = np.where(labels[block, None] == labels[None], -1.0, points[block] @ points.T)
        nearest[block] = np.sqrt(np.clip(2.0 - 2.0 * cosines.max(axis=1).astype(np.float64), 0.0, None))
    return float(np.sort(nearest)[min(int((1.0 - purity) * len(nearest) + 1e-9), len(nearest) - 1)])


def pseudo_labels(embeddings: ArrayLike, num_classes: int, generator: np.random.Generator) -> np.ndarray:
    """Return (n,) int64 k-means clusters of the rows, as many as there are classes, and two at least."""
    points = unit_rows(embeddings)
    number = min(max(2, num_classes), len(points))
    return assign_clusters(points, fit_centroids(points, number, generator))[0]


class _Cover:
    """What is covered so far, and how much each row would cover; rows in tie order."""

    def __init__(self, points: np.ndarray, radius: float) -> None:
        # A radius by purity is the distance of a pair: in float32 it would be within the radius in one product only.
        self._points = points.astype(np.float64)
        self._least = round((1.0 - radius**2 / 2.0) * _LEVELS)  # cosine above which a row is covered
        self._is_open = np.ones(len(points), bool)  # not covered
        self._is_free = np.ones(len(points), bool)
        self._degrees = self._count(np.arange(len(points)))
        self._all_degrees = self._degrees.copy()  # of all rows that are free

    def best(self) -> tuple[int, float]:
        """Return the first free row that covers most, and how many."""
        degrees = np.where(self._is_free, self._degrees, -1)
        row = int(degrees.argmax())
        if degrees[row] <= 0:  # all is covered
            self._is_open = self._is_free.copy()
            self._degrees = self._all_degrees.copy()
            degrees = np.where(self._is_free, self._degrees, -1)
            row = int(degrees.argmax())
        return row, float(degrees[row])

    def take(self, row: int) -> None:
        """Choose a row."""
        near = self._near(row)
        self._is_free[row] = False
        self._all_degrees -= near
        new = np.flatnonzero(near & self._is_open)
        self._is_open[new] = False
        left = np.flatnonzero(self._is_open)
        if len(left) < len(new):  # what is left is less to count than what is gone
            self._degrees = self._count(left)
        else:
            self._degrees = self._degrees - self._count(new)

    def _near(self, row: int) -> np.ndarray:
        near: np.ndarray = np.rint(self._points @ self._points[row] * _LEVELS) > self._least
        near[row] = True
        return near

    def _count(self, rows: np.ndarray) -> np.ndarray:
        """Return (n,) how many of some rows each row covers; every row covers itself."""
        counts = np.zeros(len(self._points), np.int64)
        for block in row_blocks(len(rows), max(1, (1 << 22) // len(self._points))):
            part = rows[block]
            near = np.rint(self._points[part] @ self._points.T * _LEVELS) > self._least
            near[np.arange(len(part)), part] = True
            counts += near.sum(axis=0)
        return counts
