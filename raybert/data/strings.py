"""Columns of strings without a Python object per row: read in blocks, hashed into arrays of fixed width."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.rows import take_rows

BLOCK_ROWS = 65_536
"""Rows that are Python objects at once."""
HEX_DIGITS = 16
"""Of an id that is made of content."""


def stream_strings(column: pa.Array | pa.ChunkedArray) -> Iterator[str]:
    """Yield the strings of a column in their order."""
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        for start in range(0, len(chunk), BLOCK_ROWS):
            yield from chunk.slice(start, BLOCK_ROWS).to_pylist()


def utf8_parts(column: pa.Array | pa.ChunkedArray) -> Iterator[tuple[np.ndarray, memoryview]]:
    """Yield the lengths of a column's strings in bytes, and their bytes end to end, chunk by chunk; nothing is copied.

    Args:
        column: strings, none of them missing.
    """
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        is_large = pa.types.is_large_string(chunk.type)
        dtype = np.dtype(np.int64 if is_large else np.int32)
        _, starts, content = chunk.buffers()
        if starts is None or not len(chunk):
            continue
        offsets = np.frombuffer(starts, dtype, len(chunk) + 1, dtype.itemsize * chunk.offset)
        yield np.diff(offsets), memoryview(content or b"")[offsets[0] : offsets[-1]]


def pack(digests: Iterable[bytes]) -> bytearray:
    """Return digests end to end; joined, they would all be objects at once."""
    packed = bytearray()
    for digest in digests:
        packed += digest
    return packed


def blocks_of_digests(digests: Iterable[bytes], width: int) -> Iterator[pa.Array]:
    """Yield digests as columns of `width` bytes a row, a block at a time."""
    rest = iter(digests)
    while packed := b"".join(islice(rest, BLOCK_ROWS)):
        yield pa.Array.from_buffers(pa.binary(width), len(packed) // width, [None, pa.py_buffer(packed)])


def blocks_of_hex(packed: bytearray) -> Iterator[pa.Array]:
    """Yield digests of eight bytes, end to end, as columns of strings of 16 hex digits, a block at a time."""
    for start in range(0, len(packed), 8 * BLOCK_ROWS):
        digits = binascii.hexlify(memoryview(packed)[start : start + 8 * BLOCK_ROWS])
        count = len(digits) // HEX_DIGITS
        offsets = np.arange(count + 1, dtype=np.int32) * np.int32(HEX_DIGITS)
        yield pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(digits))


def as_str_array(column: pa.Array | pa.ChunkedArray, file: Path | None = None) -> np.ndarray:
    """Return a column of strings as numpy has them: (n,) of the width of the longest.

    Args:
        column: the strings.
        file: where the array is written in the format of numpy, and mapped; None: memory holds it.
    """
    longest = pc.max(pc.utf8_length(column)).as_py() or 1
    kind = np.dtype(f"U{longest}")
    shape = (len(column),)
    found = np.empty(shape, kind) if file is None else np.lib.format.open_memmap(file, "w+", kind, shape)
    for start in range(0, len(column), BLOCK_ROWS):
        found[start : start + BLOCK_ROWS] = column.slice(start, BLOCK_ROWS).to_pylist()
    return found


@dataclass(frozen=True, eq=False)
class StreamedStrings(Iterable[str]):
    """The strings of some columns, one column after the other, of which a block is Python objects at a time.

    Attributes:
        columns: of strings, in chunks.
    """

    columns: Sequence[pa.ChunkedArray]

    def __iter__(self) -> Iterator[str]:
        return (text for column in self.columns for text in stream_strings(column))

    def __len__(self) -> int:
        return sum(map(len, self.columns))

    def in_order(self) -> Iterator[str]:
        """Yield the strings as `sorted` sorts them: bytes of UTF-8 are in the order of the characters."""
        joined = pa.concat_tables([pa.table({"text": column}) for column in self.columns])
        order = pc.sort_indices(joined, sort_keys=[("text", "ascending")]).to_numpy()
        for start in range(0, len(order), BLOCK_ROWS):
            yield from take_rows(joined, order[start : start + BLOCK_ROWS])["text"].to_pylist()
