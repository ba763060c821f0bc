"""Classes with too few examples to be in every split: an error, left out, or kept for training alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from raybert.errors import DataError

RareClasses = Literal["error", "drop", "train"]
"""The values of `data.rare_classes`."""


def set_rare_aside(
    unit_of_row: np.ndarray,
    labels: np.ndarray,
    lacking: Callable[[np.ndarray], set[int]],
    names: Sequence[str],
    policy: RareClasses,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the rows that can be cut with every class in every part, and the classes that are too rare for it.

    Args:
        unit_of_row: (n,) number of each row's unit, which no cut tears.
        labels: (n,) class numbers.
        lacking: rows -> the classes that some part lacks if these rows are cut.
        names: class number -> name, for messages.
        policy: with `train`, rows of a rare class take the other rows of their units with them.

    Returns:
        positions of rows in their order, and class numbers in theirs.

    Raises:
        DataError: fewer than two classes are left.
    """
    rows: np.ndarray = np.arange(len(labels), dtype=np.int32)
    rare = set[int]()
    while policy != "error":
        found = lacking(rows)
        if not found:
            break
        rare |= found
        is_rare = np.isin(labels, sorted(rare))
        if policy == "train":
            is_rare = np.isin(unit_of_row, unit_of_row[is_rare])
        rows = np.flatnonzero(~is_rare)
        left = np.unique(labels[rows])
        if len(left) < 2:
            raise DataError(
                f"data.rare_classes: must leave two classes that can be in every split, got "
                f"{len(left)} ({', '.join(names[label] for label in left) or 'none'}) with '{policy}'; give split "
                "files, or larger fractions"
            )
    return rows, tuple(sorted(rare))


def describe_rare(
    labels: np.ndarray, rare: Sequence[int], names: Sequence[str], policy: RareClasses
) -> tuple[str, ...]:
    """Return a note about the classes that are too rare for every split, and what became of them."""
    if not rare:
        return ()
    counts = np.bincount(labels, minlength=len(names))
    listed = ", ".join(f"'{names[label]}' ({counts[label]:,})" for label in rare)
    total = f"{counts[list(rare)].sum():,} of {len(labels):,} examples"
    if policy == "drop":
        return (f"data.rare_classes: {listed}: too few to be in every split, left out ({total})",)
    return (f"data.rare_classes: {listed}: too few to be in every split, kept in train alone ({total})",)


def drop_classes(table: pa.Table, names: Sequence[str], classes: Sequence[int]) -> tuple[pa.Table, tuple[str, ...]]:
    """Return a table without the rows of some classes, the others numbered anew, and their names."""
    left = [label for label in range(len(names)) if label not in set(classes)]
    number = np.full(len(names), -1, np.int64)
    number[left] = np.arange(len(left))
    labels = number[table["label"].to_numpy()]
    kept = table.set_column(table.column_names.index("label"), "label", pa.array(labels)).filter(pa.array(labels >= 0))
    return kept, tuple(names[label] for label in left)
