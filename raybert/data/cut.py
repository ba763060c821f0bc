"""Cuts of a table into parts: units stay whole, classes are spread, and what is too rare for it is set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.data import mapped
from raybert.data.rare import describe_rare, drop_classes, set_rare_aside
from raybert.data.spread import lacking_labels, spread_units
from raybert.data.units import Units
from raybert.errors import DataError

_FEW_STRATA = 32


def cut_missing(
    tables: dict[str, pa.Table],
    units: Units,
    config: DataConfig,
    names: tuple[str, ...],
    marks: np.ndarray | None = None,
) -> tuple[dict[str, pa.Table], tuple[str, ...], tuple[str, ...]]:
    """Return all three tables, the missing ones cut out of train, the names of the classes that are left, and notes.

    Args:
        tables: split -> its rows.
        units: of train, which no cut tears.
        config: the `data` section.
        names: class number -> name.
        marks: (n, L) which labels each row of train has, where it may have several; None: it has one class.

    Raises:
        DataError: fractions that leave nothing, or a class with too few examples, unless `data.rare_classes` says what
            becomes of it.
    """
    missing = [split for split in ("test", "validation") if split not in tables]
    if not missing:
        return tables, names, ()
    train = tables["train"]
    labels = _numbers(train["label"])
    fractions = {split: float(getattr(config, f"{split}_fraction")) for split in missing}
    if sum(fractions.values()) >= 1:
        raise DataError(
            f"data.validation_fraction: must leave examples for train, got {fractions['validation']:g} "
            f"beside data.test_fraction {fractions['test']:g}"
        )

    if marks is not None:
        taken = spread_units(
            units, marks, [1 - sum(fractions.values()), *fractions.values()], config.split_seed, "split"
        )
        _check_marks(taken, marks, ["train", *missing], names)
        return _parts(tables, taken, missing), names, ()

    def cut(rows: np.ndarray) -> np.ndarray:
        of_rows = labels if len(rows) == len(labels) else labels[rows]
        return assign_units(units.take(rows), of_rows, list(fractions.values()), config.split_seed)

    def lacking(rows: np.ndarray) -> set[int]:
        return set(np.flatnonzero(_absent(cut(rows), labels[rows], len(missing) + 1, len(names)).any(axis=0)).tolist())

    rows, rare = set_rare_aside(units.of_row, labels, lacking, names, config.rare_classes)
    taken = np.zeros(len(labels), np.int16)
    taken[rows] = cut(rows)
    _check_cut(taken[rows], labels[rows], ["train", *missing], names)
    found = _parts(tables, taken, missing)
    notes = describe_rare(labels, rare, names, config.rare_classes)
    if not rare or config.rare_classes == "train":
        return found, names, notes
    left = {split: drop_classes(table, names, rare) for split, table in found.items()}
    return {split: table for split, (table, _) in left.items()}, left["train"][1], notes


def _parts(tables: dict[str, pa.Table], taken: np.ndarray, missing: Sequence[str]) -> dict[str, pa.Table]:
    """Return all tables, those that were missing from the rows of train with their numbers, 1 and on."""
    train = tables["train"]
    parts = {
        split: mapped.taken(train, np.flatnonzero(taken == number)) for number, split in enumerate(missing, start=1)
    }
    return {**tables, "train": mapped.taken(train, np.flatnonzero(taken == 0)), **parts}


def _check_marks(taken: np.ndarray, marks: np.ndarray, parts: Sequence[str], names: Sequence[str]) -> None:
    lacking = np.argwhere(lacking_labels(taken, marks, len(parts)))
    if len(lacking):
        part, label = lacking[0]
        raise DataError(
            f"data.label: label '{names[label]}' must have enough examples to cut {' and '.join(parts[1:])} from "
            f"train, got {int((marks[:, label] > 0).sum())} and none in {parts[part]} (copies and groups stay "
            "together); give split files, or leave the label out"
        )


def assign_units(
    units: Units, labels: np.ndarray, fractions: Sequence[float], seed: int, purpose: str = "split"
) -> np.ndarray:
    """Return which part each row goes to: 1, 2, ... for the shares given, 0 for the rest.

    Rows of one unit (copies of a text, a group) stay together. Units are stratified by the rarest class that
    they hold, so that rare classes are spread; inside a stratum they are taken in a keyed order until the
    share of its rows is met as nearly as whole units allow, at least one unit for every part if there are
    enough.

    Args:
        units: of the n rows.
        labels: (n,) class numbers.
        fractions: share of the rows of each cut part, in total below 1.
        seed: of the order.
        purpose: another purpose is another order.
    """
    sizes = units.sizes.astype(np.int32)
    class_counts = np.bincount(labels)
    rarity = np.lexsort((np.arange(len(class_counts)), class_counts)).argsort()  # class -> rank, 0 is the rarest
    stratum = np.full(len(units), len(class_counts), np.int32)
    np.minimum.at(stratum, units.of_row, rarity.astype(np.int32)[labels])
    keys = units.order(seed, purpose)
    part = np.zeros(len(units), np.int16)
    for members in _members(stratum, len(class_counts) + 1):
        in_order = members[np.argsort(keys[members], kind="stable")]
        part[in_order] = _cut_ordered(sizes[in_order], fractions)
    return np.asarray(part[units.of_row])


def _numbers(labels: pa.ChunkedArray) -> np.ndarray:
    """Return (n,) int32 class numbers, of ten million rows in half of the memory that Arrow's would take."""
    found, start = np.empty(len(labels), np.int32), 0
    for chunk in labels.chunks:
        found[start : start + len(chunk)] = chunk.to_numpy()
        start += len(chunk)
    return found


def _members(stratum: np.ndarray, num_strata: int) -> Iterator[np.ndarray]:
    """Yield the (m,) units of each stratum that has some, ascending; of few strata without the order of all units."""
    if num_strata <= _FEW_STRATA:
        yield from (found for number in range(num_strata) if len(found := np.flatnonzero(stratum == number)))
    else:
        order = np.argsort(stratum, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1)


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


def _absent(taken: np.ndarray, labels: np.ndarray, num_parts: int, num_classes: int) -> np.ndarray:
    """Return (parts, C) bool: which part lacks which class that there is."""
    counts = np.zeros((num_parts, num_classes), np.int64)
    np.add.at(counts, (taken, labels), 1)
    return np.asarray((counts == 0) & (counts.sum(axis=0) > 0))


def _check_cut(taken: np.ndarray, labels: np.ndarray, parts: Sequence[str], names: Sequence[str]) -> None:
    absent = _absent(taken, labels, len(parts), len(names))
    if not absent.any():
        return
    worst = int(np.flatnonzero(absent.any(axis=0))[0])
    raise DataError(
        f"data.label: class '{names[worst]}' must have enough examples to cut {' and '.join(parts[1:])} from train, "
        f"got {int((labels == worst).sum())} (copies and groups stay together); give split files, or set "
        "data.rare_classes: drop (leaves such classes out) or train (keeps them in train alone)"
    )
