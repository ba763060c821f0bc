"""Which rows of a column are the same: numbered in the order of the column, without a table of all its values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

_ROWS_AT_ONCE = 2**19
"""About so many hashes are sorted at once: memory holds three numbers of each row, and few more."""
_HASH = pa.binary(16)


def number_rows(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return (n,) int32: equal values of a column have the same number, counted from 0 in the order of the column.

    Args:
        column: of any type; hashes of 16 bytes are sorted part by part, other values are put into a table.
    """
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not len(chunked):
        return np.empty(0, np.int32)
    if chunked.type == _HASH:
        return _number_hashes(chunked)
    encoded = chunked.dictionary_encode().unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])


def repeated_rows(values: np.ndarray) -> np.ndarray:
    """Return the rows, in their order, whose value another row has, too.

    Args:
        values: (n,) uint64 hashes.
    """
    found = [np.empty(0, np.int64)]
    for low, high in _ranges(len(values)):
        rows = np.flatnonzero((values >= low) & (values <= high))
        order = np.argsort(values[rows], kind="stable")
        in_order = values[rows[order]]
        is_as_next = np.append(in_order[1:] == in_order[:-1], False)[: len(rows)]
        found.append(rows[order[is_as_next | np.append(False, is_as_next[:-1])[: len(rows)]]])
    return np.sort(np.concatenate(found))


def _number_hashes(column: pa.ChunkedArray) -> np.ndarray:
    first = np.empty(len(column), np.int32)  # row -> the first one with its value
    for low, high in _ranges(len(column)):
        rows, halves = _hashes_between(column, low, high)
        order = np.lexsort(halves.T)  # stable: of equal ones the first row comes first
        in_order = halves[order]
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
        starts = np.flatnonzero(is_new)
        first[rows[order]] = np.repeat(rows[order[starts]], np.diff(starts, append=len(rows)))
    number = np.cumsum(first == np.arange(len(first), dtype=np.int32), dtype=np.int32) - np.int32(1)
    return np.asarray(number[first])


def _hashes_between(column: pa.ChunkedArray, low: np.uint64, high: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose hashes end in eight bytes of a range, and these hashes as (m, 2) uint64."""
    rows, found, start = [np.empty(0, np.int32)], [np.empty((0, 2), np.uint64)], 0
    for chunk in column.chunks:
        if len(chunk):
            halves = np.frombuffer(chunk.buffers()[1], "<u8", 2 * len(chunk), 16 * chunk.offset).reshape(-1, 2)
            here = np.flatnonzero((halves[:, 1] >= low) & (halves[:, 1] <= high))
            rows.append((here + start).astype(np.int32))
            found.append(halves[here])
            start += len(chunk)
    return np.concatenate(rows), np.concatenate(found)


def _ranges(count: int) -> Iterator[tuple[np.uint64, np.uint64]]:
    """Yield the first and last number of ranges of all of 64 bits in each of which so many hashes are few enough."""
    parts = max(1, -(-count // _ROWS_AT_ONCE))
    ends = [2**64 * part // parts for part in range(parts + 1)]
    for low, end in pairwise(ends):
        yield np.uint64(low), np.uint64(end - 1)
