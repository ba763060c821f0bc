"""The three splits of a study: from the source or cut by a seed; subsampled; checked for shared texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.data.cut import cut_missing
from raybert.data.identity import content_fingerprint, example_ids, keyed_order, normal_forms
from raybert.data.quotas import class_quotas
from raybert.data.sources import read_source
from raybert.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The examples of a study.

    Attributes:
        train: the pool: columns example_id, text, [text_pair], [group] (strings), label (int64).
        validation: the same columns.
        test: the same columns.
        label_names: class number -> name.
        fingerprint: hex digest of content and order of all three, and of the label names.
        notes: what a user should know: texts in two splits, repeats, hidden labels.
        details: facts for the manifest: source, rows and class counts per split, package versions.
    """

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    label_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


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
    source = read_source(config, cache_folder, further)
    whole = {split: with_ids(table, source.label_names) for split, table in source.tables.items()}
    tables, names, notes = cut_missing(whole, config, source.label_names)
    tables = {split: subsample(tables[split], split, config) for split in SPLITS}
    cut = [split for split in SPLITS if split not in source.tables]
    return Splits(
        **tables,
        label_names=names,
        fingerprint=content_fingerprint(tables, names),
        notes=source.notes + notes + describe_overlaps(tables),
        details=source.details | {"cut_from_train": cut} | count_classes(tables, names),
    )


def with_ids(table: pa.Table, label_names: Sequence[str]) -> pa.Table:
    """Return the table with the column `example_id` in front, in place of the user's own ids."""
    ids = example_ids(table, label_names)
    rest = [name for name in table.column_names if name != "id"]
    return table.select(rest).add_column(0, "example_id", ids)


def subsample(table: pa.Table, split: str, config: DataConfig) -> pa.Table:
    """Return the stratified part of a split that is asked for, in canonical order."""
    order = keyed_order(table["example_id"].to_pylist(), config.split_seed, "order")
    wanted = getattr(config, f"{split}_examples")
    if wanted is None:
        return table.take(pa.array(np.argsort(order)))
    if wanted > table.num_rows:
        raise DataError(
            f"data.{split}_examples: must be in 1..{table.num_rows} ({split} examples of '{config.source}'), "
            f"got {wanted}"
        )
    labels = table["label"].to_numpy()
    num_classes = len(np.unique(labels))
    if split == "train" and wanted < num_classes:
        raise DataError(f"data.train_examples: must be >= {num_classes} (one per class), got {wanted}")
    return table.take(pa.array(stratified_rows(labels, order, wanted)))


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


def describe_overlaps(tables: dict[str, pa.Table]) -> tuple[str, ...]:
    """Return notes about texts (and pairs) that are in two splits, or repeated inside one."""
    forms = {split: normal_forms(table) for split, table in tables.items()}
    distinct = {split: set(texts) for split, texts in forms.items()}
    noun = "pair" if "text_pair" in tables["train"].column_names else "text"
    notes = []
    for smaller, larger in (("validation", "train"), ("test", "train"), ("test", "validation")):
        num_shared = sum(form in distinct[larger] for form in forms[smaller])
        if num_shared:
            share = f"{num_shared:,} of {len(forms[smaller]):,} examples"
            notes.append(f"{smaller}: {share} have a {noun} that is also in {larger}")
    for split, texts in forms.items():
        notes += describe_repeats(split, texts, tables[split]["label"].to_pylist(), noun)
    return tuple(notes)


def describe_repeats(where: str, forms: Sequence[str], labels: Sequence[int], noun: str) -> list[str]:
    """Return a note about texts (or pairs) that are repeated, if some are.

    Args:
        where: what the note begins with.
        forms: (n,) normal forms.
        labels: (n,) class numbers.
        noun: `text` or `pair`.
    """
    num_repeats = len(forms) - len(set(forms))
    if not num_repeats:
        return []
    num_conflicts = _count_conflicts(forms, labels)
    tail = f"; {num_conflicts:,} {noun}s have two labels" if num_conflicts else ""
    return [f"{where}: {num_repeats:,} of {len(forms):,} examples repeat the {noun} of another{tail}"]


def _count_conflicts(forms: Sequence[str], labels: Sequence[int]) -> int:
    first: dict[str, int] = {}
    return len({form for form, label in zip(forms, labels, strict=True) if first.setdefault(form, label) != label})


def count_classes(tables: dict[str, pa.Table], names: Sequence[str]) -> dict[str, Any]:
    """Return rows and class counts of every split, for the manifest."""
    counts = {split: np.bincount(table["label"].to_numpy(), minlength=len(names)) for split, table in tables.items()}
    return {
        "rows": {split: table.num_rows for split, table in tables.items()},
        "class_counts": {split: dict(zip(names, row.tolist(), strict=True)) for split, row in counts.items()},
    }
