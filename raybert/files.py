"""Files and folders that are whole or not there: written beside their place, synced, then renamed; keys of contents."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from raybert.errors import ConfigError, SweepError

if TYPE_CHECKING:
    import pandas as pd

_FRAME_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": lambda frame, path: _write_csv(frame, path),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, force_ascii=False),
}


NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of the errors where this process may only read."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; what is written there becomes `path` on leaving.

    Readers see the old file or the new one, never a part of it, even after a power cut. The folder is made
    if it does not exist; an exception inside the block leaves `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: Path, *, mark: str | None = None, keeps_existing: bool = False) -> Iterator[Path]:
    """Yield a new temporary folder beside `target`; what is written there becomes `target` on leaving.

    A process that is killed between the two renames of a replacement leaves the old folder at `previous_folder`.
    An exception inside the block leaves `target` as it was.

    Args:
        target: a folder, there already or not.
        mark: name of an empty file that is written last and says that the folder is whole.
        keeps_existing: a whole folder that is there already (another process was faster) stays, in place of being
            replaced.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        if mark is not None:
            (temporary / mark).touch()
        if keeps_existing:
            _move_unless_there(temporary, target, mark)
        else:
            _swap(temporary, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def previous_folder(target: Path) -> Path:
    """Return where `atomic_folder` puts what it is about to replace, for a moment."""
    return target.with_name(f".{target.name}.previous")


def _swap(fresh: Path, target: Path) -> None:
    previous = previous_folder(target)
    shutil.rmtree(previous, ignore_errors=True)
    if target.exists():
        target.rename(previous)
    fresh.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


def _move_unless_there(fresh: Path, target: Path, mark: str | None) -> None:
    def is_whole() -> bool:
        return target.is_dir() if mark is None else (target / mark).exists()

    if target.exists() and not is_whole():
        shutil.rmtree(target)
    try:
        fresh.rename(target)
    except OSError:  # not empty: another process was faster
        if not is_whole():
            raise


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


def replace_json(path: Path, value: Any) -> None:
    """Write a JSON file that readers see whole but that a power cut may lose: cheap enough for heartbeats."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)
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
        if file.tell() and not _ends_with_newline(path):
            file.write(b"\n")
        file.write(json.dumps(dict(row)).encode() + b"\n")
        if is_durable:
            file.flush()
            os.fsync(file.fileno())


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
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an append-only log, without a torn last line; no file: no rows."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
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
    """Return `cache_folder()`, there and writable.

    Raises:
        ConfigError: it cannot be written; says why, and how to have another one.
    """
    folder = cache_folder()
    try:
        check_writable(folder)
    except OSError as error:
        raise ConfigError(
            f"RAYBERT_CACHE: must be a folder that can be written, got {folder} ({reason_of(error)}); set "
            "RAYBERT_CACHE=/path/to/folder"
        ) from None
    return folder


def reason_of(error: Exception) -> str:
    """Return what the system says of an error, without the path that is named beside it."""
    return getattr(error, "strerror", None) or str(error)


def check_writable(folder: Path) -> None:
    """Make a folder, and see that files can be made in it.

    Raises:
        OSError: they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
