"""From scores to positions: ties by key, a direction, class quotas, and refill of what was filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raybert.data.quotas import class_seats
from raybert.selection.keys import tie_keys as tie_keys  # users of 0.1 find it here
from raybert.selection.pool import Pool, Selection

Direction = Literal["hard", "easy", "middle"]
Balance = Literal["class", "equal", "none", "error", "difficulty"]
"""How a budget is shared between classes."""
CLASS_ERROR = "class_error"
"""The signal that `balance: error` reads."""


@dataclass(frozen=True)
class Order:
    """Which end of a score is kept.

    Attributes:
        direction: `hard` (highest first), `easy` (lowest first), or `middle` (nearest to the median rank
            first, the harder of two that are equally near).
        window: shares of the ascending ranking to keep instead; inside it, hardest first.
        drop_hardest: share of the hardest to drop first.
        highest: scores above it are dropped before anything else.
    """

    direction: Direction = "hard"
    window: tuple[float, float] | None = None
    drop_hardest: float = 0.0
    highest: float = np.inf


def rank(scores: np.ndarray, keys: np.ndarray, order: Order) -> tuple[np.ndarray, int]:
    """Return all rows in order of preference, and how many of the first belong to what the order keeps.

    What `highest`, `drop_hardest` and `window` drop comes after the kept rows, the easiest of it first, and rows
    without a score (NaN) come last.

    Args:
        scores: (m,) float, higher = harder; infinities are scores like others.
        keys: (m,) uint64, ascending keys break ties.
        order: which end is kept.

    Returns:
        (m,) int64 permutation, and the number of kept rows.
    """
    is_scored = ~np.isnan(scores)
    ascending = np.lexsort((keys, np.where(is_scored, scores, np.inf), ~is_scored))
    scored, unscored = np.split(ascending, [int(is_scored.sum())])
    possible = int(np.searchsorted(scores[scored], order.highest, side="right"))
    keep = possible - int(order.drop_hardest * possible)
    dropped = scored[keep:]  # the easiest of them come back first
    if order.window is not None:
        low, high = (round(share * keep) for share in order.window)
        kept = scored[low:high][::-1]
        dropped = np.concatenate([scored[high:keep], scored[:low][::-1], dropped])
    else:
        kept = _directed(scored[:keep], scores, keys, order.direction)
    return np.concatenate([kept, dropped, unscored]).astype(np.int64), len(kept)


def _directed(ascending: np.ndarray, scores: np.ndarray, keys: np.ndarray, direction: Direction) -> np.ndarray:
    if direction == "easy":
        return ascending
    if direction == "hard":
        return ascending[np.lexsort((keys[ascending], -scores[ascending]))]
    # Equal scores share their mean rank, so that ties are broken by key and not by where they fall.
    _, inverse, counts = np.unique(scores[ascending], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean_rank = (ends - (counts + 1) / 2)[inverse]
    distance = np.abs(mean_rank - (len(ascending) - 1) / 2)
    return ascending[np.lexsort((keys[ascending], -scores[ascending], distance))]


def class_weights(balance: Balance, pool: Pool, scores: np.ndarray | None = None) -> np.ndarray | None:
    """Return (C,) weights of the classes in the budget; None: they are the examples that there are.

    equal: 1 each. error: n_c times the share of validation examples of the class that a proxy gets wrong. difficulty:
    n_c times the mean score of the class above the lowest score of all. Where that is nothing of any class, it is as
    `class`, and the pool's notes have it.

    Args:
        balance: which.
        pool: labels, and for `error` the signal.
        scores: (n,) higher = harder, for `difficulty`; what is not finite does not count.

    Source: Vysogorets et al. 2024, "DRoP: Distributionally Robust Data Pruning", arXiv 2404.05579, for `error`: the
    share of a class that is kept is proportional to its error.
    """
    if balance in ("class", "none"):
        return None
    sizes = np.bincount(pool.labels, minlength=pool.num_classes).astype(np.float64)
    if balance == "equal":
        return np.asarray(sizes > 0, np.float64)
    values = np.asarray(pool.signals[CLASS_ERROR] if balance == "error" else scores, np.float64)
    is_known = np.isfinite(values)
    lowest = values[is_known].min() if balance == "difficulty" and is_known.any() else 0.0
    above = np.where(is_known, values - lowest, 0.0)
    counts = np.bincount(pool.labels, is_known, minlength=pool.num_classes)
    means = np.bincount(pool.labels, above, minlength=pool.num_classes) / np.maximum(counts, 1)
    if means.max() <= 0:
        pool.notes.append(f"`balance: {balance}` is as `class`: no class has any")
        return None
    return np.asarray(sizes * means)


def free_seats(
    pool: Pool, groups: np.ndarray, sizes: np.ndarray, count: int, weights: np.ndarray | None = None
) -> list[int]:
    """Return the group of each of the next `count` examples, in order, by `class_seats`.

    Seats go first to what earlier rounds chose; these are not returned.

    Args:
        pool: says what was chosen earlier.
        groups: (n,) group of each example.
        sizes: (G,) examples per group.
        count: examples still to choose.
        weights: (G,) of the groups; None: their sizes.
    """
    taken = np.bincount(groups[pool.selected], minlength=len(sizes))
    seats, numbers = class_seats(sizes, weights)
    free: list[int] = seats[numbers >= taken[seats]][:count].tolist()
    return free


def choose_ranked(
    pool: Pool,
    budget: int,
    scores: np.ndarray,
    order: Order,
    *,
    balanced: bool,
    weights: np.ndarray | None = None,
) -> Selection:
    """Return the `budget` most preferred examples; what earlier rounds chose stays and comes first.

    Args:
        pool: labels, keys and earlier choices.
        budget: examples in all.
        scores: (n,) float, higher = harder.
        order: which end is kept.
        balanced: rank inside each class and share the budget by class quotas.
        weights: (C,) of the classes in these; None: their sizes.
    """
    groups = pool.labels if balanced else np.zeros(len(pool), np.int64)
    sizes = np.bincount(groups, minlength=pool.num_classes if balanced else 1)
    is_selected = np.zeros(len(pool), bool)
    is_selected[pool.selected] = True
    kept_rows = np.zeros(len(pool), bool)
    seats = free_seats(pool, groups, sizes, budget - len(pool.selected), weights)
    counts = np.bincount(np.array(seats, np.int64), minlength=len(sizes))
    queues = []
    for group in range(len(sizes)):
        rows = np.flatnonzero(groups == group)
        ranking, num_kept = rank(scores[rows], pool.tie_keys[rows], order)
        kept_rows[rows[ranking[:num_kept]]] = True
        queue = rows[ranking]
        queues.append(iter(queue[~is_selected[queue]][: counts[group]].tolist()))
    chosen = np.array([next(queues[group]) for group in seats], np.int64)
    chosen = np.concatenate([chosen[kept_rows[chosen]], chosen[~kept_rows[chosen]]])
    positions = np.concatenate([pool.selected, chosen])
    refilled = int((~kept_rows[chosen]).sum())
    return Selection(positions, scores[positions].astype(np.float64), refilled=refilled, pool_scores=scores)


def choose_per_class(
    pool: Pool, budget: int, choose: Callable[[Pool, int], Selection], weights: np.ndarray | None = None
) -> Selection:
    """Return what a choice makes of every class alone, by class quotas, woven together in the order of the seats.

    Args:
        pool: labels, keys and earlier choices.
        budget: examples in all.
        choose: (pool of one class, its quota) -> its selection, in the order of selection.
        weights: (C,) of the classes in the quotas; None: their sizes.
    """
    sizes = np.bincount(pool.labels, minlength=pool.num_classes)
    seats = free_seats(pool, pool.labels, sizes, budget - len(pool.selected), weights)
    counts = np.bincount(np.array(seats, np.int64), minlength=pool.num_classes)
    queues: dict[int, Iterator[tuple[int, float]]] = {}
    old_scores = np.full(len(pool), np.nan)
    taken_back = set[int]()
    for group in np.flatnonzero(counts):
        rows = np.flatnonzero(pool.labels == group)
        part = pool.subset(rows)
        num_old = len(part.selected)
        inner = choose(part, num_old + int(counts[group]))
        positions = rows[inner.positions]
        old_scores[positions[:num_old]] = inner.scores[:num_old]
        queues[int(group)] = zip(positions[num_old:].tolist(), inner.scores[num_old:].tolist(), strict=True)
        taken_back.update(positions[len(positions) - inner.refilled :].tolist())
    chosen = sorted((next(queues[group]) for group in seats), key=lambda pair: pair[0] in taken_back)
    positions = np.concatenate([pool.selected, np.array([row for row, _ in chosen], np.int64)])
    scores = np.concatenate([old_scores[pool.selected], np.array([score for _, score in chosen], np.float64)])
    return Selection(positions, scores, refilled=len(taken_back))
