"""Facility location and quality-diversity (QDIT) selection by lazy greedy coverage."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from raybert.errors import SelectionError
from raybert.selection.geometry.coverage import (
    DenseSimilarity,
    NeighbourSimilarity,
    PrecomputedSimilarity,
    Similarity,
    maximise_coverage,
    maximise_mixture,
)
from raybert.selection.geometry.neighbours import knn_graph
from raybert.selection.geometry.points import (
    EXACT_LIMIT,
    NeighbourMethod,
    as_selected,
    check_budget,
    tie_ranks,
    unit_rows,
)

NUM_NEIGHBOURS = 100


def facility_location(
    embeddings: ArrayLike,
    budget: int,
    *,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
    num_neighbours: int | None = None,
    method: NeighbourMethod = "exact",
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy maximiser of F(S) = sum_v max_{s in S} (1 + cos(v, s)) / 2 and its gains.

    Args:
        embeddings: (n, d) rows, normalised here.
        budget: number of new positions, 0..n - len(selected).
        selected: positions chosen earlier: they cover from the start and are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.
        num_neighbours: similarities beyond so many nearest neighbours count as 0 (a sparse graph). Default:
            none are cut up to 20,000 rows, and 100 are kept above.
        method: how neighbours are found (see `knn_graph`).
        device: torch device of the similarities; default cpu.

    Returns:
        positions (budget,) int64 in the order of choice; gains (budget,) float64, never increasing.

    Raises:
        SelectionError: embeddings not finite, budget or positions out of range.

    Source: Minoux 1978, "Accelerated greedy algorithms for maximizing submodular set functions".
    """
    similarity = _build_similarity(embeddings, num_neighbours, tie_keys, method, device)
    kept = as_selected(selected, len(similarity))
    check_budget(budget, len(similarity) - len(kept))
    ranks = tie_ranks(tie_keys, len(similarity))
    base = np.zeros(len(similarity))
    return maximise_coverage(similarity, budget, base=base, weight=1.0, selected=kept, ranks=ranks)


def qdit_greedy(
    quality: ArrayLike,
    alpha: float,
    budget: int,
    *,
    embeddings: ArrayLike | None = None,
    similarity: ArrayLike | None = None,
    raw_gain: bool = False,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
    num_neighbours: int | None = None,
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greedy argmax of (1 - alpha) quality(i) + alpha gain(i) / G, step by step.

    gain is that of facility location, G the largest gain that any free example has at that step, so that both terms
    are within 0..1 from the first choice to the last; `raw_gain` leaves the division out, as the paper does.

    Args:
        quality: (n,) finite, higher is better.
        alpha: 0 (quality alone) .. 1 (facility location).
        budget: number of new positions, 0..n - len(selected).
        embeddings: (n, d) rows; or
        similarity: (n, n) matrix >= 0 instead.
        raw_gain: do not divide gains by G.
        selected: positions chosen earlier: they cover from the start and are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.
        num_neighbours: as in `facility_location`.
        device: torch device of the similarities; default cpu.

    Returns:
        positions (budget,) int64 in the order of choice; values (budget,) float64 that they were chosen by.

    Raises:
        SelectionError: both or none of embeddings and similarity, alpha or shapes out of range.

    Source: Bukharin & Zhao 2023, "Data Diversity Matters for Robust Instruction Tuning", eq. 4 (QDIT).
    """
    if (embeddings is None) == (similarity is None):
        raise SelectionError("qdit_greedy: exactly one of embeddings and similarity must be given")
    if not 0.0 <= alpha <= 1.0:
        raise SelectionError(f"alpha: must be in 0..1, got {alpha}")
    source = (
        _as_similarity(similarity)
        if embeddings is None
        else _build_similarity(embeddings, num_neighbours, tie_keys, "exact", device)
    )
    worth = np.asarray(quality, np.float64)
    if worth.shape != (len(source),) or not np.isfinite(worth).all():
        raise SelectionError(f"quality: must be {len(source)} finite numbers, got shape {worth.shape}")
    kept = as_selected(selected, len(source))
    check_budget(budget, len(source) - len(kept))
    ranks = tie_ranks(tie_keys, len(source))
    if not raw_gain:
        return maximise_mixture(source, budget, quality=worth, alpha=alpha, selected=kept, ranks=ranks)
    base = (1.0 - alpha) * worth
    positions, gains = maximise_coverage(source, budget, base=base, weight=alpha, selected=kept, ranks=ranks)
    return positions, base[positions] + alpha * gains


def _build_similarity(
    embeddings: ArrayLike,
    num_neighbours: int | None,
    tie_keys: ArrayLike | None,
    method: NeighbourMethod,
    device: str | torch.device | None,
) -> Similarity:
    points = unit_rows(embeddings)
    if num_neighbours is None and len(points) <= EXACT_LIMIT:
        return DenseSimilarity(points, device)
    width = num_neighbours if num_neighbours is not None else NUM_NEIGHBOURS
    return NeighbourSimilarity(*knn_graph(points, width, tie_keys=tie_keys, method=method, device=device))


def _as_similarity(matrix: ArrayLike | None) -> PrecomputedSimilarity:
    values = np.asarray(matrix, np.float32)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not (values >= 0).all():
        raise SelectionError(f"similarity: must be a square matrix >= 0, got shape {values.shape}")
    return PrecomputedSimilarity(values)
