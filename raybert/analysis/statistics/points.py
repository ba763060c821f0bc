"""The points of a grid, and which runs stand at each: at all values of a key that makes no difference to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd


def grid_points(rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield every point of the grid, as column -> value, with the rows that stand there.

    A row without a value of a key does not depend on it, and stands at all values of it. Points are those of rows with
    the most keys: where some rows have a learning rate and others none, the latter make no point of their own.

    Args:
        rows: with the columns.
        columns: the keys; none: one point.
    """
    if not columns:
        yield {}, rows
        return
    seen = rows[list(columns)].drop_duplicates()
    for point in _fullest(seen.to_dict("records")):
        stands = pd.Series(True, index=rows.index)
        for column, value in point.items():
            if not pd.isna(value):
                stands &= rows[column].isna() | (rows[column] == value)
        yield {str(column): value for column, value in point.items()}, rows[stands]


def _fullest(points: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Return the points that no other one with more values agrees with."""
    return [point for point in points if not any(_extends(other, point) for other in points if other is not point)]


def _extends(other: dict[Any, Any], point: dict[Any, Any]) -> bool:
    own = {key: value for key, value in point.items() if not pd.isna(value)}
    return len(own) < sum(not pd.isna(value) for value in other.values()) and all(
        not pd.isna(other[key]) and other[key] == value for key, value in own.items()
    )
