"""The k nearest neighbours of every example by cosine, exact and blockwise, or approximate by faiss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.points import NeighbourMethod, row_blocks, tie_ranks, unit_rows

_SIMILARITIES_PER_BLOCK = 1 << 23
_LEVELS = 1 << 21


def knn_graph(
    embeddings: ArrayLike,
    num_neighbours: int,
    *,
    tie_keys: ArrayLike | None = None,
    method: NeighbourMethod = "exact",
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each example's most similar other examples, best first.

    Cosines that agree to 2**-21 are ties: the lowest tie key comes first. Memory: blocks of 2**23 cosines.

    Args:
        embeddings: (n, d) rows, normalised here.
        num_neighbours: k, 1..n - 1.
        tie_keys: (n,) uint64; default: the position.
        method: `exact`, or `ann`: an inverted file of faiss (extra `ann`), which may miss some neighbours.
        device: torch device of the exact search; default cpu.

    Returns:
        neighbours (n, k) int64 positions; similarities (n, k) float32 cosines.

    Raises:
        SelectionError: k out of range, or `ann` without faiss.
    """
    points = unit_rows(embeddings)
    if not 1 <= num_neighbours < len(points):
        raise SelectionError(f"num_neighbours: must be in 1..{len(points) - 1} (pool size - 1), got {num_neighbours}")
    if method == "ann":
        return _search_faiss(points, num_neighbours)
    return _search_exact(points, num_neighbours, tie_ranks(tie_keys, len(points)), device)


def nearest_among(embeddings: ArrayLike, anchors: ArrayLike, num_neighbours: int) -> np.ndarray:
    """Return (n, k) int64 positions of the anchors most similar to each row, best first; an anchor may be its own.

    Cosines that agree to 2**-21 are ties: the anchor that is named first comes first.

    Args:
        embeddings: (n, d) rows, normalised here.
        anchors: (a,) positions.
        num_neighbours: k, 1..a.
    """
    points, places = unit_rows(embeddings), np.asarray(anchors, np.int64)
    if not 1 <= num_neighbours <= len(places):
        raise SelectionError(f"num_neighbours: must be in 1..{len(places)} (anchors), got {num_neighbours}")
    found = np.empty((len(points), num_neighbours), np.int64)
    for block in row_blocks(len(points), max(1, _SIMILARITIES_PER_BLOCK // len(places))):
        levels = np.rint(points[block] @ points[places].T * _LEVELS)
        found[block] = places[np.argsort(-levels, axis=1, kind="stable")[:, :num_neighbours]]
    return found


def _search_exact(
    points: np.ndarray, num_neighbours: int, ranks: np.ndarray, device: str | torch.device | None
) -> tuple[np.ndarray, np.ndarray]:
    rows = torch.from_numpy(points).to(device)
    ties = torch.from_numpy(len(points) - 1 - ranks).to(device)
    neighbours = np.empty((len(points), num_neighbours), np.int64)
    similarities = np.empty((len(points), num_neighbours), np.float32)
    for block in row_blocks(len(points), max(1, _SIMILARITIES_PER_BLOCK // len(points))):
        cosines = rows[block] @ rows.T
        # One integer per pair makes the order total: level of the cosine, then tie rank.
        keys = (cosines * _LEVELS).round_().long().mul_(len(points)).add_(ties)
        members = torch.arange(block.start, block.stop, device=keys.device)
        keys[members - block.start, members] = torch.iinfo(torch.int64).min
        best = keys.topk(num_neighbours, dim=1).indices
        neighbours[block] = best.cpu().numpy()
        similarities[block] = cosines.gather(1, best).cpu().numpy()
    return neighbours, similarities


def _search_faiss(points: np.ndarray, num_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        import faiss  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise SelectionError(
            "method 'ann': faiss must be importable, got none; install raybert[ann] or use 'exact'"
        ) from error
    num_lists = int(4 * len(points) ** 0.5) if len(points) > 10_000 else 1
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(points.shape[1]), points.shape[1], num_lists, faiss.METRIC_INNER_PRODUCT
    )
    index.train(points)
    index.add(points)
    index.nprobe = max(1, num_lists // 16)
    similarities, neighbours = index.search(points, num_neighbours + 1)
    short = (neighbours < 0).any(axis=1)  # too few rows in the probed lists
    if short.any():
        index.nprobe = num_lists
        similarities[short], neighbours[short] = index.search(points[short], num_neighbours + 1)
    return _drop_self(neighbours, similarities)


def _drop_self(neighbours: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take each row's own position out of its k + 1 results, or the last one where it is not among them."""
    width = neighbours.shape[1]
    is_self = neighbours == np.arange(len(neighbours))[:, None]
    drop = np.where(is_self.any(axis=1), is_self.argmax(axis=1), width - 1)
    keep = np.arange(width) != drop[:, None]
    return (
        neighbours[keep].reshape(-1, width - 1).astype(np.int64),
        similarities[keep].reshape(-1, width - 1).astype(np.float32),
    )
