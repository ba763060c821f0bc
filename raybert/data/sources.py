"""Where the examples come from: the built-in corpus, local files, or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.config.tasks import CLASSIFICATION
from raybert.data.columns import check_ids, check_keys, check_strings, notes_on_texts, texts_of_values
from raybert.data.docstrings import read_docstrings
from raybert.data.hub import read_hub
from raybert.data.kinds import BUILT_IN, columns_of, source_kind
from raybert.data.label_columns import is_label_column
from raybert.data.labels import EncodedLabels, encode_labels, hides_labels, without_unlabelled
from raybert.data.local import read_local
from raybert.data.raw import RawTable, check_columns
from raybert.data.rows import row_numbers
from raybert.data.targets import TARGET, EncodedTargets, encode_targets
from raybert.errors import DataError

_FEWEST_GRADES, _MOST_CLASSES = 5, 50
"""Numbers of classes from which on whole numbers are perhaps a scale: if they begin elsewhere than at 0, or anyway."""


@dataclass(frozen=True)
class SourceTables:
    """The checked examples of a source, by the splits that it has itself.

    Attributes:
        tables: split -> columns text, [text_pair], label (int64 class numbers), [target: of another task], [id],
            [group].
        label_names: class number -> name; of another task: stratum -> name.
        notes: what a user should know about the source.
        details: facts for the manifest.
        rows: split -> (n,) in which row of the source's table of it, from 0, each example is.
        outputs: of another task than classification, what a model's outputs are called.
    """

    tables: dict[str, pa.Table]
    label_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def read_source(
    config: DataConfig, cache_folder: Path, further: Mapping[str, str] = MappingProxyType({})
) -> SourceTables:
    """Return the checked examples that a `data` section names.

    Args:
        config: source and columns.
        cache_folder: where the parsed built-in corpus is kept.
        further: name -> column of the source that is kept under it as text (`texts_of_values`), of any kind.

    Raises:
        DataError: the source is unknown or unreadable, lacks a column, or holds what cannot be classified.
    """
    wanted = {**columns_of(config), **further}
    details: dict[str, Any] = {"source": config.source}
    kind = source_kind(config.source)
    if kind == "built-in":
        corpus, details["package_versions"] = read_docstrings(cache_folder)
        check_columns(corpus.column_names, wanted, f"'{config.source}'")
        raw = {"train": RawTable(pa.table({key: corpus[column] for key, column in wanted.items()}))}
    elif kind == "local":
        raw = read_local(Path(config.source).expanduser(), wanted)
    else:
        raw = read_hub(config, wanted, BUILT_IN)
    hidden = [
        split
        for split, table in raw.items()
        if split != "train" and "label" in table.rows.column_names and hides_labels(table)
    ]
    notes = [f"{split}: all labels are hidden (-1 or missing); the split is cut from train instead" for split in hidden]
    raw = {split: table for split, table in raw.items() if split not in hidden}
    labels: EncodedLabels | EncodedTargets
    if config.predicts == CLASSIFICATION:
        raw = {
            split: without_unlabelled(table, split, may_miss=config.unlabelled and split == "train")
            for split, table in raw.items()
        }
        if config.unlabelled and not raw["train"].rows.num_rows:
            raise DataError(
                f"data.label: train must have rows with a label, got none in column '{config.label_words}'; `raybert "
                "annotate` chooses which to label"
            )
        labels = encode_labels(raw, config.label_words, drops_unknown=config.rare_classes == "drop")
    else:
        labels = encode_targets(raw, config)
    tables = {split: _checked(table, labels, wanted, split) for split, table in raw.items()}
    found = dict.fromkeys(note for table in raw.values() for note in table.notes)
    for key in ("text", "text_pair"):
        if key in wanted:
            notes += notes_on_texts(tables["train"][key], key, wanted[key], "train")
    rows = {split: _row_numbers(table)[labels.numbers[split] >= 0] for split, table in raw.items()}
    if config.task == "auto" and "label" in raw["train"].rows.column_names:
        notes += _note_on_scales(labels.names, config.label_words)
    outputs = labels.outputs if isinstance(labels, EncodedTargets) else ()
    return SourceTables(tables, labels.names, (*found, *notes, *labels.notes), details, rows, outputs)


def _note_on_scales(names: tuple[str, ...], column: str) -> list[str]:
    """Return a note where classes may be meant as a scale: numbers from another one than 0 on, or many of them."""
    if not all(name.removeprefix("-").isdecimal() for name in names) or len(names) < _FEWEST_GRADES:
        return []
    low, high = (f(map(int, names)) for f in (min, max))
    if low == 0 and len(names) <= _MOST_CLASSES:
        return []
    return [
        f"data.task: auto takes the {len(names)} whole numbers of column '{column}' ({low} to {high}) for classes; set "
        "data.task: regression if they are a scale, or classification if they are none"
    ]


def _row_numbers(raw: RawTable) -> np.ndarray:
    return row_numbers(raw.rows.num_rows) if raw.row_numbers is None else np.asarray(raw.row_numbers)


def _checked(raw: RawTable, encoded: EncodedLabels | EncodedTargets, wanted: Mapping[str, str], split: str) -> pa.Table:
    columns: dict[str, Any] = {}
    labels = encoded.numbers[split]
    for key, column in wanted.items():
        if key in {"text", "text_pair"}:
            columns[key] = check_strings(raw, key, column, split)
        elif key == "label" or is_label_column(key):
            columns["label"] = pa.array(labels)
            if isinstance(encoded, EncodedTargets):
                columns[TARGET] = encoded.targets[split]
        elif key == "id":
            columns[key] = check_ids(raw, column, split)
        elif key != "group":
            columns[key] = texts_of_values(raw.rows[key])
        else:
            columns[key] = check_keys(raw, key, column, split)
    checked = pa.table(columns)
    known = checked if (labels >= 0).all() else checked.filter(pa.array(labels >= 0))
    if known.num_rows == 0:
        raise DataError(
            f"data.label: {split} must hold classes of train, got none ({len(labels)} rows with others); "
            "check its column of labels"
        )
    return known
