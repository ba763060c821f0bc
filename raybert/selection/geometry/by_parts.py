"""Greedy selection from pools that are too large for one piece: by parts of neighbours, and what that loses.

In each part the exact algorithm runs (memory and time are those of a part), and of all choices those of the largest
values are taken (`choose_by_value`). The loss is measured on a sample, which is cut into as many parts and chosen from
in one piece besides; as its parts have fewer rows, more of them at a border, it is rather too high than too low.

Source: the partition and greedy union of GreeDi, Mirzasoleiman et al. 2013, "Distributed Submodular Maximization", and
for k-center of Malkomes et al. 2015, "Fast Distributed k-Center Clustering with Outliers"; parts of neighbours in place
of random ones, and quotas by value in place of equal ones with a second round, are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raybert.data.quotas import class_seats
from raybert.selection.geometry.cells import NUM_PROBES, nearest_in_cells
from raybert.selection.geometry.facility_location import facility_location, qdit_greedy
from raybert.selection.geometry.k_center import k_center
from raybert.selection.geometry.parts import Chosen, choose_by_value, cut_into_parts
from raybert.selection.geometry.points import as_points, as_selected, check_budget, row_blocks, tie_ranks, unit_rows

_CENTRE_SAMPLE, _GRAPH_SAMPLE, _NEIGHBOUR_SAMPLE = 65_536, 8_192, 256


@dataclass(frozen=True)
class ByParts:
    """A choice by parts.

    Attributes:
        positions: (k,) int64 in the order of choice.
        values: (k,) that they were chosen by.
        num_parts: how many there were.
        note: what a user should know: how good the choice is, and what the parts lose.
    """

    positions: np.ndarray
    values: np.ndarray
    num_parts: int
    note: str


def k_center_by_parts(
    embeddings: ArrayLike, budget: int, num_parts: int, *, selected: ArrayLike | None = None, tie_keys: ArrayLike
) -> ByParts:
    """Return a k-center by parts; arguments as of `k_center`.

    Each part begins with its medoid; then the point of the pool that is farthest from the chosen ones of its part is
    next, so all parts come to the same radius. A point may be nearer to a chosen one of another part: the radius said
    is an upper bound.
    """
    points, kept, ranks, parts = _opened(embeddings, budget, num_parts, selected, tie_keys)

    choose = _choose_in_part(k_center, points, kept, ranks)
    positions, values, left = choose_by_value(parts, budget, _num_free(parts, kept), choose)
    note = f"every example is within {left.max(initial=0.0):.3f} of a chosen one of its part"
    return ByParts(positions, values, len(parts), f"{_in_parts(parts)}: {note}")


def facility_location_by_parts(
    embeddings: ArrayLike, budget: int, num_parts: int, *, selected: ArrayLike | None = None, tie_keys: ArrayLike
) -> ByParts:
    """Return the greedy maximiser of F where similarities between parts count as 0; arguments as of the exact one."""
    points, kept, ranks, parts = _opened(embeddings, budget, num_parts, selected, tie_keys)

    choose = _choose_in_part(facility_location, points, kept, ranks)
    positions, values, _ = choose_by_value(parts, budget, _num_free(parts, kept), choose)
    mean = f"the mean similarity to a chosen one of the same part is at least {values.sum() / len(points):.3f}"
    return ByParts(positions, values, len(parts), f"{_in_parts(parts)}" + ("" if len(kept) else f": {mean}"))


def qdit_by_parts(
    quality: np.ndarray,
    alpha: float,
    budget: int,
    num_parts: int,
    *,
    embeddings: ArrayLike,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike,
) -> ByParts:
    """Return what `qdit_greedy` chooses in each part, woven together by quotas of their sizes."""
    points, kept, ranks, parts = _opened(embeddings, budget, num_parts, selected, tie_keys)
    seats, before = class_seats(np.array([len(rows) for rows in parts]))
    have = np.array([int(np.isin(rows, kept).sum()) for rows in parts])
    free = seats[before >= have[seats]][:budget]
    counts = np.bincount(free, minlength=len(parts))
    positions, values = np.empty(budget, np.int64), np.empty(budget)
    for part in np.flatnonzero(counts):
        rows = parts[part]
        inner, by = qdit_greedy(
            quality[rows],
            alpha,
            int(counts[part]),
            embeddings=points[rows],
            selected=np.flatnonzero(np.isin(rows, kept)),
            tie_keys=ranks[rows],
        )
        positions[free == part], values[free == part] = rows[inner], by
    return ByParts(positions, values, len(parts), _in_parts(parts))


def knn_by_parts(
    embeddings: ArrayLike, num_neighbours: int, num_parts: int, *, tie_keys: ArrayLike
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return each example's most similar others in cells near it, best first, cosines, and a note on those missed.

    Args:
        embeddings: (n, d) rows, normalised here.
        num_neighbours: k.
        num_parts: an example is compared with about n / num_parts others.
        tie_keys: (n,) uint64.
    """
    points = unit_rows(embeddings)
    ranks = tie_ranks(tie_keys, len(points))
    num_candidates = -(-len(points) // num_parts)
    neighbours, cosines = nearest_in_cells(points, num_neighbours, num_candidates, ranks)
    looked = f"in {NUM_PROBES} cells near each example, among some {num_candidates:,} others"
    return neighbours, cosines, f"{looked}: {_missed(points, ranks, neighbours, cosines)}"


def centres_loss(embeddings: ArrayLike, share: float, num_parts: int, tie_keys: ArrayLike) -> str:
    """Return in words how much larger the covering radius of a sample is by parts."""
    points, keys = _sample(embeddings, tie_keys, _CENTRE_SAMPLE)
    count = _count(share, len(points), num_parts)
    apart = k_center_by_parts(points, count, num_parts, tie_keys=keys).positions
    whole, _ = k_center(points, count, tie_keys=keys)
    radii = covering_radius(points, apart), covering_radius(points, whole)
    return _compared("a covering radius", radii, len(points), count)


def coverage_loss(embeddings: ArrayLike, share: float, num_parts: int, tie_keys: ArrayLike) -> str:
    """Return in words how much smaller the coverage of a sample is by parts."""
    points, keys = _sample(embeddings, tie_keys, _GRAPH_SAMPLE)
    count = _count(share, len(points), num_parts)
    apart = facility_location_by_parts(points, count, num_parts, tie_keys=keys).positions
    whole, _ = facility_location(points, count, tie_keys=keys)
    means = mean_coverage(points, apart), mean_coverage(points, whole)
    return _compared("a mean similarity to the chosen", means, len(points), count)


def covering_radius(points: np.ndarray, chosen: np.ndarray) -> float:
    """Return the largest Euclidean distance of a row to the nearest chosen one."""
    centres = points[chosen].astype(np.float64)
    norms = np.einsum("ij,ij->i", centres, centres)
    largest = 0.0
    for block in row_blocks(len(points)):
        rows = points[block].astype(np.float64)
        squared = np.einsum("ij,ij->i", rows, rows) + (norms - 2.0 * (rows @ centres.T)).min(axis=1)
        largest = max(largest, float(squared.max()))
    return float(np.sqrt(max(largest, 0.0)))


def mean_coverage(points: np.ndarray, chosen: np.ndarray) -> float:
    """Return F(S) / n: the mean over all rows of (1 + cos) / 2 to the most similar chosen one."""
    rows = unit_rows(points).astype(np.float64)
    best = [(rows[block] @ rows[chosen].T).max(axis=1) for block in row_blocks(len(rows))]
    return float((1.0 + np.concatenate(best)).mean() / 2.0)


def _opened(
    embeddings: ArrayLike, budget: int, num_parts: int, selected: ArrayLike | None, tie_keys: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    points = as_points(embeddings)
    kept = as_selected(selected, len(points))
    check_budget(budget, len(points) - len(kept))
    return points, kept, tie_ranks(tie_keys, len(points)), cut_into_parts(points, num_parts)


def _choose_in_part(
    algorithm: Callable[..., Chosen], points: np.ndarray, kept: np.ndarray, ranks: np.ndarray
) -> Callable[[np.ndarray, int], Chosen]:
    """Return what chooses so many of a part's rows by a greedy algorithm, beside those of it that are kept."""

    def choose(rows: np.ndarray, count: int) -> Chosen:
        before = np.flatnonzero(np.isin(rows, kept))
        inner, values = algorithm(points[rows], count, selected=before, tie_keys=ranks[rows])
        return rows[inner], values

    return choose


def _num_free(parts: list[np.ndarray], kept: np.ndarray) -> list[int]:
    return [len(rows) - int(np.isin(rows, kept).sum()) for rows in parts]


def _in_parts(parts: list[np.ndarray]) -> str:
    return f"in {len(parts):,} parts of at most {max(map(len, parts)):,} neighbours"


def _sample(embeddings: ArrayLike, tie_keys: ArrayLike, size: int) -> tuple[np.ndarray, np.ndarray]:
    points, keys = np.asarray(embeddings), np.asarray(tie_keys)
    rows = np.sort(np.argsort(keys, kind="stable")[:size])
    return as_points(points[rows]), keys[rows]


def _count(share: float, num_points: int, num_parts: int) -> int:
    """Return how many are chosen of a sample: its share, and of each part one at least."""
    return min(num_points, max(num_parts, round(share * num_points)))


def _compared(what: str, values: tuple[float, float], size: int, count: int) -> str:
    apart, whole = values
    times = f" ({apart / whole:.3f} times)" if whole else ""
    return f"of a sample of {size:,}, {count:,} chosen so have {what} of {apart:.4f}, in one piece {whole:.4f}{times}"


def _missed(points: np.ndarray, ranks: np.ndarray, neighbours: np.ndarray, cosines: np.ndarray) -> str:
    """Return in words which share of the nearest neighbours in the whole pool are among those that were found."""
    rows = np.sort(np.argsort(ranks)[:_NEIGHBOUR_SAMPLE])
    width = neighbours.shape[1]
    best = np.full((len(rows), width), -np.inf)
    queries = unit_rows(points[rows])
    for block in row_blocks(len(points), 65_536):
        found = queries @ unit_rows(points[block]).T
        inside = (rows >= block.start) & (rows < block.stop)
        found[inside, rows[inside] - block.start] = -np.inf
        top = np.partition(found, -min(width, found.shape[1]), axis=1)[:, -width:]
        best = -np.partition(-np.concatenate([best, top], axis=1), width - 1, axis=1)[:, :width]
    hits = float((cosines[rows] >= best.min(axis=1)[:, None] - 1e-6).mean())
    return (
        f"of {len(rows)} examples {100 * hits:.0f} % of the {width} nearest neighbours are found, the mean "
        f"cosine is {cosines[rows].mean():.4f}, in the whole pool {best.mean():.4f}"
    )
