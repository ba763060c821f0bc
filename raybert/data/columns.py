"""What the columns of a source must hold: texts that can be seen, distinct ids, groups; whatever type they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.raw import RawTable, first_line
from raybert.errors import DataError

_VISIBLE = (
    r"[^\p{Z}\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{2800}\x{3164}\x{FE00}-\x{FE0F}"
    r"\x{FFA0}\x{FFFD}\x{E0100}-\x{E01EF}]"
)
"""A character that leaves a mark: no blank, no control or format character (zero width), no filler, no U+FFFD."""
_NUMBER = r"^\s*[-+]?[\d.,:/\- ]*\d[\d.,:/\- ]*([eE][-+]?\d+)?\s*%?\s*$"
_FEWEST = 2


def check_strings(table: RawTable, key: str, column: str, origin: str) -> pa.ChunkedArray:
    """Return a text column as strings, every one with something to see in it.

    Raises:
        DataError: another type, or the number of texts that are missing, blank or invisible, and their first rows.
    """
    values, visible = texts_of(table, key, column, origin)
    refuse_rows(pc.invert(visible), key, f"column '{column}' of {origin}", "texts", table)
    return values


def texts_of(table: RawTable, key: str, column: str, origin: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return a text column as strings in the chunks that it has, and of each whether there is something to see in it.

    Raises:
        DataError: another type.
    """
    place = f"column '{column}' of {origin}"
    values = plain_column(table.rows[key], key, place)
    if not is_text(values.type):
        found = "nothing but nulls" if pa.types.is_null(values.type) else str(values.type)
        raise DataError(f"data.{key}: {place} must hold texts, got {found}")
    return values, pc.fill_null(pc.match_substring_regex(values, _VISIBLE), False)


def notes_on_texts(values: pa.ChunkedArray, key: str, column: str, origin: str) -> tuple[str, ...]:
    """Return a note if a column of texts looks as if another one was meant: numbers or dates only, or one text."""
    if len(values) < _FEWEST:
        return ()
    place, first = f"data.{key}: column '{column}' of {origin}", values[0].as_py()
    if pc.all(pc.match_substring_regex(values, _NUMBER)).as_py():
        return (f"{place} holds nothing but numbers or dates, such as '{first}'; is it the column of the texts?",)
    if pc.all(pc.equal(values, values[0])).as_py():
        shown = first if len(first) <= 40 else f"{first[:37]}..."
        return (f"{place} holds one text only, '{shown}'; is it the column of the texts?",)
    return ()


def texts_of_values(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return values of any kind as text, for groups: what is missing (null, NaN, blank) is empty."""
    found = ("" if value is None or value != value else str(value).strip() for value in values.to_pylist())
    return pa.array(list(found), pa.string())


def check_ids(table: RawTable, column: str, origin: str) -> pa.Array:
    """Return the id column as strings, none missing and no two equal.

    Raises:
        DataError: a missing id, or the first id that is there twice.
    """
    ids = check_keys(table, "id", column, origin)
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        first = repeated[0].as_py()
        rows = np.flatnonzero(pc.equal(ids, first["values"]).to_numpy(zero_copy_only=False))
        raise DataError(
            f"data.id: column '{column}' of {origin} must hold distinct ids, got {len(repeated)} repeated, "
            f"first '{first['values']}' ({first['counts']} times, {table.describe_rows(rows)}); name another column, "
            "or none"
        )
    return ids


def check_keys(table: RawTable, key: str, column: str, origin: str) -> pa.Array:
    """Return a column of ids or groups as strings, none missing.

    Raises:
        DataError: a type that is neither whole numbers nor strings, or missing values.
    """
    place = f"column '{column}' of {origin}"
    values = plain_array(table.rows[key], key, place)
    if pa.types.is_decimal(values.type):
        values = _without_fractions(values, key, place)
    if not (is_text(values.type) or pa.types.is_integer(values.type)):
        raise DataError(f"data.{key}: {place} must hold whole numbers or strings, got {values.type}")
    refuse_rows(pc.is_null(values), key, place, "values", table)
    return values.cast(pa.string())


def refuse_rows(
    bad: pa.Array | pa.ChunkedArray, key: str, where: str, noun: str, table: RawTable, or_else: str = ""
) -> None:
    """Refuse a column some rows of which have nothing in it.

    Args:
        bad: (n,) bool, which rows.
        key: of the `data` section.
        where: the column, in words.
        noun: what it holds.
        table: the rows, for their numbers.
        or_else: a further remedy; empty: there is none.

    Raises:
        DataError: the number of such rows, and the first ones.
    """
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        raise DataError(
            f"data.{key}: {where} must have no empty or missing {noun}, got {len(rows)} of {len(bad)}, in "
            f"{table.describe_rows(rows)}; remove or fill them{or_else}"
        )


def plain_column(column: pa.ChunkedArray | pa.Array, key: str, place: str) -> pa.ChunkedArray:
    """Return a column of a plain type, as `plain_array` does, in the chunks that it has: there may be many gigabytes.

    Raises:
        DataError: bytes that are no text.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) and column.num_chunks else [column]
    return pa.chunked_array([plain_array(chunk, key, place) for chunk in chunks])


def plain_array(column: pa.ChunkedArray | pa.Array, key: str, place: str) -> pa.Array:
    """Return a column as one array of a plain type: categories as their values, all strings as `string`.

    Raises:
        DataError: bytes that are no text, or more than an array can hold.
    """
    try:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        return _plain(array)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"data.{key}: {place} cannot be read as text or numbers: {first_line(error)}") from None


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a plain type is that of strings."""
    return bool(pa.types.is_string(kind))


def _plain(array: Any) -> pa.Array:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(array.storage)
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary).take(array.indices)
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array))
    if pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return array.cast(pa.string())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        try:
            return array.cast(pa.string())
        except pa.ArrowNotImplementedError:  # of older versions of Arrow
            values = [
                value if value is None or isinstance(value, str) else value.decode() for value in array.to_pylist()
            ]
            return pa.array(values, pa.string())
    return array


def _without_fractions(values: pa.Array, key: str, place: str) -> pa.Array:
    """Return decimals (the whole numbers of many databases) as strings without a point.

    Raises:
        DataError: some have fractions.
    """
    texts = []
    for value in values.to_pylist():
        if value is not None and value != int(value):
            raise DataError(f"data.{key}: {place} must hold whole numbers or strings, got {value}")
        texts.append(None if value is None else str(int(value)))
    return pa.array(texts, pa.string())
