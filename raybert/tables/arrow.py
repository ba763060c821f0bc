"""Types of columns in parquet files. Apart from the tables, which are read where pyarrow is not worth its import."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from raybert.tables.schema import Kind, Table

ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    "text": pa.string(),
    "whole": pa.int64(),
    "whole32": pa.int32(),
    "count": pa.int64(),
    "count32": pa.int32(),
    "number": pa.float64(),
    "number32": pa.float32(),
    "flag": pa.bool_(),
    "texts": pa.list_(pa.string()),
    "counts": pa.list_(pa.int64()),
    "numbers": pa.list_(pa.float64()),
}
"""By kind; one that takes any value has no type of its own."""


def arrow_schema(table: Table) -> pa.Schema:
    """Return the schema of a table whose every column has one type; what is optional may be null."""
    return pa.schema(
        [pa.field(column.name, ARROW_TYPES[column.kind], nullable=column.optional) for column in table.columns]
    )
