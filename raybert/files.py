"""JSON, logs, tables and arrays as files, written by way of `durable`; keys and digests of contents; the cache."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from raybert.durable import atomic_path, make_folder, sync_file, sync_folder
from raybert.errors import CacheWarning, ConfigError, SweepError

if TYPE_CHECKING:
    import pandas as pd

_FRAME_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": lambda frame, path: _write_csv(frame, path),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, force_ascii=False),
}


NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of the errors where this process may only read."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors where a disk or a quota is full."""
_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_DIGESTS = "digests.json"


def write_digests(folder: Path) -> None:
    """Write SHA-256 of every file of a folder into `digests.json`, by which `is_as_digested` knows it again."""
    write_json(folder / _DIGESTS, {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()})


def is_as_digested(folder: Path) -> bool:
    """Tell whether every file that `write_digests` saw is there with the same content."""
    digests = read_json(folder / _DIGESTS)
    if not digests:
        return False
    return all((folder / name).is_file() and file_digest(folder / name) == value for name, value in digests.items())


def file_digest(path: Path) -> str:
    """Return the 64 hex digits of SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(identity: Mapping[str, Any]) -> str:
    """Return 20 hex digits of everything that a thing depends on: the key of a signal, the id of a trial."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def json_digest(value: Any) -> str:
    """Return the 64 hex digits of SHA-256 of a value's JSON, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def replace_json(path: Path, value: Any, *, is_durable: bool = False) -> None:
    """Write a JSON file that readers see whole but that a power cut may lose: cheap enough for heartbeats.

    Args:
        path: in a folder that is there.
        value: of the file.
        is_durable: so that not even a power cut loses it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(value), encoding="utf-8")
        if is_durable:
            sync_file(temporary)
        temporary.replace(path)
        if is_durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def append_json_line(path: Path, row: Mapping[str, Any], *, is_durable: bool = False) -> None:
    """Append a row to a log that `read_json_lines` reads; after a torn line a new one is begun.

    Args:
        path: of the log.
        row: what is appended.
        is_durable: wait until it is on disk, so that not even a power cut loses it.
    """
    with path.open("ab") as file:
        is_new = file.tell() == 0
        if not is_new and not _ends_with_newline(path):
            file.write(b"\n")
        file.write(json.dumps(dict(row)).encode() + b"\n")
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    if is_durable and is_new:
        sync_folder(path.parent)


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a log anew, atomically."""
    write_text(path, "".join(json.dumps(dict(row)) + "\n" for row in rows))


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays by name as .npz, compressed, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # a name could be `allow_pickle`


def check_frame_path(path: Path, option: str) -> None:
    """Refuse a file that a table cannot be written to, before anything is computed.

    Raises:
        ConfigError: says which types there are, or what is in the way.
    """
    if path.suffix not in _FRAME_WRITERS:
        raise ConfigError(f"{option}: must end in {', '.join(_FRAME_WRITERS)}, got '{path.name}'")
    check_place(path, option)
    if path.is_dir():
        raise ConfigError(f"{option}: must be a file, got {path}, which is a folder")


def check_place(place: Path, option: str) -> None:
    """Refuse a place that cannot be made, or in which no file can be made; makes nothing.

    Raises:
        ConfigError: says what is in the way.
    """
    try:
        place.exists()
        there = next(path for path in place.absolute().parents if path.exists())
    except OSError as error:  # of a path: too long, or one that this user may not even look at
        raise ConfigError(f"{option}: must be a place that can be written, got {place} ({reason_of(error)})") from None
    if not there.is_dir():
        raise ConfigError(f"{option}: must be a place in a folder, got {place}, where {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: must be a place that can be written, got {place}, where {there} cannot be")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet, csv or jsonl, by the file's ending, atomically and without its index."""
    with atomic_path(path) as temporary:
        _FRAME_WRITERS[path.suffix](frame, temporary)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write csv that every reader reads back: pandas puts no quotes around a carriage return, which ends a line."""
    words = frame.select_dtypes(["object", "string"])
    has_returns = any(words[column].astype(str).str.contains("\r", regex=False).any() for column in words)
    frame.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a JSON file; None: there is no file, or it is damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (*_NO_FILE, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def of_types(document: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Return a document without the keys whose values are of another type than they are written with.

    Args:
        document: as it was read.
        types: of the keys that are known; a bool is no number.
    """
    return {key: value for key, value in document.items() if value is None or _is_of(value, types.get(key, object))}


def _is_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (not isinstance(value, bool) or kind in (bool, object))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an append-only log, without a torn last line; no file: no rows."""
    try:
        content = path.read_bytes()
    except _NO_FILE:
        return []
    rows = []
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


@contextlib.contextmanager
def reading_back(path: Path, remedy: str) -> Iterator[None]:
    """Turn whatever a damaged file raises in this block, in which raybert reads what it wrote, into one line.

    Args:
        path: the file.
        remedy: how it is had again.

    Raises:
        SweepError: its content is not what was written. That it is not there, or may not be read, stays what it is.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, EOFError, BadZipFile, zlib.error) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, *NOT_WRITABLE):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise SweepError(f"{path}: must be as raybert wrote it, but is damaged ({reason}); {remedy}") from None


def is_whole_parquet(path: Path) -> bool:
    """Tell whether a parquet file has both its ends; what is torn lacks the second."""
    mark = b"PAR1"
    with path.open("rb") as file:
        begins = file.read(len(mark)) == mark
        size = file.seek(0, os.SEEK_END)
        if not begins or size < 3 * len(mark):
            return False
        file.seek(-len(mark), os.SEEK_END)
        return file.read() == mark


def is_whole_array(path: Path) -> bool:
    """Tell whether a .npy file has its head and as many bytes as that says."""
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        return False
    return True


def cache_folder() -> Path:
    """Return where raybert keeps what it can make again: `RAYBERT_CACHE`, or raybert/ in the user's cache.

    That is `XDG_CACHE_HOME`, where it is an absolute path (others are to be ignored, says its specification), or
    ~/.cache.

    Raises:
        ConfigError: there is neither, nor a home folder.
    """
    configured = os.environ.get("RAYBERT_CACHE")
    try:
        if configured:
            return Path(configured).expanduser().absolute()
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():
            base = Path.home() / ".cache"
        if not base.is_absolute():
            raise RuntimeError("HOME is no absolute path")
        return base / "raybert"
    except RuntimeError:  # of pathlib, too
        raise ConfigError(
            "RAYBERT_CACHE: must name a folder where there is no home folder (HOME is no absolute path, and user "
            f"{os.getuid()} has none); set RAYBERT_CACHE=/path/to/folder"
        ) from None


def writable_cache() -> Path:
    """Return `cache_folder()`, there and writable, unless its disk is full.

    Raises:
        ConfigError: it cannot be written; says why, and how to have another one.
    """
    folder = cache_folder()
    try:
        check_writable(folder)
    except OSError as error:
        if error.errno in FULL:  # what is there can be read, and the rest is made without being kept
            return folder
        raise ConfigError(
            f"RAYBERT_CACHE: must be a folder that can be written, got {folder} ({reason_of(error)}); set "
            "RAYBERT_CACHE=/path/to/folder"
        ) from None
    return folder


@contextlib.contextmanager
def kept_if_possible(what: str, folder: Path) -> Iterator[None]:
    """Write into a cache in this block; where that cannot be done it is said, and whatever needs it goes on.

    Args:
        what: is kept, in words.
        folder: of the cache.
    """
    try:
        yield
    except OSError as error:
        warnings.warn(
            f"{what} cannot be kept in {folder} ({reason_of(error)}), and is made again next time",
            CacheWarning,
            stacklevel=3,
        )


def reason_of(error: Exception) -> str:
    """Return what the system says of an error, without the path that is named beside it."""
    return getattr(error, "strerror", None) or str(error)


def check_writable(folder: Path) -> None:
    """Make a folder, and see that files can be made in it.

    Raises:
        OSError: they cannot.
    """
    make_folder(folder)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
