"""Folds and splits of rows by class and group, as `data.folds` and the splits of a sweep are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from raybert.data.cut import assign_units
from raybert.data.folds import assign_folds
from raybert.data.identity import keyed_order
from raybert.data.units import Units
from raybert.errors import DataError

__all__ = ["assign", "cut"]


def assign(labels: Any, num_folds: int, *, groups: Sequence[Any] | None = None, seed: int = 0) -> np.ndarray:
    """Return (n,) int64 the fold 0..num_folds-1 of each row; folds are alike in their classes, no group is torn.

    Args:
        labels: (n,) class numbers.
        num_folds: at least 2.
        groups: (n,) names of what must stay together; default: every row is alone.
        seed: another seed is another cut.

    Raises:
        DataError: a class has fewer rows (or groups) than folds.

    Source: scikit-learn's StratifiedKFold and StratifiedGroupKFold, of rows in a keyed order.
    """
    found = _labels(labels)
    units = _units(groups, len(found))
    if num_folds < 2:
        raise DataError(f"num_folds: must be >= 2, got {num_folds}")
    for label in np.unique(found).tolist():
        count = len({units[row] for row in np.flatnonzero(found == label)})
        if count < num_folds:
            noun = "rows" if groups is None else "groups"
            raise DataError(f"num_folds: must be <= {count} ({noun} of class {label}), got {num_folds}")
    # Rows that are units of their own are cut in their order: a keyed one makes that a matter of the seed.
    order = keyed_order([str(row) for row in range(len(found))], seed, "folds").argsort(kind="stable")
    fold = np.empty(len(found), np.int64)
    fold[order] = assign_folds(Units.of_names(units[row] for row in order), found[order], num_folds, seed)
    return fold


def cut(labels: Any, fractions: Sequence[float], *, groups: Sequence[Any] | None = None, seed: int = 0) -> np.ndarray:
    """Return (n,) int64 the part of each row: 1, 2, ... for the shares given, 0 for the rest.

    Classes are spread, rare ones first; no group is torn; shares are met as nearly as whole groups allow.

    Args:
        labels: (n,) class numbers.
        fractions: share of the rows of each part, in total below 1: `[0.1, 0.2]` for validation and test.
        groups: (n,) names of what must stay together; default: every row is alone.
        seed: another seed is another cut.

    Raises:
        DataError: shares that are none.
    """
    found = _labels(labels)
    if not fractions or min(fractions) <= 0 or sum(fractions) >= 1:
        raise DataError(f"fractions: must be shares in (0, 1), in total below 1, got {list(fractions)}")
    return assign_units(Units.of_names(_units(groups, len(found))), found, list(fractions), seed)


def _labels(labels: Any) -> np.ndarray:
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iub" or found.min() < 0:
        raise DataError(f"labels: must be (n,) class numbers 0..C-1, got {found.dtype} of shape {found.shape}")
    return found.astype(np.int64)


def _units(groups: Sequence[Any] | None, size: int) -> list[str]:
    names = [str(row) for row in range(size)] if groups is None else [str(group) for group in groups]
    if len(names) != size:
        raise DataError(f"groups: must be one per label ({size}), got {len(names)}")
    return names
