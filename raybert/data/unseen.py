"""Examples for a model that is trained already: with labels, to evaluate it, or without, to predict them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybert.data.columns import check_ids, check_keys, check_strings, match_labels
from raybert.data.local import READERS, RawTable, read_split, read_utf8
from raybert.errors import DataError

_LINES = ".txt"
_OPTIONAL = ("id", "group")


@dataclass(frozen=True)
class UnseenExamples:
    """Texts in the order of their file.

    Attributes:
        ids: (m,) of the file's id column, else the row numbers from 0.
        texts: (m,).
        text_pairs: (m,), or None.
        labels: (m,) int64, the model's class numbers, or None.
        groups: (m,), or None.
    """

    ids: np.ndarray
    texts: Sequence[str]
    text_pairs: Sequence[str] | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None


def read_unseen(
    path: Path,
    columns: Mapping[str, str],
    *,
    required: Collection[str],
    split: str = "test",
    label_names: Sequence[str] = (),
) -> UnseenExamples:
    """Return the examples of a parquet, csv, jsonl or txt (one text a line) file, or of one split of a folder.

    Args:
        path: the file or folder.
        columns: key of the `data` section -> name of its column: text, [text_pair], [label], [id], [group].
        required: keys that must be there: text, and of the others all but id and group, which may be missing.
        split: which part of a folder.
        label_names: of the model, if `columns` has a label.

    Raises:
        DataError: what is wrong with the file, its columns or its labels.
    """
    if path.suffix.lower() == _LINES and path.is_file():
        raw = _read_lines(path, {key: column for key, column in columns.items() if key in required})
    elif path.is_file() and path.suffix.lower() not in READERS:
        raise DataError(f"'{path}' must be a {', '.join(READERS)} or {_LINES} file, got '{path.suffix}'")
    else:
        raw = read_split(path, split, columns, [key for key in _OPTIONAL if key not in required])
    rows, origin = raw.rows, f"'{path}'"
    keys = [key for key in columns if key in rows.column_names]
    texts = {key: check_strings(rows, key, columns[key], origin).to_pylist() for key in keys if key.startswith("text")}
    return UnseenExamples(
        ids=_array(check_ids(rows, columns["id"], origin)) if "id" in keys else np.arange(rows.num_rows),
        texts=texts["text"],
        text_pairs=texts.get("text_pair"),
        labels=match_labels(raw, label_names, columns["label"], origin) if "label" in keys else None,
        groups=_array(check_keys(rows, "group", columns["group"], origin)) if "group" in keys else None,
    )


def _read_lines(path: Path, columns: Mapping[str, str]) -> RawTable:
    for key in columns:
        if key != "text":
            raise DataError(
                f"data.{key}: '{path}' has one text a line and no columns; give a {', '.join(READERS)} file with "
                f"a column '{columns[key]}'"
            )
    text = read_utf8(path)
    if not text:
        raise DataError(f"'{path}' is empty (0 bytes)")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    return RawTable(pa.table({"text": lines}))


def _array(values: pa.Array) -> np.ndarray:
    return np.asarray(values.to_pylist(), object)
