"""Several columns of labels, one a label, under keys of their own among the columns of a source."""

from __future__ import annotations

from collections.abc import Sequence

LABEL_COLUMN = "data.label[{}]"
"""Key of the i-th of several columns of labels in a raw table."""


def label_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return key -> column."""
    return {LABEL_COLUMN.format(number): column for number, column in enumerate(columns)}


def is_label_column(key: str) -> bool:
    """Tell whether a key is that of one of several columns of labels."""
    return key.startswith(LABEL_COLUMN.format("").removesuffix("]"))
