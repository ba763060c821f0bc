"""Tables that are too large to be held: written to a file of the cache as they come, and mapped.

The file has no name from the beginning: it goes when the last piece of the table does, or the process ends, however it
ends. The memory that it takes is the kernel's to take back.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybert.data.rows import take_rows
from raybert.data.strings import BLOCK_ROWS
from raybert.errors import CacheWarning, ConfigError
from raybert.files import cache_folder, reason_of

LARGEST_HELD = 64 << 20
"""Bytes of a table up to which it is held in memory: nothing is waited for."""
_FOLDER = "splits"


def rows_at_once(num_rows: int, num_bytes: int) -> int:
    """Return how many rows of a table are read, or taken, at once: a block, or fewer where they are long."""
    return max(1, min(BLOCK_ROWS, num_rows * LARGEST_HELD // max(1, num_bytes)))


def mapped(batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema) -> pa.Table:
    """Return a table of which memory holds one batch at a time; where nothing can be written, all, which is said.

    Args:
        batches: yields those of the table, each time it is called.
        schema: of all of them; without dictionaries, of which a file has one for all batches.
    """
    unread: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches()
        except Exception as error:
            unread.append(error)
            raise

    try:
        folder = cache_folder() / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return _written(watched(), schema, folder)
    except ConfigError:  # no home folder, and none named
        if unread:
            raise
    except OSError as error:
        if unread:
            raise
        words = f"a table cannot be written to {folder} while it is read ({reason_of(error)}): memory holds all of it"
        warnings.warn(words, CacheWarning, stacklevel=2)
    return pa.Table.from_batches(batches(), schema)


def column_of(blocks: Callable[[], Iterator[pa.Array]], kind: pa.DataType, num_bytes: int) -> pa.ChunkedArray:
    """Return a column in chunks; a large one is mapped, as tables are.

    Args:
        blocks: yields its chunks, each time it is called.
        kind: of its values.
        num_bytes: that it takes, about.
    """
    if num_bytes <= LARGEST_HELD:
        return pa.chunked_array(list(blocks()), kind)
    schema = pa.schema([("values", kind)])
    return mapped(lambda: (pa.record_batch([block], schema=schema) for block in blocks()), schema)["values"]


def taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return some rows of a table in a given order; many are mapped, and copied a block at a time.

    Args:
        table: in any number of chunks.
        rows: (m,) from 0.
    """
    if table.nbytes * len(rows) <= LARGEST_HELD * table.num_rows:
        return take_rows(table, rows)

    def batches() -> Iterator[pa.RecordBatch]:
        step = rows_at_once(table.num_rows, table.nbytes)
        for start in range(0, len(rows), step):
            yield from take_rows(table, rows[start : start + step]).to_batches()

    return mapped(batches, table.schema)


def _written(batches: Iterator[pa.RecordBatch], schema: pa.Schema, folder: Path) -> pa.Table:
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)
    try:
        _write(batches, schema, os.dup(descriptor))
        content = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content))).read_all()


def _write(batches: Iterator[pa.RecordBatch], schema: pa.Schema, descriptor: int) -> None:
    with os.fdopen(descriptor, "wb") as file, pa.PythonFile(file, "w") as sink:
        with pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        sink.flush()
