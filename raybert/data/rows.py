"""Rows of a table by their numbers, however much text there is: Arrow alone takes none of more than 2 GiB."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SAFE_BYTES = 2**30
"""Of a table that Arrow may put together in one piece: the offsets of its strings have 32 bits."""
_SMALL_BYTES = 2**24
_BLOCK_ROWS = 65_536


def take_rows(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return some rows of a table in a given order.

    What is too large for one piece is taken in blocks, chunk by chunk, so that no more is copied than what is returned.

    Args:
        table: in any number of chunks.
        rows: (m,) from 0.
    """
    rows = np.asarray(rows, np.int64)
    are_few = len(rows) < table.num_rows // 4 and table.nbytes > _SMALL_BYTES  # Arrow puts all together for each take
    if not len(rows):
        return table.slice(0, 0)  # Arrow would put all together to take nothing
    if table.nbytes <= _SAFE_BYTES and not are_few:
        return table.take(pa.array(rows))
    columns = [_take(column, rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _take(column: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    starts = np.cumsum([0, *(len(chunk) for chunk in chunks[:-1])])
    width = max(1, column.nbytes // len(column))
    size = int(max(1, min(_BLOCK_ROWS, _SAFE_BYTES // width)))
    blocks = []
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        of_chunk = np.searchsorted(starts, block, side="right") - 1
        order = np.argsort(of_chunk, kind="stable")
        parts = np.split(block[order], np.flatnonzero(np.diff(of_chunk[order])) + 1)
        numbers = of_chunk[order][np.cumsum([0, *map(len, parts[:-1])])]
        pieces = [chunks[n].take(pa.array(part - starts[n])) for n, part in zip(numbers, parts, strict=True)]
        place = np.empty(len(block), np.int64)
        place[order] = np.arange(len(block))
        blocks.append(pa.concat_arrays(pieces).take(pa.array(place)))
    return pa.chunked_array(blocks, column.type)


def row_numbers(num_rows: int) -> np.ndarray:
    """Return (n,) the numbers of rows from 0, of four bytes each where that is enough."""
    return np.arange(num_rows, dtype=np.int32 if num_rows < 2**31 else np.int64)


def find_rows(known: pa.Array | pa.ChunkedArray, wanted: pa.Array) -> np.ndarray:
    """Return (m,) int64 where among many strings some few are, -1: nowhere; of equal ones the last.

    The few are looked for among the many, not the other way round, which would take a table of all of them.
    """
    number = pc.index_in(known, wanted)
    found = np.flatnonzero(np.asarray(number.is_valid()))
    rows = np.full(len(wanted), -1, np.int64)
    rows[number.take(pa.array(found)).to_numpy()] = found
    return rows
