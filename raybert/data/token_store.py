"""What is made of texts, kept between commands: word pieces under the content of texts and tokenizer, as flat files.

Tokenizing is the same work for every seed, strategy and command on the same data. A *table* is a folder of arrays that
processes map into memory, `tokens/<key>/` in the cache. Its key is a digest of all that the arrays depend on: whatever
changes, of texts, tokenizer or options, is another table. It takes its name when it is whole, and before it is used its
files are read once against their SHA-256 (0.7 s a gigabyte): what is torn or changed is noticed, and made again.
A large one is written part by part while it is made, so that memory holds a part at a time, and a run that was killed
goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers

from raybert.data.partial_table import Arrays, partial_table, publish
from raybert.durable import atomic_folder, hold, remove_leftovers, remove_unless_held
from raybert.errors import CacheWarning, ConfigError
from raybert.files import cache_folder, content_key, is_as_digested, kept_if_possible, write_digests
from raybert.links import leads_outside

Parts = Callable[[Mapping[str, int]], Iterable[Arrays]]
"""How many elements of each array there are already -> the next ones, part by part."""

FORMAT = 1
"""Of the arrays and of how texts are cut before they are tokenized: a change of either is another key."""
SMALLEST = 200_000
"""Bytes of text from which on a table is kept: to write it takes 30-50 ms, most of it until the disk has it, and to
tokenize so much some 100 ms."""
LARGEST_IN_MEMORY = 64 << 20
"""Bytes of text up to which a table is made in memory: nothing is waited for while it grows."""
LIMIT = "RAYBERT_TOKENS_GB"
_DEFAULT_GB = 20.0
_MARK = "COMPLETE"
_PART = ".part"
_SECONDS_UNTIL_STALE = 7 * 86_400.0
"""After so long nobody goes on with a table that a killed process has left."""
_KEY = re.compile("[0-9a-f]{20}")


@dataclass(frozen=True)
class TokenStore:
    """Tables below one folder, which all commands of a machine share.

    Attributes:
        folder: made with the first table.
        most_bytes: tables that were not used for the longest time are removed beyond it; 0: nothing is kept, or read.
        smallest: bytes of text from which on a table is kept.
        largest_in_memory: bytes of text from which on it is written part by part.
    """

    folder: Path
    most_bytes: float = _DEFAULT_GB * 1e9
    smallest: int = SMALLEST
    largest_in_memory: int = LARGEST_IN_MEMORY

    @classmethod
    def below(cls, folder: Path) -> TokenStore:
        """Return the store in a folder, with the limit that the environment sets.

        Raises:
            ConfigError: the limit is no number.
        """
        return cls(folder, _limit())

    @classmethod
    def in_cache(cls) -> TokenStore | None:
        """Return the store in the cache of this machine, with the limit that the environment sets; None: there is none.

        Raises:
            ConfigError: the limit is no number.
        """
        _limit()  # a wrong one is said even where nothing can be kept
        try:
            return cls.below(cache_folder() / "tokens")
        except ConfigError:  # no home folder, and none named: evaluation needs no cache
            return None

    def arrays(
        self, facts: Mapping[str, Any], texts: Sequence[pa.ChunkedArray], parts: Parts, *, in_parts: bool = False
    ) -> Arrays:
        """Return arrays that are made of texts: those that are kept, mapped and read-only, or new ones.

        Args:
            facts: all else that they depend on, as JSON.
            texts: one column, or two of pairs.
            parts: makes them.
            in_parts: whether there may be several parts, of arrays of one dimension, which may be written as they come.
        """
        size = sum(column.nbytes for column in texts)
        if self.most_bytes <= 0 or size < self.smallest:
            return joined(parts({}))
        key = content_key({**facts, "texts": [text_digest(column) for column in texts], **_versions()})
        is_damaged = False
        if self._is_there(key):
            if (kept := self._read(key)) is not None:
                return kept
            is_damaged = self._is_there(key)  # and has not just been removed
        if is_damaged:
            warnings.warn(f"tokens {self.folder / key}: damaged, and made again", CacheWarning, stacklevel=2)
        grows = in_parts and size > self.largest_in_memory
        if grows and (kept := self._grow(key, parts, replaces=is_damaged)) is not None:
            return kept
        made = joined(parts({}))
        return self._keep(key, made, replaces=is_damaged) or made

    def entries(self) -> list[StoredTable]:
        """Return the tables that are there, those that were used last at the end."""
        with contextlib.suppress(OSError):
            found = [_described(path) for path in self.folder.iterdir() if _KEY.fullmatch(path.name)]
            return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.used, entry.key))
        return []

    def remove(self, key: str) -> bool:
        """Remove a table that no process uses; return whether it is gone."""
        return remove_unless_held(self.folder / key, _MARK)

    def _is_there(self, key: str) -> bool:
        return (self.folder / key / _MARK).is_file() and not leads_outside(self.folder, self.folder / key / _MARK)

    def _read(self, key: str, *, is_checked: bool = True) -> Arrays | None:
        """Return the arrays of a table; None: its files are not what was written, which is looked at by default."""
        folder = self.folder / key
        try:
            in_use = hold(folder)  # before its files are opened: nobody removes what is held
        except OSError:
            return None
        maps = _mapped(folder) if not is_checked or _is_whole(folder) else None
        if not maps:
            os.close(in_use)
            return None
        _close_with(maps.values(), in_use)
        with contextlib.suppress(OSError):  # a cache that may only be read
            os.utime(folder / _MARK)
        return {name: np.asarray(array) for name, array in maps.items()}  # which are pickled as arrays, not as files

    def _keep(self, key: str, arrays: Arrays, *, replaces: bool) -> Arrays | None:
        """Write a table, and return its arrays as they are mapped; None: it cannot be kept."""
        if self._is_too_large(sum(array.nbytes for array in arrays.values())):
            return None
        folder = self.folder / key
        with kept_if_possible("tokens", self.folder):
            remove_leftovers(self.folder, is_shared=True)
            with atomic_folder(folder, mark=_MARK, keeps_existing=not replaces) as fresh:
                for name, array in arrays.items():
                    np.save(fresh / f"{name}.npy", array, allow_pickle=False)
                write_digests(fresh)
            self.remove_oldest(key)
            return self._read(key, is_checked=False)
        return None

    def _grow(self, key: str, parts: Parts, *, replaces: bool) -> Arrays | None:
        """Write a table part by part, and return its arrays as they are mapped; None: it cannot be kept so."""
        folder = self.folder / key
        with kept_if_possible("tokens", self.folder):
            remove_leftovers(self.folder, is_shared=True)
            self._remove_stale()
            with partial_table(folder.with_name(key + _PART)) as table:
                if table is None:
                    return None
                for part in parts(dict(table.sizes)):
                    table.append(part)
                    if table.num_bytes > self.most_bytes:  # is said when it is whole
                        shutil.rmtree(table.folder, ignore_errors=True)
                        return None
                publish(table, folder, _MARK, replaces=replaces)
            self.remove_oldest(key)
            return self._read(key, is_checked=False)
        return None

    def _is_too_large(self, size: int) -> bool:
        if size <= self.most_bytes:
            return False
        words = f"tokens of {size / 1e9:,.1f} GB are not kept: {LIMIT} is {self.most_bytes / 1e9:g}"
        warnings.warn(words, CacheWarning, stacklevel=4)
        return True

    def _remove_stale(self) -> None:
        """Remove what processes that were killed have left of tables, and nobody has gone on with."""
        for path in self.folder.glob(f"*{_PART}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _SECONDS_UNTIL_STALE:
                    remove_unless_held(path)

    def remove_oldest(self, kept: str) -> None:
        """Remove what was not used for the longest time, until the rest is within the limit."""
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        for entry in entries:
            if total <= self.most_bytes:
                return
            if entry.key != kept and self.remove(entry.key):
                total -= entry.size_bytes


@dataclass(frozen=True)
class StoredTable:
    """A table on disk.

    Attributes:
        key: its name.
        size_bytes: of all its files.
        used: when it was used last, in seconds of the epoch.
    """

    key: str
    size_bytes: int
    used: float


def joined(parts: Iterable[Arrays]) -> Arrays:
    """Return the arrays of all parts as one of each."""
    lists: dict[str, list[np.ndarray]] = {}
    for part in parts:
        for name, values in part.items():
            lists.setdefault(name, []).append(values)
    return {name: values[0] if len(values) == 1 else np.concatenate(values) for name, values in lists.items()}


def text_digest(column: pa.ChunkedArray) -> str:
    """Return a digest of a column of texts, which does not depend on the pieces that it is stored in."""
    lengths, content = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        texts = chunk.cast(pa.large_string())
        offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1, 8 * texts.offset)
        lengths.update(np.diff(offsets).astype("<i8").tobytes())
        content.update(memoryview(texts.buffers()[2] or b"")[offsets[0] : offsets[-1]])
    return lengths.hexdigest() + content.hexdigest()


def _versions() -> dict[str, Any]:
    """Return what made the arrays: another version of the library may cut texts otherwise."""
    return {"format": FORMAT, "tokenizers": tokenizers.__version__}


def _limit() -> float:
    given = os.environ.get(LIMIT) or str(_DEFAULT_GB)
    try:
        limit = float(given)
    except ValueError:
        limit = math.nan
    if not limit >= 0:
        raise ConfigError(f"{LIMIT}: must be a number of gigabytes, 0 for no tokens kept at all, got '{given}'")
    return limit * 1e9


def _is_whole(folder: Path) -> bool:
    try:
        return is_as_digested(folder)
    except OSError:
        return False


def _mapped(folder: Path) -> Arrays | None:
    try:
        return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError):
        return None


def _close_with(maps: Collection[np.ndarray], in_use: int) -> None:
    """Close a descriptor when the last of some arrays, and of all that is cut out of them, is gone."""
    left = set(range(len(maps)))

    def gone(number: int) -> None:
        left.discard(number)
        if not left:
            os.close(in_use)

    for number, array in enumerate(maps):
        weakref.finalize(array, gone, number).atexit = False


def _described(folder: Path) -> StoredTable | None:
    """Return what a folder holds; None: it is no table, or it has just been removed."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return None
        size = sum(path.stat(follow_symlinks=False).st_size for path in folder.iterdir())
        mark = folder / _MARK
        return StoredTable(folder.name, size, (mark if mark.exists() else folder).stat().st_mtime)
    except OSError:
        return None
