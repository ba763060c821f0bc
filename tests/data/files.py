"""Files as users have them, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raybert.config import DataConfig
from raybert.data.sources import SourceTables, read_source
from raybert.errors import DataError


def read(source: Path, **keys: Any) -> SourceTables:
    return read_source(DataConfig(source=str(source), **keys), Path("unused"))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def why_refused(source: Path, **keys: Any) -> str:
    """Return the message of the error that a source gives, or nothing if it is read."""
    try:
        read(source, **keys)
    except DataError as error:
        return str(error)
    return ""


def rows_of(source: SourceTables, split: str = "train") -> list[tuple[str, str]]:
    """Return (text, name of the class) of every row."""
    table = source.tables[split]
    return [
        (text, source.label_names[label])
        for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    ]
