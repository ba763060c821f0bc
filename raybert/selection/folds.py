"""Folds of the pool: which part of it a cross-fitted proxy does not see."""

from __future__ import annotations

import numpy as np


def assign_folds(labels: np.ndarray, keys: np.ndarray, num_folds: int) -> np.ndarray:
    """Return the fold (n,) int64 of each example: equal sizes up to one, every class spread evenly.

    Args:
        labels: (n,) class numbers.
        keys: (n,) uint64; they shuffle the examples of a class. Those of the random draw may serve: every fold gets
            the same part of any beginning of that.
        num_folds: m.
    """
    order = np.lexsort((keys, labels))
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % num_folds
    return folds
