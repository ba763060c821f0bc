"""TypiClust: the most typical example of each cluster, round and round."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raybert.selection.geometry.clusters import assign_clusters, fit_centroids
from raybert.selection.geometry.neighbours import knn_graph
from raybert.selection.geometry.points import as_selected, check_budget, tie_ranks, unit_rows

NUM_NEIGHBOURS = 20
_SMALLEST = 5
"""Members of a cluster that gives nothing as long as larger ones have something to give."""


def typical_of_clusters(
    embeddings: ArrayLike,
    budget: int,
    generator: np.random.Generator,
    *,
    max_clusters: int = 500,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most typical example of each k-means cluster, cluster by cluster until the budget is met.

    There are min(budget + selected, max_clusters) clusters. Those with fewest selected members come first, the
    largest of these first; then round and round. Clusters of at most five members come when all others are used up.

    Args:
        embeddings: (n, d) rows, normalised here.
        budget: number of new positions, 0..n - len(selected).
        generator: seeds k-means.
        max_clusters: at most so many.
        selected: positions chosen earlier; they are not returned, and no neighbours.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.

    Returns:
        positions (budget,) int64 in the order of choice; typicality (budget,) float64 of each when it was chosen.

    Raises:
        SelectionError: embeddings not finite, budget or positions out of range.

    Source: Hacohen et al. 2022, "Active Learning on a Budget", algorithm 1, arXiv 2202.02794.
    """
    points = unit_rows(embeddings)
    kept = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(kept))
    order = np.argsort(tie_ranks(tie_keys, len(points)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    points = points[order]
    is_free = np.ones(len(points), bool)
    is_free[place[kept]] = False
    clusters = _clusters(points, min(budget + len(kept), max_clusters, len(points)), generator)
    turns = _turns(clusters, place[kept])
    rows, values = np.empty(budget, np.int64), np.empty(budget)
    done = 0
    while done < budget:
        alive = [cluster for cluster in turns if (is_free & (clusters == cluster)).any()]
        large = [cluster for cluster in alive if (clusters == cluster).sum() > _SMALLEST]
        for cluster in (large or alive)[: budget - done]:
            members = np.flatnonzero(is_free & (clusters == cluster))
            worth = typicality(points[members])
            best = int(worth.argmax())
            rows[done], values[done] = members[best], worth[best]
            is_free[members[best]] = False
            done += 1
    return order[rows], values


def typicality(points: np.ndarray, num_neighbours: int = NUM_NEIGHBOURS) -> np.ndarray:
    """Return (m,) float64 1 / mean distance to the nearest neighbours, min(num_neighbours, m // 2) of them.

    Distances are rounded to 2^-10, so that equal rows are ties. A row alone has typicality 0.

    Args:
        points: (m, d) unit rows.
        num_neighbours: at most so many.
    """
    width = min(num_neighbours, len(points) // 2)
    if width == 0:
        return np.zeros(len(points))
    _, cosines = knn_graph(points, width)
    distances = np.sqrt(np.clip(2.0 - 2.0 * cosines.astype(np.float64), 0.0, None)).mean(axis=1)
    return np.asarray(1.0 / (np.rint(distances * 2.0**10) / 2.0**10 + 1e-5))


def _clusters(points: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Return (n,) the k-means cluster of each row."""
    if number <= 1:
        return np.zeros(len(points), np.int64)
    return assign_clusters(points, fit_centroids(points, number, generator))[0]


def _turns(clusters: np.ndarray, kept: np.ndarray) -> list[int]:
    """Return the clusters in the order in which they give: fewest selected members first, then the largest."""
    sizes = np.bincount(clusters)
    taken = np.bincount(clusters[kept], minlength=len(sizes))
    order = np.lexsort((np.arange(len(sizes)), -sizes, taken))
    return [int(cluster) for cluster in order if sizes[cluster]]
