"""Selection by k-means clusters: the examples nearest to the centroids, and semantic near-duplicates.

Rows are put into the order of their tie keys before clustering, so a permuted pool gives the same clusters.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

from raybert.errors import SelectionError
from raybert.selection.geometry.points import (
    CLUSTER_SIZE,
    EXACT_LIMIT,
    as_points,
    as_selected,
    check_budget,
    row_blocks,
    tie_ranks,
    unit_rows,
)

_MANY_CLUSTERS = 256
_LEVELS = 2.0**30
_SAMPLE = 512
"""Examples that are compared with the whole pool, to tell what clusters miss."""


def fit_centroids(points: np.ndarray, num_clusters: int, generator: np.random.Generator) -> np.ndarray:
    """Return (num_clusters, d) float64 mini-batch k-means centroids of the rows, in the order given.

    The k-means++ start is drawn from a sample. Many clusters get one trial each instead of scikit-learn's
    2 + ln k, which alone took 8 s for 2,500 clusters of 25,000 rows.
    """
    sample = generator.permutation(len(points))[: max(3 * num_clusters, 3072)]
    seed = int(generator.integers(2**31))
    trials = None if num_clusters <= _MANY_CLUSTERS else 1
    start, _ = kmeans_plusplus(points[sample], num_clusters, n_local_trials=trials, random_state=seed)
    model = MiniBatchKMeans(num_clusters, init=start, n_init=1, max_iter=20, random_state=seed)
    centroids: np.ndarray = model.fit(points).cluster_centers_.astype(np.float64)
    return centroids


def assign_clusters(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's nearest centroid (n,) and the squared Euclidean distance to it (n,) float64."""
    half_norms = np.square(centroids).sum(axis=1) / 2
    nearest = np.empty(len(points), np.int64)
    squared = np.empty(len(points))
    for block in row_blocks(len(points), 1024):
        nearest[block] = (half_norms - points[block].astype(np.float64) @ centroids.T).argmin(axis=1)
        squared[block] = np.square(points[block] - centroids[nearest[block]]).sum(axis=1)
    return nearest, squared


def nearest_to_centroids(
    embeddings: ArrayLike,
    budget: int,
    generator: np.random.Generator,
    *,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the example nearest to each k-means centroid, largest clusters first.

    A cluster gives its nearest free member; one without free members gives, last, the nearest free example
    of the pool. With `selected` there are so many centroids more, and each selected example stands for the
    nearest one that still has none.

    Args:
        embeddings: (n, d) rows, clustered as they are.
        budget: number of new positions, 0..n - len(selected).
        generator: seeds k-means.
        selected: positions chosen earlier; they are not returned.
        tie_keys: (n,) uint64, the lowest wins a tie; default: the position.

    Returns:
        positions (budget,) int64, distances (budget,) float32 to their centroids. All that is free is
        returned in the order of the tie keys with distances 0.

    Raises:
        SelectionError: embeddings not finite, budget or positions out of range.
    """
    points = as_points(embeddings)
    kept = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(kept))
    order = np.argsort(tie_ranks(tie_keys, len(points)))
    is_free = np.ones(len(points), bool)
    is_free[kept] = False
    if budget == 0 or budget == is_free.sum():
        return order[is_free[order]][:budget], np.zeros(budget, np.float32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows, distances = _represent(points[order], is_free[order], place[kept], budget, generator)
    return order[rows], distances


def _represent(
    points: np.ndarray, is_free: np.ndarray, kept: np.ndarray, budget: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Do the work of `nearest_to_centroids` on rows in tie order."""
    centroids = fit_centroids(points, budget + len(kept), generator)
    clusters, squared = assign_clusters(points, centroids)
    sizes = np.bincount(clusters, minlength=len(centroids))
    asking = np.argsort(-sizes, kind="stable")
    asking = asking[~np.isin(asking, _find_served(points[kept], centroids))]
    levels = np.rint(squared * _LEVELS / max(float(squared.max()), 1e-30))
    inside = np.lexsort((levels, clusters, ~is_free))[: is_free.sum()]
    owners, first = np.unique(clusters[inside], return_index=True)
    nearest = np.full(len(centroids), -1)
    nearest[owners] = inside[first]
    rows = nearest[asking]
    left = is_free.copy()
    left[rows[rows >= 0]] = False
    found = asking[rows >= 0]
    lonely = [(_take_nearest(points, left, centroids[cluster]), cluster) for cluster in asking[rows < 0]]
    rows = np.concatenate([rows[rows >= 0], np.array([row for row, _ in lonely], np.int64)])
    owners = np.concatenate([found, np.array([cluster for _, cluster in lonely], np.int64)])
    gaps = np.linalg.norm(points[rows] - centroids[owners], axis=1).astype(np.float32)
    return rows[:budget], gaps[:budget]


def _find_served(kept: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the centroids that rows already selected stand for, each its nearest that is not served yet."""
    served = np.zeros(len(centroids), bool)
    for row in kept:
        gaps = np.square(centroids - row).sum(axis=1)
        gaps[served] = np.inf
        served[gaps.argmin()] = True
    return np.flatnonzero(served)


def _take_nearest(points: np.ndarray, left: np.ndarray, centroid: np.ndarray) -> int:
    """Return the row that is left nearest to a centroid, and mark it taken."""
    rows = np.flatnonzero(left)
    squared = np.concatenate([np.square(points[rows[block]] - centroid).sum(axis=1) for block in row_blocks(len(rows))])
    row = int(rows[squared.argmin()])
    left[row] = False
    return row


@dataclass(frozen=True)
class Duplicates:
    """What `semantic_duplicates` found.

    Attributes:
        keep: (n,) bool, False for those to drop.
        conflicts: (m, 2) int64 positions, the lower first: near-duplicates with different labels. Every
            example that has such near-duplicates is listed with the most similar one.
        similarities: (m,) float32 their cosines.
        note: on what comparing inside clusters misses; empty: the pool is one cluster.
    """

    keep: np.ndarray
    conflicts: np.ndarray
    similarities: np.ndarray
    note: str = ""


def semantic_duplicates(
    embeddings: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    generator: np.random.Generator,
    *,
    tie_keys: ArrayLike | None = None,
    exact_limit: int = EXACT_LIMIT,
) -> Duplicates:
    """Find near-duplicates: cosine > 1 - epsilon, inside a cluster.

    Examples are ranked by cosine to their cluster's centroid, lowest (farthest) first, then tie key. One is
    dropped if a near-duplicate *with the same label* ranks before it, dropped itself or not: so every group
    keeps its farthest, and a chain of near-duplicates may keep only that. Nothing is dropped across labels.
    Identical rows are found at any epsilon. Up to `exact_limit` distinct rows the pool is one cluster (all
    pairs are seen); above, mini-batch k-means makes clusters of about 5,000, and pairs split between two
    clusters are missed.

    Args:
        embeddings: (n, d) rows, normalised here.
        labels: (n,) class numbers.
        epsilon: 0..2.
        generator: seeds k-means (untouched for small pools).
        tie_keys: (n,) uint64; default: the position.
        exact_limit: largest number of distinct rows that are compared all with all.

    Raises:
        SelectionError: embeddings not finite, epsilon out of range, or labels of another length.

    Source: Abbas et al. 2023, "SemDeDup: Data-efficient learning at web-scale through semantic
    deduplication", algorithm 1; the restriction to equal labels is ours.
    """
    points = unit_rows(embeddings)
    classes = np.asarray(labels)
    if classes.shape != (len(points),):
        raise SelectionError(f"labels: must be ({len(points)},), one per example, got {classes.shape}")
    if not 0.0 <= epsilon <= 2.0:
        raise SelectionError(f"epsilon: must be in 0..2 (1 - cosine), got {epsilon}")
    order = np.argsort(tie_ranks(tie_keys, len(points)))
    first_of = _find_identical(points[order])  # (n,) first row, in tie order, with the same values
    distinct = np.unique(first_of)
    clusters = np.zeros(len(points), np.int64)
    if len(distinct) > exact_limit:
        centroids = fit_centroids(points[order[distinct]], -(-len(distinct) // CLUSTER_SIZE), generator)
        clusters[distinct] = assign_clusters(points[order[distinct]], centroids)[0]
        clusters = clusters[first_of]
    keep = np.ones(len(points), bool)
    rivals = np.full(len(points), -1)
    similarities = np.full(len(points), -np.inf, np.float32)
    for cluster in np.unique(clusters):
        rows = np.flatnonzero(clusters == cluster)
        members = order[rows]
        kept, rival, closest = _compare(points[members], classes[members], first_of[rows], epsilon)
        keep[members], similarities[members] = kept, closest
        rivals[members] = np.where(rival >= 0, members[rival], -1)
    note = _missed(points[order], classes[order], clusters, epsilon) if len(distinct) > exact_limit else ""
    return Duplicates(keep, *_pair_up(rivals, similarities), note)


def _missed(points: np.ndarray, labels: np.ndarray, clusters: np.ndarray, epsilon: float) -> str:
    """Return in words how many near-duplicates of a sample, the first rows in tie order, are in another cluster."""
    sample = np.arange(min(_SAMPLE, len(points)))
    found = missed = 0
    for block in row_blocks(len(points), 16_384):
        near = points[sample] @ points[block].T > 1.0 - epsilon
        near &= labels[sample, None] == labels[block]
        rows = np.arange(block.start, block.stop)
        near[sample[:, None] == rows] = False
        found += int(near.sum())
        missed += int((near & (clusters[sample, None] != clusters[block])).sum())
    number = int(clusters.max()) + 1
    return (
        f"near-duplicates are looked for in {number:,} clusters: {missed:,} of the {found:,} pairs that a sample of "
        f"{len(sample):,} examples is in are in two of them, and missed"
    )


def _find_identical(points: np.ndarray) -> np.ndarray:
    """Return for each row the first row with the same values."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b((row + 0.0).tobytes(), digest_size=16).digest() for row in points)
    return np.array([seen.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64)


def _compare(
    points: np.ndarray, labels: np.ndarray, first_of: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare all pairs of one cluster, rows in tie order.

    Returns:
        whether each is kept; its most similar near-duplicate of another label (row, or -1) and the cosine.
    """
    centroid = points.mean(axis=0, dtype=np.float64)
    cosines_to_centroid = points.astype(np.float64) @ (centroid / (np.linalg.norm(centroid) or 1.0))
    sequence = np.argsort(np.rint(cosines_to_centroid * _LEVELS), kind="stable")
    points, labels, first_of = points[sequence], labels[sequence], first_of[sequence]
    kept = np.ones(len(points), bool)
    rival = np.full(len(points), -1)
    closest = np.full(len(points), -np.inf, np.float32)
    for block in row_blocks(len(points), max(1, (1 << 23) // len(points))):
        cosines = points[block] @ points.T
        near = cosines > 1.0 - epsilon
        near |= first_of[block, None] == first_of
        same = labels[block, None] == labels
        rows = np.arange(block.start, block.stop)
        kept[block] = ~(near & same & (np.arange(len(points)) < rows[:, None])).any(axis=1)
        cosines[~near | same] = -np.inf
        best = cosines.argmax(axis=1)
        closest[block] = cosines[rows - block.start, best]
        rival[block] = np.where(np.isfinite(closest[block]), best, -1)
    rival = np.where(rival >= 0, sequence[rival], -1)
    undo = np.argsort(sequence)
    return kept[undo], rival[undo], closest[undo]


def _pair_up(rivals: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct (m, 2) pairs (position, rival), the lower first and sorted, and their cosines."""
    positions = np.flatnonzero(rivals >= 0)
    pairs = np.sort(np.column_stack([positions, rivals[positions]]), axis=1).astype(np.int64)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    return pairs, similarities[positions][first]
