"""The texts of a source: those that have a label, and those that may get one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.config.tasks import CLASSIFICATION
from raybert.data.class_names import given_names, names_of
from raybert.data.columns import check_ids, check_strings, is_text, notes_on_texts
from raybert.data.identity import example_ids
from raybert.data.kinds import columns_of, source_kind
from raybert.data.label_values import label_values
from raybert.data.labels import has_label
from raybert.data.local import read_split
from raybert.data.raw import RawTable
from raybert.errors import DataError
from raybert.selection.scorers.source import COLUMN

_OF_CONTENT = "x"
"""In front of an id that is a hash: without a letter a spreadsheet would take some of them for numbers."""


@dataclass(frozen=True)
class Candidates:
    """The rows of a source.

    Attributes:
        texts: columns example_id, text, [text_pair], and those of the source that strategies read, under the names of
            their signals; ids do not depend on labels.
        labels: (n,) object: the name of each row's class, or None.
        notes: what was recognised in the file.
    """

    texts: pa.Table
    labels: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def example_ids(self) -> list[str]:
        """Of all rows."""
        ids: list[str] = self.texts["example_id"].to_pylist()
        return ids

    @property
    def is_labelled(self) -> np.ndarray:
        """(n,) bool."""
        return np.array([label is not None for label in self.labels], bool)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes that occur, whole numbers by value and others by name."""
        return sorted_names({label for label in self.labels if label is not None})

    def with_labels(self, labels: Mapping[str, str]) -> Candidates:
        """Return the rows with further labels, by the id of the row."""
        given = self.labels.copy()
        for row, example_id in enumerate(self.example_ids):
            if example_id in labels:
                given[row] = labels[example_id]
        return replace(self, labels=given)


def read_candidates(config: DataConfig, columns: Sequence[str] = (), split: str = "train") -> Candidates:
    """Return the texts of a local source; it need not have a column of labels.

    Args:
        config: source and columns.
        columns: further ones of the source that are read.
        split: of a folder.

    Raises:
        DataError: a source that is no file, another task than one class, or what is wrong with the file.
    """
    if config.predicts != CLASSIFICATION:
        raise DataError(f"data.task: must be classification to annotate in rounds, got {config.predicts}")
    if source_kind(config.source) != "local":
        raise DataError(
            f"data.source: must be a file or a folder to annotate, got '{config.source}'; save it as parquet or csv"
        )
    wanted = {**columns_of(config), **{COLUMN + name: name for name in columns}}
    raw = read_split(Path(config.source).expanduser(), split, wanted, ("label", "id", "group"))
    texts = {key: check_strings(raw, key, wanted[key], split) for key in ("text", "text_pair") if key in wanted}
    table = pa.table(texts)
    notes = [note for key, values in texts.items() for note in notes_on_texts(values, key, wanted[key], split)]
    if "id" in raw.rows.column_names:
        ids = check_ids(raw, wanted["id"], split).cast(pa.string())
    else:
        unlabelled = table.append_column("label", pa.array(np.zeros(table.num_rows, np.int64)))
        ids = pc.binary_join_element_wise(_OF_CONTENT, example_ids(unlabelled, ("",)).cast(pa.string()), "")
    table = table.add_column(0, "example_id", ids)
    for name in columns:
        table = table.append_column(COLUMN + name, raw.rows[COLUMN + name])
    return Candidates(table, _labels(raw, config.label_words, split), (*raw.notes, *notes))


def sorted_names(names: set[str]) -> tuple[str, ...]:
    """Return names of classes in order: whole numbers by value where all are, else by name."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _labels(raw: RawTable, column: str, split: str) -> np.ndarray:
    """Return (n,) object, the name of each row's class or None."""
    labels = np.full(raw.rows.num_rows, None, object)
    if "label" not in raw.rows.column_names:
        return labels
    given = has_label(raw)
    if not given.any():
        return labels
    known = raw.keep(given)
    values = label_values(known, column, split)
    names: list[str] = values.cast(pa.string()).to_pylist()
    called = given_names(known)
    if called is not None and not is_text(values.type):
        classes = sorted(pc.unique(values).to_pylist())
        name_of = dict(zip(classes, names_of(classes, known, values, column, split), strict=True))
        names = [name_of[value] for value in values.to_pylist()]
    labels[given] = names
    return labels
