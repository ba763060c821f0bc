"""What raybert keeps to have it again: how much of it there is, and how it is freed."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raybert.durable import remove_leftovers, remove_unless_held
from raybert.errors import ConfigError
from raybert.files import cache_folder
from raybert.selection.store import ScoreStore

PARTS: Mapping[str, str] = {
    "tokens": "word pieces of texts",
    "scores": "signals, and runs behind them",
    "splits": "texts of large data sets, as they were cut",
    "encoders": "raybert-tiny-random of each pool",
    "pretrained": "encoders that sweeps have adapted",
    "docstrings": "the built-in corpus",
    "prose": "the corpus of installed packages that encoders are pretrained on",
    "remote": "results in object stores, as far as they are here",
    "checked_encoders": "how long texts encoders compute",
    "micro_batches": "what fits into a GPU's memory",
}
"""Folders of the cache -> what they hold; what else lies beside them is left alone."""
_MARK = "COMPLETE"


@dataclass(frozen=True)
class CachePart:
    """One kind of thing in the cache.

    Attributes:
        name: of its folder, which `clear_cache` takes.
        holds: what it is, in words.
        num_entries: how many there are.
        size_bytes: of all files.
        used: when one was written (tokens: used) last, in seconds of the epoch; None: there is none.
    """

    name: str
    holds: str
    num_entries: int
    size_bytes: int
    used: float | None


@dataclass(frozen=True)
class CacheContents:
    """The cache of this machine.

    Attributes:
        folder: `RAYBERT_CACHE`, or raybert/ in the user's cache.
        parts: all kinds, those that are empty too.
    """

    folder: Path
    parts: tuple[CachePart, ...] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Of all parts."""
        return sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True)
class ClearedPart:
    """What was removed of one kind.

    Attributes:
        name: of its folder.
        num_removed: how many are gone.
        num_in_use: how many stay, because a running command uses them.
        freed_bytes: of disk space.
    """

    name: str
    num_removed: int
    num_in_use: int
    freed_bytes: int


def list_cache() -> CacheContents:
    """Return what the cache of this machine holds."""
    folder = cache_folder()
    return CacheContents(folder, tuple(_described(folder / name, holds) for name, holds in PARTS.items()))


def clear_cache(parts: Sequence[str] = (), *, everything: bool = False) -> tuple[ClearedPart, ...]:
    """Delete what the cache holds, and return how much it was; what a command needs again is made again.

    What a running command uses stays, and so does what no command of raybert has put there. Signals are no exception
    in the middle of a sweep: they are computed again.

    Args:
        parts: which kinds, by the names that `list_cache` gives.
        everything: in place of parts: all of them, the score store included.

    Raises:
        ConfigError: there is no such part; nothing is deleted then.
    """
    if bool(parts) == everything:
        raise ConfigError(f"parts: must be given ({', '.join(PARTS)}), or everything=True")
    for name in parts:
        if name not in PARTS:
            near = difflib.get_close_matches(name, PARTS, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"parts: must be some of {', '.join(PARTS)}, got '{name}'{hint}")
    folder = cache_folder()
    return tuple(_cleared(folder / name) for name in PARTS if everything or name in parts)


def _described(folder: Path, holds: str) -> CachePart:
    found = list(_files(folder))
    used = max((modified for _, modified in found), default=None)
    return CachePart(folder.name, holds, len(_entries(folder)), sum(size for size, _ in found), used)


def _entries(folder: Path) -> list[Path]:
    """Return what a part holds; of the score store signals alone, whatever else somebody keeps beside them."""
    if folder.name == "scores":
        return [folder / entry.key for entry in ScoreStore(folder).entries()]
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_symlink())
    return []


def _cleared(folder: Path) -> ClearedPart:
    removed, in_use, freed = 0, 0, 0
    for path in _entries(folder):
        size = sum(size for size, _ in _files(path))
        if _remove(path):
            removed, freed = removed + 1, freed + size
        else:
            in_use += 1
    remove_leftovers(folder)
    return ClearedPart(folder.name, removed, in_use, freed)


def _remove(path: Path) -> bool:
    if path.parent.name == "scores":
        ScoreStore(path.parent).remove(path.name)
        return True
    return remove_unless_held(path, _MARK if path.is_dir() else None)


def _files(path: Path) -> Iterator[tuple[int, float]]:
    """Yield size and time of a file, or of every file below a folder; what vanishes meanwhile counts nothing."""
    found = [path] if path.is_file() else (Path(place, name) for place, _, names in os.walk(path) for name in names)
    for file in found:
        with contextlib.suppress(OSError):
            status = file.stat(follow_symlinks=False)
            yield status.st_size, status.st_mtime
