"""The three splits of a study: from the source or cut by a seed; subsampled; checked for shared texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
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


def load_splits(config: DataConfig, cache_folder: Path) -> Splits:
    """Return the splits that a `data` section asks for.

    A split that the source lacks is cut from its train table, stratified by class; copies of a text, or the
    examples of a group where `data.group` is given, stay on one side. Each split is then subsampled to the
    examples asked for: stratified, and nested (what a smaller number takes, a larger one takes too). Which
    rows are taken, and their order, depends on their ids and `data.split_seed` only: a reordered file gives
    the same splits.

    Args:
        config: the `data` section.
        cache_folder: where the parsed built-in corpus is kept.

    Raises:
        DataError: what `read_source` raises; too few examples of a class to cut, or fewer than asked for.
    """
    source = read_source(config, cache_folder)
    tables = {split: with_ids(table, source.label_names) for split, table in source.tables.items()}
    tables = _cut_missing(tables, config, source.label_names)
    tables = {split: subsample(tables[split], split, config) for split in SPLITS}
    cut = [split for split in SPLITS if split not in source.tables]
    return Splits(
        **tables,
        label_names=source.label_names,
        fingerprint=content_fingerprint(tables, source.label_names),
        notes=source.notes + describe_overlaps(tables),
        details=source.details | {"cut_from_train": cut} | count_classes(tables, source.label_names),
    )


def with_ids(table: pa.Table, label_names: Sequence[str]) -> pa.Table:
    """Return the table with the column `example_id` in front, in place of the user's own ids."""
    ids = example_ids(table, label_names)
    rest = [name for name in table.column_names if name != "id"]
    return table.select(rest).add_column(0, "example_id", ids)


def _cut_missing(tables: dict[str, pa.Table], config: DataConfig, names: Sequence[str]) -> dict[str, pa.Table]:
    """Return all three tables, the missing ones cut out of train."""
    missing = [split for split in ("test", "validation") if split not in tables]
    if not missing:
        return tables
    train = tables["train"]
    labels = train["label"].to_numpy()
    units = unit_names(train)
    fractions = {split: float(getattr(config, f"{split}_fraction")) for split in missing}
    if sum(fractions.values()) >= 1:
        raise DataError(
            f"data.validation_fraction: must leave examples for train, got {fractions['validation']:g} "
            f"beside data.test_fraction {fractions['test']:g}"
        )
    taken = assign_units(units, labels, list(fractions.values()), config.split_seed)
    _check_cut(taken, labels, ["train", *missing], names)
    cut = {split: train.filter(pa.array(taken == number)) for number, split in enumerate(missing, start=1)}
    return {**tables, "train": train.filter(pa.array(taken == 0)), **cut}


def unit_names(table: pa.Table) -> list[str]:
    """Return the unit of every row, which no cut tears: its group if there are groups, else the copies of its text."""
    if "group" in table.column_names:
        groups: list[str] = table["group"].to_pylist()
        return groups
    return normal_forms(table)


def assign_units(
    units: Sequence[str], labels: np.ndarray, fractions: Sequence[float], seed: int, purpose: str = "split"
) -> np.ndarray:
    """Return which part each row goes to: 1, 2, ... for the shares given, 0 for the rest.

    Rows of one unit (copies of a text, a group) stay together. Units are stratified by the rarest class that
    they hold, so that rare classes are spread; inside a stratum they are taken in a keyed order until the
    share of its rows is met as nearly as whole units allow, at least one unit for every part if there are
    enough.

    Args:
        units: (n,) name of each row's unit.
        labels: (n,) class numbers.
        fractions: share of the rows of each cut part, in total below 1.
        seed: of the order.
        purpose: another purpose is another order.
    """
    names, unit_of_row = np.unique(np.asarray(units, object).astype(str), return_inverse=True)
    sizes = np.bincount(unit_of_row)
    class_counts = np.bincount(labels)
    rarity = np.lexsort((np.arange(len(class_counts)), class_counts)).argsort()  # class -> rank, 0 is the rarest
    stratum = np.full(len(names), len(class_counts))
    np.minimum.at(stratum, unit_of_row, rarity[labels])
    order = np.lexsort((keyed_order(names.tolist(), seed, purpose), stratum))
    part = np.zeros(len(names), np.int64)
    for members in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        part[members] = _cut_ordered(sizes[members], fractions)
    return part[unit_of_row]


def _cut_ordered(sizes: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Return the part of each unit of one stratum, taken from the front in the order of the parts."""
    ends = np.concatenate([[0], np.cumsum(sizes)])
    part = np.zeros(len(sizes), np.int64)
    first = 0
    for number, fraction in enumerate(fractions, start=1):
        still_needed = len(fractions) - number + 1  # units for the later parts and the rest
        target = ends[first] + fraction * ends[-1]
        nearest = int(np.abs(ends - target).argmin())
        last = max(min(nearest, len(sizes) - still_needed), min(first + 1, len(sizes)))
        part[first:last] = number
        first = last
    return part


def _check_cut(taken: np.ndarray, labels: np.ndarray, parts: Sequence[str], names: Sequence[str]) -> None:
    counts = np.zeros((len(parts), len(names)), np.int64)
    np.add.at(counts, (taken, labels), 1)
    present = counts.sum(0) > 0
    absent = (counts == 0) & present
    if not absent.any():
        return
    worst = int(np.flatnonzero(absent.any(0))[0])
    raise DataError(
        f"data.label: class '{names[worst]}' must have enough examples "
        f"to cut {' and '.join(parts[1:])} from train, got {counts[:, worst].sum()} "
        "(copies and groups stay together); remove it, or give split files"
    )


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
