"""What scorers and trials read, by the files that it is mapped from: processes of one machine map them, too.

In Ray's object store a pool would be in memory once more. Arrays that belong to no file, and small ones, go there.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.data import TokenizedData, TokenTable
from raybert.errors import DataError
from raybert.selection.scorers.scorer import ScoringData

SMALLEST = 1 << 20
"""Bytes of an array from which on its file is opened again."""


@dataclass(frozen=True)
class Place:
    """Where on this machine an array, or an Arrow table, is mapped from.

    Attributes:
        path: of the file.
        inode: of it, by which another file of that name is told from it.
        offset: where the array begins, in bytes.
        dtype: of the array; empty: the file is an Arrow table.
        shape: of the array.
    """

    path: str
    inode: int
    offset: int = 0
    dtype: str = ""
    shape: tuple[int, ...] = ()

    def opened(self) -> Any:
        """Return what is there, read-only.

        Raises:
            DataError: the file is gone, or another one.
        """
        try:
            with open(self.path, "rb") as file:
                is_same = Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino == self.inode
                if is_same and self.dtype:
                    return np.asarray(np.memmap(file, self.dtype, "r", self.offset, self.shape))
            if is_same:
                return pa.ipc.open_file(pa.memory_map(self.path)).read_all()
        except (OSError, ValueError, pa.ArrowException):
            pass
        raise DataError(f"{self.path}: must stay as it is while a sweep runs, and is gone or changed; run it again")


@dataclass(frozen=True)
class ByPath:
    """Pickles as places of files; what is made of the pickle is a `ScoringData`.

    Attributes:
        scoring_data: what is read.
        texts_file: Arrow file that its texts are mapped from; None: they are from none.
    """

    scoring_data: ScoringData
    texts_file: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the function that opens the files, and the places."""
        data, texts = self.scoring_data.data, self.scoring_data.texts
        if isinstance(data, TokenizedData):
            tables = {
                split: _with(table, _places(table))
                for split in ("train", "validation", "test")
                if isinstance(table := getattr(data, split), TokenTable)
            }
            data = _with(data, {**tables, **_places(data)})
        held = texts if self.texts_file is None else Place(str(self.texts_file), self.texts_file.stat().st_ino)
        return _opened, (_with(self.scoring_data, {"data": data, "texts": held}),)


def place_of(array: np.ndarray) -> Place | None:
    """Return where an array is mapped from; None: from nowhere, or it is small, or not in one piece."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and not isinstance(owner.base, mmap.mmap):
        owner = owner.base
    if not isinstance(owner, np.memmap) or array.nbytes < SMALLEST or not array.flags.c_contiguous:
        return None
    path = Path(str(owner.filename))
    offset = array.ctypes.data - owner.ctypes.data + owner.offset
    try:
        return Place(str(path), path.stat().st_ino, offset, array.dtype.str, array.shape)
    except OSError:  # it has no name any more
        return None


def _places(section: Any) -> dict[str, Place]:
    """Return the places of the arrays of a dataclass, by field."""
    arrays = {field.name: getattr(section, field.name) for field in fields(section)}
    found = {name: place_of(array) for name, array in arrays.items() if isinstance(array, np.ndarray)}
    return {name: place for name, place in found.items() if place is not None}


def _with(section: Any, values: Mapping[str, Any]) -> Any:
    return replace(section, **values)


def _opened(placed: ScoringData) -> ScoringData:
    """Return the data whose places are files of this machine."""
    data, texts = placed.data, placed.texts
    if isinstance(data, TokenizedData):
        tables = {split: getattr(data, split) for split in ("train", "validation", "test")}
        opened = {split: _open_fields(table) for split, table in tables.items() if isinstance(table, TokenTable)}
        data = _with(_open_fields(data), opened)
    return replace(placed, data=data, texts=texts.opened() if isinstance(texts, Place) else texts)


def _open_fields(section: Any) -> Any:
    values = {field.name: getattr(section, field.name) for field in fields(section)}
    return _with(section, {name: value.opened() for name, value in values.items() if isinstance(value, Place)})
