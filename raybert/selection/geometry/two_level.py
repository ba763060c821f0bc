"""k-center for pools that one machine does not hold: partition, greedy in each part, greedy over the merge.

The three steps are separate pure functions, so that parts can run anywhere; `partition_k_center` runs them
one after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.k_center import k_center
from raybert.selection.geometry.points import as_points, check_budget, tie_ranks


def split_pool(num_points: int, num_parts: int, *, tie_keys: ArrayLike | None = None) -> list[np.ndarray]:
    """Return `num_parts` parts of 0..n-1, sizes differing by at most one, each in the order of the tie keys.

    Keys are hashes, so parts are random samples of the pool, whatever order it is in.

    Raises:
        SelectionError: more parts than points, or none.
    """
    if not 1 <= num_parts <= num_points:
        raise SelectionError(f"num_parts: must be in 1..{num_points} (pool size), got {num_parts}")
    return np.array_split(np.argsort(tie_ranks(tie_keys, num_points)), num_parts)


def choose_local_centres(
    embeddings: ArrayLike,
    budget: int,
    *,
    tie_keys: ArrayLike | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Return the candidates of one part: rows of a greedy k-center of min(budget, n) points."""
    points = as_points(embeddings)
    rows, _ = k_center(points, min(budget, len(points)), tie_keys=tie_keys, device=device)
    return rows


def merge_centres(
    positions: Sequence[np.ndarray],
    embeddings: Sequence[np.ndarray],
    budget: int,
    *,
    tie_keys: ArrayLike | None = None,
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy k-center among the candidates of all parts.

    Args:
        positions: of each part's candidates in the pool.
        embeddings: of each part's candidates, (m_p, d).
        budget: number of centres, at most the number of candidates.
        tie_keys: of the candidates, all parts concatenated.
        device: see `k_center`.

    Returns:
        pool positions (budget,) and distances (budget,), as of `k_center`.
    """
    rows, distances = k_center(np.concatenate(embeddings), budget, tie_keys=tie_keys, device=device)
    return np.concatenate(positions)[rows], distances


def partition_k_center(
    embeddings: ArrayLike,
    budget: int,
    num_parts: int,
    *,
    tie_keys: ArrayLike | None = None,
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a two-level greedy k-center: at most 4 times the optimal radius (see `covering_radius`).

    Distances are among candidates only: unlike those of `k_center` the last is no bound of the radius.

    Args:
        embeddings: (n, d), as for `k_center`.
        budget: number of positions, 0..n.
        num_parts: parts of the pool, 1 (the exact greedy) .. n.
        tie_keys: (n,) uint64: they partition the pool and break ties; default: the position.
        device: see `k_center`.

    Returns:
        positions (budget,) int64 and distances (budget,) float32 in the order of choice.

    Source: Malkomes et al. 2015, "Fast distributed k-center clustering with outliers on massive data".
    """
    points = as_points(embeddings)
    check_budget(budget, len(points))
    ranks = tie_ranks(tie_keys, len(points))
    parts = split_pool(len(points), num_parts, tie_keys=ranks)
    candidates = [
        part[choose_local_centres(points[part], budget, tie_keys=ranks[part], device=device)] for part in parts
    ]
    merged = np.concatenate(candidates)
    if not len(merged):
        return k_center(points, 0)
    return merge_centres(
        candidates, [points[part] for part in candidates], budget, tie_keys=ranks[merged], device=device
    )
