"""Labels become class numbers: how the splits of a source, and a file and a model, agree on their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.class_names import given_names, names_of, notes_on_names
from raybert.data.columns import is_text, plain_array
from raybert.data.label_values import label_values, typed_labels
from raybert.data.raw import RawTable
from raybert.errors import DataError

_UNLABELLED = -1
"""What `datasets` writes beside class names for a row without a label."""


@dataclass(frozen=True)
class EncodedLabels:
    """Labels as class numbers.

    Attributes:
        numbers: split -> (n,) int64 in 0..C-1.
        names: of the C classes that occur in train.
        notes: what had to be taken for something, and what a user should look at.
    """

    numbers: dict[str, np.ndarray]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def hides_labels(table: RawTable) -> bool:
    """Tell whether every label is missing or -1, as in the test splits of shared tasks."""
    labels = typed_labels(table)
    if labels.null_count == len(labels):
        return True
    if not (pa.types.is_integer(labels.type) or pa.types.is_floating(labels.type)):
        return False
    return bool(pc.all(pc.equal(labels, _UNLABELLED)).as_py())


def has_label(table: RawTable) -> np.ndarray:
    """Return (n,) bool, which rows have a label: not missing, not blank, and not -1 beside class names."""
    labels = typed_labels(table)
    missing = pc.is_null(labels, nan_is_null=True)
    if is_text(labels.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(labels), ""), True))
    if table.class_names and pa.types.is_integer(labels.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(labels, _UNLABELLED), True))
    return np.asarray(pc.invert(missing).to_numpy(zero_copy_only=False), bool)


def without_unlabelled(table: RawTable, split: str, *, may_miss: bool = False) -> RawTable:
    """Return the table without the rows that have a label of -1 beside class names, and a note about them.

    Args:
        table: the rows.
        split: which they are of, for the note.
        may_miss: whether rows whose label is missing or blank are left out as well; else they are for others to refuse.
    """
    labels = typed_labels(table)
    if may_miss:
        wanted, words = has_label(table), "no label"
    elif table.class_names and pa.types.is_integer(labels.type):
        wanted = pc.fill_null(pc.not_equal(labels, _UNLABELLED), True).to_numpy(zero_copy_only=False)
        words = "no label (-1 beside class names)"
    else:
        return table
    if wanted.all():
        return table
    count = int((~wanted).sum())
    note = f"{split}: {count:,} of {len(wanted):,} rows have {words} and are left out"
    return replace(table.keep(wanted), notes=(*table.notes, note))


def encode_labels(tables: Mapping[str, RawTable], column: str, *, drops_unknown: bool = False) -> EncodedLabels:
    """Return the labels of every split as class numbers 0..C-1, and the names of the classes.

    Integers are ordered by value and need not be contiguous; strings are ordered by name. The other splits are matched
    with train by the names of classes where both have names, else by what is written.

    Args:
        tables: split -> its rows.
        column: the column's name in the source, for messages.
        drops_unknown: whether a class that train lacks gets the number -1, with a note, instead of an error.

    Raises:
        DataError: missing labels, a type that is not a class, names that do not fit, fewer than two classes in train,
            or classes elsewhere that train lacks.
    """
    train = tables["train"]
    values = label_values(train, column, "train")
    classes = sorted(pc.unique(values).to_pylist())
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise DataError(
            f"data.label: column '{column}' must have at least two classes in train, got {found} ({len(values)} rows)"
        )
    names = names_of(classes, train, values, column, "train")
    numbers = {"train": _as_numbers(pc.index_in(values, pa.array(classes, values.type)))}
    notes = list(notes_on_names(names, numbers["train"], column))
    for split, table in tables.items():
        if split != "train":
            numbers[split], matched = _match_train(table, train, classes, names, column, split, drops_unknown)
            notes += matched
    return EncodedLabels({split: numbers[split] for split in tables}, names, tuple(notes))


def match_labels(table: RawTable, label_names: Sequence[str], column: str, origin: str) -> np.ndarray:
    """Return (m,) int64, the class numbers that labels have for a model, by name.

    Whole numbers are class numbers where neither the file nor the model has other names for them.

    Args:
        table: the rows, with a label.
        label_names: of the model: class number -> name.
        column: the column's name in the source, for messages.
        origin: the file, for messages.

    Raises:
        DataError: missing labels, a type that is not a class, or classes that the model does not know.
    """
    values = label_values(table, column, origin)
    given = _own_names(table, values, column, origin)
    names_numbers = table.class_names is not None and given is not None
    classes = () if names_numbers or any(map(_is_number, label_names)) else range(len(label_names))
    labels, numbers = _first_reading(_readings(table, values, given, label_names, classes))
    if numbers.null_count:
        raise DataError(
            f"data.label: column '{column}' of {origin} must hold classes of the model "
            f"({', '.join(label_names[:8])}{', ...' if len(label_names) > 8 else ''}), got "
            f"{_unknown(labels, numbers)}; remove or rename them"
        )
    return _as_numbers(numbers)


def _match_train(
    table: RawTable,
    train: RawTable,
    classes: Sequence[Any],
    names: Sequence[str],
    column: str,
    split: str,
    drops_unknown: bool,
) -> tuple[np.ndarray, list[str]]:
    """Return the class numbers of a split's labels in train, and how they were matched if that is not plain."""
    values = label_values(table, column, split)
    given = _own_names(table, values, column, split)
    named = [str(value) for value in classes] != list(names)  # train's numbers have names
    is_bare = named and given is None and not is_text(values.type)
    if is_bare and any(map(_is_number, names)):
        raise DataError(
            f"data.label: column '{column}' of {split} holds numbers without names, which may be names or numbers of "
            f"the classes of train ({', '.join(names[:8])}); write its labels as names"
        )
    labels, numbers = _first_reading(_readings(table, values, given, names, () if given and named else classes))
    if numbers.null_count and not drops_unknown:
        raise DataError(
            f"data.label: column '{column}' of {split} must hold classes of train only, got "
            f"{_unknown(labels, numbers)}; remove them, add such examples to train, or set data.rare_classes: drop"
        )
    by_number = ", ".join(f"{value} is {name}" for value, name in list(zip(classes, names, strict=True))[:4])
    notes = [f"{split}: labels are taken for numbers of the classes of train ({by_number})"] if is_bare else []
    if numbers.null_count:
        notes.append(f"data.rare_classes: {split}: {_unknown(labels, numbers)} are not in train, left out")
        numbers = pc.fill_null(numbers, -1)
    return _as_numbers(numbers), notes


def _readings(
    table: RawTable,
    values: pa.Array,
    given: Sequence[str] | None,
    names: Sequence[str],
    classes: Sequence[Any],
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield what labels may mean, and the numbers that classes then have: as written, by own names, by number.

    Args:
        table: their rows.
        values: the labels, as numbers or strings.
        given: what the numbers are called in their own file.
        names: class number -> name, of train or of a model.
        classes: class number -> what train has in its place; empty: numbers mean nothing there.
    """
    known = pa.array(names, pa.string())
    if table.labels_are_text and not is_text(values.type):  # 1.0 may be a name, too
        written = plain_array(table.rows["label"], "label", "")
        yield written, pc.index_in(written, known)
    if given is not None:
        own = pa.array(given, pa.string()).take(values)
        yield own, pc.index_in(own, known)
    texts = values.cast(pa.string())
    yield texts, pc.index_in(texts, known)
    if len(classes) and not is_text(values.type) and not isinstance(classes[0], str):
        yield values, pc.index_in(values, pa.array(classes, pa.int64()))
    elif len(classes) and is_text(values.type):
        yield values, pc.index_in(values, pa.array(map(str, classes), pa.string()))


def _first_reading(readings: Iterator[tuple[pa.Array, pa.Array]]) -> tuple[pa.Array, pa.Array]:
    """Return the first reading in which some label is a class, else the last one."""
    reading = next(readings)
    while reading[1].null_count == len(reading[1]):
        following = next(readings, None)
        if following is None:
            break
        reading = following
    return reading


def _own_names(table: RawTable, values: pa.Array, column: str, where: str) -> tuple[str, ...] | None:
    """Return what the numbers of a table are called in it, or None; they are checked to fit."""
    given = given_names(table)
    if given is None or is_text(values.type):
        return None
    names_of(sorted(pc.unique(values).to_pylist()), table, values, column, where)
    return given


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _as_numbers(numbers: pa.Array) -> np.ndarray:
    return np.asarray(numbers.to_numpy(), np.int64)


def _unknown(labels: pa.Array, numbers: pa.Array) -> str:
    unknown = sorted(pc.unique(labels.filter(pc.is_null(numbers))).to_pylist())
    return f"{unknown[:5]} ({numbers.null_count} of {len(numbers)} rows)"
