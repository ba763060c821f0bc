"""Greedy k-center: the point farthest from all that are chosen, again and again."""

from __future__ import annotations

import numpy as np
import torch

_TIE = 1e-6


def k_center(
    embeddings: np.ndarray,
    budget: int,
    *,
    selected: np.ndarray | None = None,
    tie_keys: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Return `budget` new centres in order of choice, and how far each was from the ones before it.

    The greedy radius is at most twice the optimal one. Memory is O(n): one distance per point.

    Args:
        embeddings: (n, d) float32; Euclidean distance.
        budget: centres to add, at most n less the selected ones.
        selected: (s,) centres that exist already: distances start from them. Without any the first centre is the
            medoid under squared distance, the point nearest to the mean; its distance is inf.
        tie_keys: (n,) uint64; among distances within 1e-6 of the largest the lowest key wins. Default: position.
        device: where to compute.

    Returns:
        (budget,) int64 positions and (budget,) float32 distances, which never increase.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; Sener & Savarese 2018,
    arXiv 1708.00489, algorithm 1.
    """
    points = torch.as_tensor(np.array(embeddings, np.float32), device=device)
    squares = (points * points).sum(1)  # (n,)
    order = np.arange(len(points)) if tie_keys is None else np.argsort(tie_keys, kind="stable")
    keys = torch.empty(len(points), dtype=torch.int64, device=device)
    keys[torch.as_tensor(order, device=device)] = torch.arange(len(points), device=device)
    nearest = torch.full_like(squares, torch.inf)
    chosen = np.empty(0, np.int64) if selected is None else np.asarray(selected, np.int64)
    for centre in chosen.tolist():
        _update(nearest, points, squares, centre)
    positions, distances = [], []
    for _ in range(budget):
        if len(chosen) == 0 and not positions:
            to_mean = squares - 2 * (points @ points.mean(0))
            centre, distance = _first(-to_mean, keys), torch.inf
        else:
            centre = _first(nearest, keys)
            distance = float(nearest[centre].clamp(min=0).sqrt())
        positions.append(centre)
        distances.append(distance)
        _update(nearest, points, squares, centre)
    return np.array(positions, np.int64), np.array(distances, np.float32)


def _update(nearest: torch.Tensor, points: torch.Tensor, squares: torch.Tensor, centre: int) -> None:
    """Lower every squared distance to that of a new centre; the centre itself can never be chosen again."""
    squared = torch.addmv(squares, points, points[centre], alpha=-2.0).add_(squares[centre])
    torch.minimum(nearest, squared.clamp_(min=0.0), out=nearest)
    nearest[centre] = -1.0


def _first(values: torch.Tensor, keys: torch.Tensor) -> int:
    """Return the position of the largest value; of those within a hair of it, the one with the lowest key."""
    top = values.max()
    tied = torch.nonzero(values >= top - _TIE).squeeze(1)
    return int(tied[keys[tied].argmin()])
