"""What every geometric selection checks and shares: rows, budgets, what is already selected, ties."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from raybert.errors import SelectionError

NeighbourMethod = Literal["exact", "ann"]
EXACT_LIMIT = 20_000
"""Rows up to which all pairs are compared where more would be compared in clusters, or among neighbours alone."""
CLUSTER_SIZE = 5_000
"""Rows of such a cluster."""


def as_points(embeddings: ArrayLike) -> np.ndarray:
    """Return the embeddings as C-contiguous (n, d) float32 rows, without a copy where they are that already.

    Raises:
        SelectionError: not two-dimensional, no rows or columns, or not all finite.
    """
    points = np.ascontiguousarray(embeddings, dtype=np.float32)
    if points.ndim != 2 or not points.size:
        raise SelectionError(
            f"embeddings: must be (n, d) with n, d >= 1, got shape {points.shape}; give one row per example"
        )
    if not np.isfinite(points.sum(axis=1, dtype=np.float64)).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise SelectionError(f"embeddings: must be finite, got NaN or inf in row {row}; score the pool again")
    return points


def unit_rows(embeddings: ArrayLike) -> np.ndarray:
    """Return the (n, d) float32 rows divided by their norms; zero rows stay zero (cosine 0 to all)."""
    points = as_points(embeddings)
    norms = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
    norms[norms == 0] = 1.0
    scaled: np.ndarray = (points / norms[:, None]).astype(np.float32)
    return scaled


def as_selected(selected: ArrayLike | None, num_points: int) -> np.ndarray:
    """Return the positions already selected as (s,) int64, empty for None.

    Raises:
        SelectionError: out of range or repeated.
    """
    positions = np.empty(0, np.int64) if selected is None else np.asarray(selected, np.int64).ravel()
    if positions.size and not 0 <= positions.min() <= positions.max() < num_points:
        raise SelectionError(
            f"selected: positions must be in 0..{num_points - 1}, got {positions.min()}..{positions.max()}"
        )
    if len(np.unique(positions)) != len(positions):
        raise SelectionError("selected: positions must be distinct; pass every one once")
    return positions


def check_budget(budget: int, num_free: int) -> None:
    """Raise SelectionError unless `budget` new positions can come from `num_free` free ones."""
    if not 0 <= budget <= num_free:
        raise SelectionError(f"budget: must be in 0..{num_free} (positions still free), got {budget}")


def tie_ranks(tie_keys: ArrayLike | None, num_points: int) -> np.ndarray:
    """Return (n,) int64 ranks 0..n-1 of the tie keys; the lowest rank wins a tie.

    Without keys, and among equal keys, the position decides.
    """
    if tie_keys is None:
        return np.arange(num_points)
    keys = np.asarray(tie_keys)
    if keys.shape != (num_points,):
        raise SelectionError(f"tie_keys: must have shape ({num_points},), got {keys.shape}; give one per example")
    ranks = np.empty(num_points, np.int64)
    ranks[np.argsort(keys, kind="stable")] = np.arange(num_points)
    return ranks


def row_blocks(num_rows: int, block: int = 2048) -> list[slice]:
    """Return slices of at most `block` rows that cover 0..num_rows - 1 in order."""
    return [slice(start, min(start + block, num_rows)) for start in range(0, num_rows, block)]
