"""Further test sets (`data.extra_tests`): labelled examples from elsewhere, in the classes of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.config.extra_tests import ExtraTestConfig
from raybert.config.tasks import CLASSIFICATION
from raybert.data.docstrings import read_docstrings
from raybert.data.hub import read_hub
from raybert.data.identity import example_ids, form_digests, keyed_order
from raybert.data.kinds import BUILT_IN, columns_of, naming_extra_test, source_kind
from raybert.data.local import TEST_SETS, split_to_test
from raybert.data.raw import RawTable
from raybert.data.splits import Splits, stratified_rows
from raybert.data.strings import stream_strings
from raybert.data.targets import TARGET
from raybert.data.unseen import UnseenExamples, read_unseen
from raybert.errors import DataError


def with_extra_tests(splits: Splits, config: DataConfig, cache_folder: Path) -> Splits:
    """Return splits with the further test sets of a `data` section, unchanged where it names none.

    Rows stand in the order of their source. Neither the fingerprint of the splits nor the pool knows of them.

    Args:
        splits: of the data.
        config: its section.
        cache_folder: where the parsed built-in corpus is kept.

    Raises:
        DataError: a source cannot be read, lacks a column, has classes that the pool has not, or too few examples.
    """
    if not config.extra_tests:
        return splits
    tables: dict[str, pa.Table] = {}
    notes: list[str] = []
    details: dict[str, Any] = {}
    pool_forms = pc.unique(form_digests(splits.train))
    for name, wanted in config.extra_tests.items():
        with naming_extra_test(name):
            table, found = _read(config.of_extra_test(name), wanted, splits, cache_folder)
            table = _subsample(table, wanted, splits, config.split_seed)
        tables[name] = table
        notes += [f"extra test {name}: {note}" for note in found]
        num_shared = int(pc.sum(pc.is_in(form_digests(table), pool_forms)).as_py() or 0)
        if num_shared:
            noun = "pair" if config.text_pair else "text"
            notes.append(
                f"extra test {name}: {num_shared:,} of {table.num_rows:,} examples have a {noun} that is also in train"
            )
        details[name] = {"source": wanted.source, "rows": table.num_rows, **_class_counts(table, splits)}
    return replace(
        splits,
        extra_tests=tables,
        notes=(*splits.notes, *notes),
        details=splits.details | {"extra_tests": details},
    )


def _read(
    section: DataConfig, wanted: ExtraTestConfig, splits: Splits, cache_folder: Path
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the examples of a test set: columns text, [text_pair], label, [target]; and what was recognised in it."""
    columns = columns_of(section)
    task = None if splits.task == CLASSIFICATION else section
    source, split = _raw_of(section, columns, wanted.split, cache_folder)
    found = read_unseen(source, columns, required=set(columns), split=split, label_names=splits.output_names, task=task)
    return _table_of(found), found.notes


def _raw_of(
    section: DataConfig, columns: Mapping[str, str], split: str, cache_folder: Path
) -> tuple[Path | RawTable, str]:
    """Return the path of a local source, or the rows of another one; and which split they are."""
    kind = source_kind(section.source)
    if kind == "local":
        path = Path(section.source).expanduser()
        return path, split_to_test(path, split)
    if kind == "built-in":
        corpus = read_docstrings(cache_folder)[0]
        return RawTable(pa.table({key: corpus[column] for key, column in columns.items()})), split
    parts = read_hub(section, columns, BUILT_IN)
    one = next(one for one in (TEST_SETS if split == "auto" else (split,)) if one in parts or one == split)
    if one not in parts:
        raise DataError(f"data.source: hub dataset '{section.source}' has no split '{one}', but {', '.join(parts)}")
    return parts[one], one


def _table_of(found: UnseenExamples) -> pa.Table:
    columns: dict[str, Any] = {"text": pa.array(list(found.texts), pa.string())}
    if found.text_pairs is not None:
        columns["text_pair"] = pa.array(list(found.text_pairs), pa.string())
    assert found.labels is not None
    if found.targets is None:
        columns["label"] = pa.array(np.asarray(found.labels, np.int64))
    else:  # strata are for cuts, and nothing is cut here
        columns |= {"label": pa.array(np.zeros(len(found.texts), np.int64)), TARGET: found.targets}
    return pa.table(columns)


def _subsample(table: pa.Table, wanted: ExtraTestConfig, splits: Splits, seed: int) -> pa.Table:
    """Return as many rows as are asked for, stratified by class, in the order of the source."""
    count = wanted.examples
    if count is None or count == table.num_rows:
        return table
    if count > table.num_rows:
        raise DataError(
            f"data.source: must have the {count:,} examples that `examples` asks for, got {table.num_rows:,} in "
            f"'{wanted.source}'"
        )
    order = keyed_order(stream_strings(example_ids(table, splits.label_names)), seed, "order")
    return table.take(np.sort(stratified_rows(table["label"].to_numpy(), order, count)))


def _class_counts(table: pa.Table, splits: Splits) -> dict[str, Any]:
    """Return how often every class is in a test set; nothing of another task."""
    if splits.task != CLASSIFICATION:
        return {}
    counts = np.bincount(table["label"].to_numpy(), minlength=len(splits.label_names))
    return {"class_counts": dict(zip(splits.label_names, counts.tolist(), strict=True))}
