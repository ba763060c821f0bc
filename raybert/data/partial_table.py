"""A table that is written part by part: from what is on disk of it when its process is killed, the next one goes on.

Arrays grow in files of numpy's format, whose header has room for the final number. Every few seconds what was written
goes to disk, and then a line that says how much of each file counts; what stands behind that is cut off.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from raybert.durable import claim, publish_folder
from raybert.files import read_json, write_digests, write_json

Arrays = dict[str, np.ndarray]

_PROGRESS = "progress.json"
_SECONDS_BETWEEN_SYNCS = 5.0


@dataclass
class PartialTable:
    """One-dimensional arrays in a folder, which this process alone writes.

    Attributes:
        folder: of the files.
        sizes: name of an array -> its elements so far.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    _dtypes: dict[str, str] = field(default_factory=dict)
    _files: dict[str, BinaryIO] = field(default_factory=dict)
    _synced: float = field(default_factory=time.monotonic)

    @property
    def num_bytes(self) -> int:
        """Of all arrays so far."""
        return sum(size * np.dtype(self._dtypes[name]).itemsize for name, size in self.sizes.items())

    def append(self, arrays: Arrays) -> None:
        """Write the next elements of each array."""
        for name, values in arrays.items():
            if name not in self._files:
                self._files[name] = (self.folder / f"{name}.npy").open("wb")
                self._files[name].write(_header(values.dtype.str, 0))
                self.sizes[name], self._dtypes[name] = 0, values.dtype.str
            self._files[name].write(np.ascontiguousarray(values, self._dtypes[name]).data)
            self.sizes[name] += len(values)
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Wait until all is on disk, and note how much that is."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        write_json(self.folder / _PROGRESS, {"sizes": self.sizes, "dtypes": self._dtypes})
        self._synced = time.monotonic()

    def finish(self) -> None:
        """Complete the files, and add their digests."""
        for name, file in self._files.items():
            file.seek(0)
            file.write(_header(self._dtypes[name], self.sizes[name]))
        self.close()
        (self.folder / _PROGRESS).unlink(missing_ok=True)
        write_digests(self.folder)

    def close(self) -> None:
        """Close the files; what is in them stays."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def resume(self) -> None:
        """Take over what an earlier process left, as far as it is on disk; else nothing."""
        found = read_json(self.folder / _PROGRESS)
        try:
            assert found is not None
            for name, size in found["sizes"].items():
                end = len(_header(found["dtypes"][name], 0)) + size * np.dtype(found["dtypes"][name]).itemsize
                path = self.folder / f"{name}.npy"
                if path.stat().st_size < end:
                    raise ValueError(f"{path}: must have {end} bytes")
                file = self._files[name] = path.open("r+b")
                file.truncate(end)
                file.seek(end)
            self.sizes, self._dtypes = found["sizes"], found["dtypes"]
        except (AssertionError, KeyError, TypeError, ValueError, OSError):  # torn, or of another version
            self.close()
            for path in self.folder.iterdir():
                path.unlink()


@contextlib.contextmanager
def partial_table(folder: Path) -> Iterator[PartialTable | None]:
    """Yield the table that is being written in a folder, with what is there of it; None: another process writes it.

    What this process has written stays after an error; `publish` gives it its name.
    """
    descriptor = claim(folder)
    if descriptor is None:
        yield None
        return
    table = PartialTable(folder)
    try:
        table.resume()
        yield table
    finally:
        table.close()
        os.close(descriptor)


def publish(table: PartialTable, target: Path, mark: str, *, replaces: bool) -> None:
    """Complete a table and give it its name.

    Args:
        table: all of whose parts are written.
        target: the folder that it becomes.
        mark: name of the file that says that it is whole.
        replaces: what has that name already goes.
    """
    table.finish()
    if replaces:
        shutil.rmtree(target, ignore_errors=True)
    publish_folder(table.folder, target, mark)


def _header(dtype: str, size: int) -> bytes:
    """Return numpy's header of an array; numpy keeps room in it, so that all sizes take the same bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": (size,)})
    return stream.getvalue()
