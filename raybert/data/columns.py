"""What the columns of a source must hold: texts that are not empty, labels that are classes, distinct ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.local import RawTable
from raybert.errors import DataError


def check_strings(rows: pa.Table, key: str, column: str, origin: str) -> pa.Array:
    """Return a text column as one array of strings that are neither null nor blank.

    Raises:
        DataError: another type, or the number of null or blank texts and their first rows.
    """
    values = _decoded(rows[key])
    if pa.types.is_null(values.type) or not _is_string(values.type):
        found = "nothing but nulls" if pa.types.is_null(values.type) else str(values.type)
        raise DataError(f"data.{key}: column '{column}' of {origin} must hold texts, got {found}")
    _refuse_rows(
        pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True),
        key,
        f"column '{column}' of {origin}",
        "texts",
    )
    return values.cast(pa.string())


def check_ids(rows: pa.Table, column: str, origin: str) -> pa.Array:
    """Return the id column as strings, none missing and no two equal.

    Raises:
        DataError: a missing id, or the first id that is there twice.
    """
    ids = check_keys(rows, "id", column, origin)
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        first = repeated[0].as_py()
        raise DataError(
            f"data.id: column '{column}' of {origin} must hold distinct ids, got {len(repeated)} repeated, "
            f"first '{first['values']}' ({first['counts']} times); name another column, or none"
        )
    return ids


def check_keys(rows: pa.Table, key: str, column: str, origin: str) -> pa.Array:
    """Return a column of ids or groups as strings, none missing.

    Raises:
        DataError: a type that is neither whole numbers nor strings, or missing values.
    """
    values = _decoded(rows[key])
    if not (_is_string(values.type) or pa.types.is_integer(values.type)):
        raise DataError(
            f"data.{key}: column '{column}' of {origin} must hold whole numbers or strings, got {values.type}"
        )
    _refuse_rows(pc.is_null(values), key, f"column '{column}' of {origin}", "values")
    return values.cast(pa.string())


def hides_labels(rows: pa.Table) -> bool:
    """Tell whether every label is missing or -1, as in the test splits of shared tasks."""
    labels = _decoded(rows["label"])
    if labels.null_count == len(labels):
        return True
    if not (pa.types.is_integer(labels.type) or pa.types.is_floating(labels.type)):
        return False
    return bool(pc.all(pc.equal(labels, -1)).as_py())


def encode_labels(tables: Mapping[str, RawTable], column: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the labels of every split as class numbers 0..C-1, and the names of the classes.

    Integers are ordered by value and need not be contiguous; strings are ordered by name.

    Args:
        tables: split -> its rows.
        column: the column's name in the source, for messages.

    Returns:
        split -> (n,) int64, and the names of the C classes that occur in train.

    Raises:
        DataError: missing labels, a type that is not a class, or fewer than two classes in train, or classes
            elsewhere that train lacks.
    """
    values = {split: _label_values(table.rows, column, split) for split, table in tables.items()}
    if any(_is_string(array.type) for array in values.values()):
        values = {split: array.cast(pa.string()) for split, array in values.items()}
    classes = sorted(pc.unique(values["train"]).to_pylist())
    if len(classes) < 2:
        raise DataError(
            f"data.label: column '{column}' must have at least two classes in train, "
            f"got only {classes[0]!r} ({len(values['train'])} rows)"
        )
    lookup = pa.array(classes, values["train"].type)
    numbers = {split: _class_numbers(array, lookup, column, split) for split, array in values.items()}
    return numbers, _names(classes, tables["train"])


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
    values = _label_values(table.rows, column, origin)
    for labels, known in _readings(values, table, label_names):
        numbers = pc.index_in(labels, known)
        if numbers.null_count < len(numbers):
            break
    if numbers.null_count:
        unknown = sorted(pc.unique(labels.filter(pc.is_null(numbers))).to_pylist())
        raise DataError(
            f"data.label: column '{column}' of {origin} must hold classes of the model "
            f"({', '.join(label_names[:8])}{', ...' if len(label_names) > 8 else ''}), got {unknown[:5]} "
            f"({numbers.null_count} of {len(numbers)} rows); remove or rename them"
        )
    return np.asarray(numbers.to_numpy(), np.int64)


def _readings(values: pa.Array, table: RawTable, label_names: Sequence[str]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield what labels may mean, and the classes in that language: names of the file, the label itself, numbers."""
    known = pa.array(label_names, pa.string())
    given = _given_names(table)
    if given and not _is_string(values.type):
        places = pc.if_else(pc.and_(pc.greater_equal(values, 0), pc.less(values, len(given))), values, None)
        yield pc.coalesce(pa.array(given, pa.string()).take(places), values.cast(pa.string())), known
    yield values.cast(pa.string()), known
    if not _is_string(values.type) and not any(name.removeprefix("-").isdecimal() for name in label_names):
        yield values, pa.array(range(len(label_names)), pa.int64())


def _given_names(table: RawTable) -> tuple[str, ...] | None:
    if pa.types.is_boolean(table.rows["label"].type):
        return ("false", "true")
    return table.class_names


def _class_numbers(labels: pa.Array, classes: pa.Array, column: str, split: str) -> np.ndarray:
    numbers = pc.index_in(labels, classes)
    if numbers.null_count:
        unknown = sorted(pc.unique(labels.filter(pc.is_null(numbers))).to_pylist())
        raise DataError(
            f"data.label: column '{column}' of {split} must hold classes of train only, got {unknown[:5]} "
            f"({numbers.null_count} of {len(numbers)} rows); remove them or add such examples to train"
        )
    return np.asarray(numbers.to_numpy(), np.int64)


def _names(classes: list[int | str], train: RawTable) -> tuple[str, ...]:
    given = _given_names(train)
    if given and all(isinstance(value, int) and 0 <= value < len(given) for value in classes):
        return tuple(given[int(value)] for value in classes)
    return tuple(str(value) for value in classes)


def _label_values(rows: pa.Table, column: str, split: str) -> pa.Array:
    """Return one split's labels as int64 or strings."""
    labels = _decoded(rows["label"])
    where = f"column '{column}' of {split}"
    if pa.types.is_floating(labels.type):
        labels = _whole_numbers(labels.cast(pa.float64()), where)
    if not (_is_string(labels.type) or pa.types.is_integer(labels.type) or pa.types.is_boolean(labels.type)):
        raise DataError(f"data.label: {where} must hold whole numbers or strings, got {labels.type}")
    missing = pc.is_null(labels)
    if _is_string(labels.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(labels, ""), True))
        labels = labels.cast(pa.string())
    _refuse_rows(missing, "label", where, "labels")
    return labels if _is_string(labels.type) else labels.cast(pa.int64())


def _whole_numbers(labels: pa.Array, where: str) -> pa.Array:
    """Return floats as integers (NaN as null), as csv and pandas write integer columns with gaps."""
    values = labels.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    broken = np.flatnonzero(~missing & ((values != np.round(values)) | (np.abs(values) > 2**53)))
    if len(broken):
        raise DataError(
            f"data.label: {where} must hold whole numbers or strings, "
            f"got {values[broken[0]]:g} in row {broken[0] + 1} (from 1)"
        )
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)


def _refuse_rows(bad: pa.Array, key: str, where: str, noun: str) -> None:
    rows = np.flatnonzero(bad.to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    first = ", ".join(str(row + 1) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
    raise DataError(
        f"data.{key}: {where} must have no empty or missing {noun}, got {len(rows)} of {len(bad)}, "
        f"in row{'s' if len(rows) > 1 else ''} {first} (from 1); remove or fill them"
    )


def _decoded(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, a categorical one as its values."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
