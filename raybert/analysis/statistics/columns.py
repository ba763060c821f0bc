"""Frames whose columns have the types that are declared, and one type each whatever values a sweep file gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from raybert.tables import Column, Table
from raybert.tables.arrow import ARROW_TYPES


def plain_column(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return varied values as numbers where all are, else as text: a column has one type."""
    present = values.dropna()
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        return pd.to_numeric(values)
    return values.map(lambda v: v if v is None or v != v else v if isinstance(v, str) else json.dumps(v))


def typed_frame(
    records: Sequence[Mapping[Any, Any]], table: Table, grid_columns: Sequence[str] = (), parameters: Sequence[str] = ()
) -> pd.DataFrame:
    """Return records as a frame with the columns of a table, each of its declared type whatever is missing.

    Args:
        records: a mapping per row; what the table does not know becomes a column at the end.
        table: of the columns.
        grid_columns: the varied hyperparameters among them.
        parameters: the tuned ones, whose types are for the caller to know.
    """
    frame = pd.DataFrame.from_records([dict(record) for record in records])
    order = table.order(grid_columns, parameters)
    frame = frame.reindex(columns=[*order, *(str(column) for column in frame.columns if column not in order)])
    for name in frame.columns:
        if name in grid_columns:
            frame[name] = plain_column(frame[name])
        elif name in table:
            frame[name] = _of_type(frame[name], table[name])
        elif name not in parameters:
            frame[name] = _storable(frame[name])
    return frame


def arrow_table(frame: pd.DataFrame, table: Table) -> pa.Table:
    """Return a frame for parquet, with the declared types also where a column has no value to tell it by."""
    stored = pa.Table.from_pandas(frame, preserve_index=False)
    for column in table:
        if column.kind in ("counts", "numbers") and column.name in frame:
            place = stored.schema.get_field_index(column.name)
            typed = stored.column(column.name).cast(ARROW_TYPES[column.kind])
            stored = stored.set_column(place, column.name, typed)
    return stored


def _of_type(values: pd.Series[Any], column: Column) -> pd.Series[Any]:
    if column.kind == "any":
        return values
    if column.dtype == "object":
        return values.astype(object).where(values.notna(), None)
    numbers = values if column.kind == "text" else pd.to_numeric(values)
    return numbers.astype(column.dtype)  # type: ignore[call-overload, no-any-return]


def _storable(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column that parquet can hold: values of several types become JSON text."""
    if values.dtype != object or len({type(v) for v in values.dropna()}) <= 1:
        return values
    return values.map(lambda v: v if v is None or isinstance(v, str) else json.dumps(v))
