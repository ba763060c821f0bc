"""Examples for a model that is trained already: with labels, to evaluate it, or without, to predict them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.data.columns import check_ids, check_keys, check_strings, notes_on_texts, texts_of, texts_of_values
from raybert.data.formats import FORMATS, describe_conversion, format_of
from raybert.data.label_columns import is_label_column
from raybert.data.labels import match_labels, without_unlabelled
from raybert.data.local import read_frame, read_split
from raybert.data.raw import RawTable, kind_of, to_array
from raybert.data.targets import match_targets, target_matrix
from raybert.data.text_files import read_text
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
        labels: (m,) int64, the model's class numbers; of another task (m, L) float32, its targets; or None.
        groups: (m,), or None.
        notes: what was recognised in the file.
        further: other columns by the name that they were asked for: (m,) texts, empty where missing.
        targets: (m,) texts of them, as the column `TARGET` has it; None: they are of classes.
        blank: (m,) bool, which rows have no text, where some of them may have none; None: all have one.
    """

    ids: np.ndarray
    texts: Sequence[str]
    text_pairs: Sequence[str] | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    targets: pa.Array | None = None
    blank: np.ndarray | None = None
    further: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_unseen(
    source: Path | pd.DataFrame | RawTable | Sequence[str],
    columns: Mapping[str, str],
    *,
    required: Collection[str],
    split: str = "test",
    label_names: Sequence[str] = (),
    further: Mapping[str, str] = MappingProxyType({}),
    task: DataConfig | None = None,
) -> UnseenExamples:
    """Return the examples of a file, of one split of a folder, of a table, or of a list of texts.

    Args:
        source: any of these, or rows that are read already, by the keys of `columns`; files are of `FORMATS`, or txt
            with one text a line.
        columns: key of the `data` section -> name of its column: text, [text_pair], [label], [id], [group].
        required: keys that must be there: text, and of the others all but id and group, which may be missing.
        split: which part of a folder.
        label_names: of the model, if `columns` has a label.
        further: name -> another column that is kept under it.
        task: of the model, if `columns` has labels and it is not to predict one class: its `data` section.

    Raises:
        DataError: what is wrong with the file, its columns or its labels.
    """
    raw, origin = _read_raw(source, {**columns, **further}, {*required, *further}, split)
    keys = [key for key in columns if key in raw.rows.column_names]
    is_labelled = "label" in keys or any(map(is_label_column, keys))
    if is_labelled:
        raw = raw if task is not None else without_unlabelled(raw, origin)
        if raw.rows.num_rows == 0:
            raise DataError(
                f"data.label: {origin} must have rows with labels, got -1 in all of them; predict them instead"
            )
    texts, blank, notes = _read_texts(raw, columns, origin, may_lack=not is_labelled)
    numbers = np.arange(raw.rows.num_rows) if raw.row_numbers is None else raw.row_numbers
    targets = match_targets(raw, label_names, task, origin) if is_labelled and task is not None else None
    labels = None
    if is_labelled:
        labels = (
            match_labels(raw, label_names, columns["label"], origin)
            if targets is None
            else target_matrix(targets, label_names)
        )
    return UnseenExamples(
        ids=_array(check_ids(raw, columns["id"], origin)) if "id" in keys else numbers,
        texts=texts["text"],
        text_pairs=texts.get("text_pair"),
        labels=labels,
        targets=targets,
        groups=_array(check_keys(raw, "group", columns["group"], origin)) if "group" in keys else None,
        notes=(*raw.notes, *notes),
        blank=blank,
        further={key: _array(texts_of_values(raw.rows[key])) for key in further},
    )


def _read_texts(
    raw: RawTable, columns: Mapping[str, str], origin: str, *, may_lack: bool
) -> tuple[dict[str, list[str]], np.ndarray | None, list[str]]:
    """Return the texts by key, which rows have none, and notes.

    Args:
        raw: the rows.
        columns: key -> name of its column.
        origin: what to call the source.
        may_lack: whether rows without a text are kept: of what is predicted, every row has its place.

    Raises:
        DataError: a row, or every row, has no text.
    """
    texts: dict[str, list[str]] = {}
    notes: list[str] = []
    blank = np.zeros(raw.rows.num_rows, bool)
    for key in (key for key in ("text", "text_pair") if key in raw.rows.column_names):
        values, visible = texts_of(raw, key, columns[key], origin)
        blank |= ~np.asarray(visible)
        if not may_lack or blank.all():
            values = check_strings(raw, key, columns[key], origin)
        texts[key] = pc.fill_null(values, "").to_pylist()
        notes += notes_on_texts(values.filter(visible), key, columns[key], origin)
    if not blank.any():
        return texts, None, notes
    rows = np.flatnonzero(blank)
    notes.append(
        f"{origin}: {len(rows):,} of {len(blank):,} rows have no text ({raw.describe_rows(rows)}) and no prediction"
    )
    return texts, blank, notes


def _read_raw(
    source: Path | pd.DataFrame | RawTable | Sequence[str],
    columns: Mapping[str, str],
    required: Collection[str],
    split: str,
) -> tuple[RawTable, str]:
    """Return the rows by key, and what to call their origin in messages."""
    if isinstance(source, RawTable):
        return source, split
    optional = [key for key in _OPTIONAL if key not in required]
    needed = {key: column for key, column in columns.items() if key in required}
    if isinstance(source, pd.DataFrame):
        return read_frame(source, columns, optional), "the table"
    if not isinstance(source, Path):
        return _of_texts(source, needed, "the list"), "the list"
    origin = f"'{source}'"
    form = format_of(source)
    if source.is_file() and form.ending == _LINES:
        lines, notes = _read_lines(source)
        return replace(_of_texts(lines, needed, origin), notes=notes), origin
    if source.is_file() and not form.is_read:
        raise DataError(
            f"{origin} must be a {', '.join(FORMATS)} or {_LINES} file, got '{source.suffix}'; "
            f"{describe_conversion(source)}"
        )
    raw = read_split(source, split, columns, optional)
    return raw if len(raw.files) > 1 else replace(raw, files=()), origin


def _of_texts(texts: Sequence[str], needed: Mapping[str, str], origin: str) -> RawTable:
    for key in needed:
        if key != "text":
            raise DataError(
                f"data.{key}: {origin} has one text a line and no columns; give a {', '.join(FORMATS)} file with "
                f"a column '{needed[key]}'"
            )
    if not texts:
        raise DataError(f"data.source: {origin} is empty (0 texts)")
    wrong = next((text for text in texts if not isinstance(text, str) and text is not None), None)
    if wrong is not None:
        raise DataError(f"data.text: {origin} must hold texts, got {kind_of(wrong)} {wrong!r}")
    array = to_array(list(texts), "text", "text", origin)
    return RawTable(pa.table({"text": array.cast(pa.string()) if pa.types.is_null(array.type) else array}))


def _read_lines(path: Path) -> tuple[list[str], tuple[str, ...]]:
    text, notes = read_text(path)
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")], notes


def _array(values: pa.Array) -> np.ndarray:
    return np.asarray(values.to_pylist(), object)
