"""How a number of examples is shared between classes."""

from __future__ import annotations

import numpy as np


def class_seats(class_counts: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of seat 1, 2, 3, ... until all examples have one: Sainte-Lague, one per class first.

    The first seats go to every non-empty class once, largest first; then the highest average n_c / (2 s + 1) of a class
    of n_c examples and s seats wins, the lower class number on ties. A sequence cannot take back a seat, so quotas
    never shrink when the total grows (those by largest remainder do).

    Args:
        class_counts: (C,) examples there are.
        weights: (C,) >= 0, in place of n_c in the averages; a class has no more seats than examples in any case.

    Returns:
        classes (n,) int64, and how many seats the class had before (n,) int64.
    """
    classes = np.repeat(np.arange(len(class_counts)), class_counts)
    starts = np.cumsum(class_counts) - class_counts
    seats = np.arange(len(classes)) - starts[classes]
    averages = (class_counts if weights is None else weights)[classes] / (2 * seats + 1)
    order = np.lexsort((classes, -averages, seats > 0))
    return classes[order], seats[order]


def class_quotas(class_counts: np.ndarray, total: int) -> np.ndarray:
    """Return (C,) int64 how many of each class make up a stratified sample of `total`, by `class_seats`."""
    return np.bincount(class_seats(class_counts)[0][:total], minlength=len(class_counts))
