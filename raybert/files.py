"""Files that are either whole or not there: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybert.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

_FRAME_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, force_ascii=False),
}


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


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def replace_json(path: Path, value: Any) -> None:
    """Write a JSON file that readers see whole but that a power cut may lose: cheap enough for signs of life."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays by name as .npz, compressed, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # a name could be `allow_pickle`


def check_frame_path(path: Path, option: str) -> None:
    """Refuse a file type that a table cannot be written as, before anything is computed.

    Raises:
        ConfigError: says which types there are.
    """
    if path.suffix not in _FRAME_WRITERS:
        raise ConfigError(f"{option}: must end in {', '.join(_FRAME_WRITERS)}, got '{path.name}'")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet, csv or jsonl, by the file's ending, atomically and without its index."""
    with atomic_path(path) as temporary:
        _FRAME_WRITERS[path.suffix](frame, temporary)


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


def cache_folder() -> Path:
    """Return where raybert keeps what it can make again: `RAYBERT_CACHE`, or ~/.cache/raybert."""
    configured = os.environ.get("RAYBERT_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "raybert"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
