"""The three splits of a study: from the source or cut by a seed; subsampled; checked for shared texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, Task
from raybert.data.cut import cut_missing
from raybert.data.identity import content_fingerprint, example_ids, form_digests, keyed_order
from raybert.data.mapped import LARGEST_HELD, mapped, rows_at_once, taken
from raybert.data.noise import plant
from raybert.data.quotas import class_quotas
from raybert.data.rows import row_numbers, take_rows
from raybert.data.same import number_rows
from raybert.data.sources import SourceTables, read_source
from raybert.data.strings import stream_strings
from raybert.data.targets import TARGET, target_matrix
from raybert.data.units import FORM, Units
from raybert.errors import DataError
from raybert.files import json_digest

SPLITS = ("train", "validation", "test")
_OF_CUTS = ("example_id", "label", TARGET, "group")
_ROW = "row number"
"""Column of a table that is being cut: which row of its source each is."""


@dataclass(frozen=True)
class Splits:
    """The examples of a study.

    Attributes:
        train: the pool: columns example_id, text, [text_pair], [group], [planted] (strings), label (int64); of another
            task than classification also `target` (string), and `label` is the stratum (`raybert.data.targets`).
        validation: the same columns, without `planted`.
        test: as of validation.
        label_names: class number -> name, or stratum -> name.
        fingerprint: hex digest of content and order of all three, and of the label names.
        notes: what a user should know: texts in two splits, repeats, hidden labels.
        details: facts for the manifest: source, rows and class counts per split, package versions.
        task: what is predicted.
        outputs: of another task than classification, what a model's outputs are called.
        extra_tests: name -> further test set: columns text, [text_pair], label, [target].
        pool_ids: (n,) the ids of the pool as a str array, where they are mapped from a file.
        pool_file: Arrow file that `train` is mapped from.
    """

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    label_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    task: Task = CLASSIFICATION
    outputs: tuple[str, ...] = ()
    extra_tests: Mapping[str, pa.Table] = field(default_factory=dict)
    pool_ids: np.ndarray | None = field(default=None, compare=False)
    pool_file: Path | None = field(default=None, compare=False)

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a model's outputs are called: classes, labels, or the number."""
        return self.outputs or self.label_names

    @property
    def extra_tests_digest(self) -> str:
        """What tells further test sets apart; empty: there are none."""
        return json_digest(self.digests_of_extra_tests()) if self.extra_tests else ""

    def digests_of_extra_tests(self) -> dict[str, str]:
        """Return the content of every further test set as a digest, by its name."""
        names = self.output_names
        return {name: content_fingerprint({name: table}, names) for name, table in self.extra_tests.items()}


def load_splits(config: DataConfig, cache_folder: Path, further: Mapping[str, str] = MappingProxyType({})) -> Splits:
    """Return the splits that a `data` section asks for.

    A split that the source lacks is cut from its train table, stratified by class; copies of a text, or the
    examples of a group where `data.group` is given, stay on one side. Each split is then subsampled to the
    examples asked for: stratified, and nested (what a smaller number takes, a larger one takes too). Which
    rows are taken, and their order, depends on their ids and `data.split_seed` only: a reordered file gives
    the same splits.

    Args:
        config: the `data` section.
        cache_folder: where the parsed built-in corpus is kept.
        further: as of `read_source`; the tables have these columns, too, and the fingerprint is another.

    Raises:
        DataError: what `read_source` raises; too few examples of a class to cut, or fewer than asked for.
    """
    return load_with_rows(config, cache_folder, further)[0]


def load_with_rows(
    config: DataConfig, cache_folder: Path, further: Mapping[str, str] = MappingProxyType({})
) -> tuple[Splits, np.ndarray]:
    """Return the splits, and (n,) in which row of the source's train table each example of the pool is."""
    source = read_source(config, cache_folder, further)
    short = {
        split: _without_texts(with_forms(with_ids(table, source.label_names))) for split, table in source.tables.items()
    }
    units = Units.of_table(source.tables["train"].append_column(FORM, short["train"][FORM]))
    short, names, notes = cut_missing(short, units, config, source.label_names, marks_of(source, config))
    short = {split: subsample(short[split], split, config) for split in SPLITS}
    cut = [split for split in SPLITS if split not in source.tables]
    overlaps = describe_overlaps(short, "pair" if config.text_pair else "text")
    tables = {split: _with_texts(short[split], source.tables["train" if split in cut else split]) for split in SPLITS}
    rows = source.rows["train"][short["train"][_ROW].to_numpy()]
    if config.noise is not None and config.noise.is_planted:
        tables["train"], origin, planted = plant(tables["train"], config.noise, len(names), config.split_seed)
        rows, notes = rows[origin], notes + planted
    splits = Splits(
        **tables,
        label_names=names,
        fingerprint=content_fingerprint(tables, names),
        notes=source.notes + notes + overlaps,
        details=source.details | {"cut_from_train": cut} | count_classes(tables, names, source.outputs),
        task=config.predicts,
        outputs=source.outputs,
    )
    return splits, np.asarray(rows)


def marks_of(source: SourceTables, config: DataConfig) -> np.ndarray | None:
    """Return (n, L) which labels each row of train has, where it may have several; None: it has one class."""
    if config.predicts != MULTI_LABEL:
        return None
    return target_matrix(source.tables["train"][TARGET], source.outputs)


def with_ids(table: pa.Table, label_names: Sequence[str]) -> pa.Table:
    """Return the table with the column `example_id` in front, in place of the user's own ids."""
    ids = example_ids(table, label_names)
    rest = [name for name in table.column_names if name != "id"]
    return table.select(rest).add_column(0, "example_id", ids)


def _without_texts(table: pa.Table) -> pa.Table:
    """Return the columns of a table that cuts read, and the number of each row: texts are copied once, at the end."""
    kept = [name for name in table.column_names if name in (*_OF_CUTS, FORM)]
    return table.select(kept).append_column(_ROW, pa.array(row_numbers(table.num_rows)))


def _with_texts(table: pa.Table, source: pa.Table) -> pa.Table:
    """Return the rows of a table with all columns of the source that they are of."""
    rest = [name for name in source.column_names if name not in (*_OF_CUTS, "id")]
    names = ["example_id", *(name for name in source.column_names if name != "id")]

    def rows_of(part: pa.Table) -> pa.Table:
        texts = take_rows(source.select(rest), part[_ROW].to_numpy())
        return pa.table({name: (texts if name in rest else part)[name] for name in names})

    if source.nbytes * table.num_rows <= LARGEST_HELD * source.num_rows:
        return rows_of(table)

    def batches() -> Iterator[pa.RecordBatch]:
        step = rows_at_once(source.num_rows, source.nbytes)
        for start in range(0, table.num_rows, step):
            yield from rows_of(table.slice(start, step)).to_batches()

    return mapped(batches, rows_of(table.slice(0, 0)).schema)


def with_forms(table: pa.Table) -> pa.Table:
    """Return the table with a column that stands for the normal forms of its texts, while it is cut."""
    return table.append_column(FORM, form_digests(table))


def subsample(table: pa.Table, split: str, config: DataConfig) -> pa.Table:
    """Return the stratified part of a split that is asked for, in canonical order."""
    order = keyed_order(stream_strings(table["example_id"]), config.split_seed, "order")
    wanted = getattr(config, f"{split}_examples")
    if wanted is None:
        return taken(table, np.argsort(order))
    if wanted > table.num_rows:
        raise DataError(
            f"data.{split}_examples: must be in 1..{table.num_rows} ({split} examples of '{config.source}'), "
            f"got {wanted}"
        )
    labels = table["label"].to_numpy()
    num_classes = len(np.unique(labels))
    if split == "train" and wanted < num_classes:
        raise DataError(f"data.train_examples: must be >= {num_classes} (one per class), got {wanted}")
    return taken(table, stratified_rows(labels, order, wanted))


def stratified_rows(labels: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows, sorted by `order`: of every class its share, the first ones by `order`.

    Args:
        labels: (n,) class numbers.
        order: (n,) sort keys.
        count: at most n; what a smaller count takes, a larger one takes too.
    """
    quotas = class_quotas(np.bincount(labels), count)
    by_class = np.lexsort((order, labels))
    starts = np.searchsorted(labels[by_class], np.arange(len(quotas)))
    rank = np.arange(len(labels)) - starts[labels[by_class]]
    chosen = by_class[rank < quotas[labels[by_class]]]
    return np.asarray(chosen[np.argsort(order[chosen])])


def describe_overlaps(tables: Mapping[str, pa.Table], noun: str) -> tuple[str, ...]:
    """Return notes about texts (and pairs) that are in two splits, or repeated inside one.

    Args:
        tables: split -> its rows, with the column `FORM`.
        noun: `text` or `pair`.
    """
    together = number_rows(
        pa.chunked_array([chunk for split in SPLITS for chunk in tables[split][FORM].chunks], pa.binary(16))
    )
    ends = np.cumsum([tables[split].num_rows for split in SPLITS])
    forms = dict(zip(SPLITS, np.split(together, ends[:-1]), strict=True))
    notes = []
    for smaller, larger in (("validation", "train"), ("test", "train"), ("test", "validation")):
        is_in_larger = np.zeros(int(together.max(initial=-1)) + 1, bool)
        is_in_larger[forms[larger]] = True
        num_shared = int(is_in_larger[forms[smaller]].sum())
        if num_shared:
            share = f"{num_shared:,} of {len(forms[smaller]):,} examples"
            notes.append(f"{smaller}: {share} have a {noun} that is also in {larger}")
    for split in tables:
        notes += describe_repeats(split, forms[split], answers_of(tables[split]), noun)
    return tuple(notes)


def answers_of(table: pa.Table) -> np.ndarray:
    """Return (n,) numbers that are equal where the same is predicted: classes, or sets of labels, or numbers."""
    return number_rows(table[TARGET]) if TARGET in table.column_names else np.asarray(table["label"].to_numpy())


def describe_repeats(where: str, forms: np.ndarray, labels: np.ndarray, noun: str) -> list[str]:
    """Return a note about texts (or pairs) that are repeated, if some are.

    Args:
        where: what the note begins with.
        forms: (n,) numbers of normal forms.
        labels: (n,) class numbers.
        noun: `text` or `pair`.
    """
    num_repeats = len(forms) - int(np.count_nonzero(np.bincount(forms)))
    if not num_repeats:
        return []
    num_conflicts = int(have_several(forms, labels).sum())
    tail = f"; {num_conflicts:,} {noun}s have two labels" if num_conflicts else ""
    return [f"{where}: {num_repeats:,} of {len(forms):,} examples repeat the {noun} of another{tail}"]


def have_several(forms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (u,) bool: which of the forms that are numbered have rows with different values.

    Args:
        forms: (n,) numbers of normal forms, 0..u-1.
        values: (n,) class numbers, or folds.
    """
    first = np.full(int(forms.max(initial=-1)) + 1, -1, np.asarray(values).dtype)
    first[forms[::-1]] = values[::-1]  # of several, what is written last stays
    several = np.zeros(len(first), bool)
    several[forms[values != first[forms]]] = True
    return several


def count_classes(tables: dict[str, pa.Table], names: Sequence[str], outputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return rows and class counts of every split, for the manifest; of another task than classification of strata."""
    if outputs:
        return _count_targets(tables, names, outputs)
    counts = {split: np.bincount(table["label"].to_numpy(), minlength=len(names)) for split, table in tables.items()}
    return {
        "rows": {split: table.num_rows for split, table in tables.items()},
        "class_counts": {split: dict(zip(names, row.tolist(), strict=True)) for split, row in counts.items()},
    }


def _count_targets(tables: dict[str, pa.Table], names: Sequence[str], outputs: Sequence[str]) -> dict[str, Any]:
    """Return rows, strata, and the mean of every output (the share of a label, or of the numbers) of every split."""
    strata = {split: np.bincount(table["label"].to_numpy(), minlength=len(names)) for split, table in tables.items()}
    means = {
        split: target_matrix(table[TARGET], outputs).astype(np.float64).mean(axis=0).tolist()
        for split, table in tables.items()
    }
    return {
        "rows": {split: table.num_rows for split, table in tables.items()},
        "strata": {split: dict(zip(names, row.tolist(), strict=True)) for split, row in strata.items()},
        "output_means": {split: dict(zip(outputs, row, strict=True)) for split, row in means.items()},
        "constant_answer": _constant_answer(target_matrix(tables["train"][TARGET], outputs)),
    }


def _constant_answer(targets: np.ndarray) -> list[float]:
    """Return the best that can be said of every example of the pool: the most frequent set of labels, or the mean."""
    if targets.shape[1] == 1:
        return [float(targets.astype(np.float64).mean())]
    sets, counts = np.unique(targets, axis=0, return_counts=True)
    return [float(mark) for mark in sets[counts.argmax()]]
