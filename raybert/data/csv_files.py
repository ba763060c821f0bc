"""Separated values as programs really write them: the way of writing is recognised, said, and otherwise refused.

The reader is Python's `csv`, strict: a quote where none may be is an error, never part of a text.
"""

from __future__ import annotations

import csv
import re
import sys
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybert.data.csv_dialects import DELIMITERS, Dialect, possible_dialects
from raybert.data.formats import format_of
from raybert.data.raw import RawTable, find_columns, has_columns, tidy
from raybert.data.text_files import read_text
from raybert.errors import DataError

_SEP_LINE = re.compile(r'"?sep=([^\w"\\\r\n])"?\r?[\r\n]', re.IGNORECASE)
"""What Excel writes and reads as a first line."""
_NULL = r"\N"
"""What databases write for a missing value."""
_HEADER = "put a line with the names of the columns first"
_BATCH_ROWS = 10_000
_STAND_IN = range(0xE000, 0xF8FF)
"""Private characters, one of which stands for an escaped quote while a text is read."""


class _UnreadableError(Exception):
    """Rows cannot be read in some way of writing; the message says which and why."""


@dataclass(frozen=True)
class _Body:
    """What comes after the header.

    Attributes:
        text: of the file.
        start: where its rows begin.
        line: how many lines of the file come before.
        width: columns that have a name, or are asked for; every row must have them.
        num_names: fields of the header.
        places: of the columns asked for.
        newline: what ends a line.
    """

    text: str
    start: int
    line: int
    width: int
    num_names: int
    places: Sequence[int]
    newline: str


@dataclass(frozen=True)
class _Header:
    """A file of which the first row is read.

    Attributes:
        body: what comes after it.
        delimiter: between fields.
        keys: of the columns that are there, in the order of `body.places`.
        is_padded: whether names have blanks in front.
        notes: what was recognised.
        names: of all columns.
    """

    body: _Body
    delimiter: str
    keys: tuple[str, ...]
    is_padded: bool
    notes: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Rows:
    """The wanted fields of all rows.

    Attributes:
        columns: one for each place that was asked for.
        count: rows.
        num_padded: of them rows with empty fields after the last column.
        num_empty: rows at the end that have nothing but separators, and do not count.
        lines: (count,) where each begins.
    """

    columns: list[pa.ChunkedArray]
    count: int
    num_padded: int
    num_empty: int
    lines: np.ndarray


def read_csv(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    """Return the wanted columns of a file of separated values, all of them as strings.

    Commas (tabs in a `.tsv`) are expected. Another separator is one where it makes all wanted columns appear in the
    first row and the expected one does not, or where a line `sep=` names it.

    Raises:
        DataError: a missing column, or rows that cannot be read for certain; says in which line.
    """
    origin = f"'{path}'"
    header = _open(path, wanted, optional)
    body, delimiter = header.body, header.delimiter
    try:
        rows, dialect = _read_recognised(body, Dialect(delimiter, skips_blanks=header.is_padded))
    except _UnreadableError as error:
        raise DataError(f"data.source: {origin} cannot be read as csv: {error}{_remedy(path, delimiter)}") from None
    return RawTable(
        pa.table(dict(zip(header.keys, rows.columns, strict=True))),
        labels_are_text="label" in header.keys,
        notes=(*header.notes, *dialect.notes(origin, _usual_delimiter(path)), *_notes_on(rows, origin)),
        lines=rows.lines,
    )


def read_all_csv(path: Path, wanted: Mapping[str, str]) -> pa.Table:
    """Return a file of separated values with all its columns as strings, two of one name included.

    Args:
        path: the file.
        wanted: what told its way of writing when it was read before.

    Raises:
        DataError: as `read_csv`.
    """
    header = _open(path, wanted, ("id", "group"))
    body = replace(header.body, places=range(min(header.body.width, len(header.names))))
    try:
        rows, _ = _read_recognised(body, Dialect(header.delimiter, skips_blanks=header.is_padded))
    except _UnreadableError as error:
        raise DataError(f"data.source: '{path}' cannot be read as csv: {error}") from None
    return pa.Table.from_arrays(rows.columns, names=[tidy(name) for name in header.names[: len(rows.columns)]])


def check_header(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> None:
    """Refuse a file of separated values that cannot be decoded, or lacks a column; its rows are not looked at.

    Raises:
        DataError: as `read_csv`.
    """
    _open(path, wanted, optional)


def _usual_delimiter(path: Path) -> str:
    return "\t" if format_of(path).ending == ".tsv" else ","


def _open(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> _Header:
    """Read a file as far as the row with the names of its columns.

    Raises:
        DataError: it cannot be decoded, or a column is missing.
    """
    origin = f"'{path}'"
    text, notes = read_text(path)
    usual = _usual_delimiter(path)
    named = _SEP_LINE.match(text)
    start = named.end() if named else 0
    delimiter = named[1] if named else _choose_delimiter(text, usual, wanted, optional)
    try:
        names, length, lines = _read_header(text[start:] if start else text, delimiter)
    except csv.Error as error:
        raise DataError(f"data.source: {origin} cannot be read as csv: its first row: {_in_our_words(error)}") from None
    places, found = _find_columns(names, wanted, optional, origin)
    width = len(names)
    while width > max(places.values(), default=0) + 1 and not tidy(names[width - 1]):
        width -= 1
    newline = _newline_of(text)
    body = _Body(text, start + length, lines + bool(named), width, len(names), list(places.values()), newline)
    is_padded = any(names[place] != wanted[key] and names[place].startswith(" ") for key, place in places.items())
    return _Header(body, delimiter, tuple(places), is_padded, (*notes, *found), tuple(names))


def _find_columns(
    names: Sequence[str], wanted: Mapping[str, str], optional: Collection[str], origin: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return what `find_columns` does; where nothing fits, the first row may be no header at all."""
    try:
        return find_columns(names, wanted, optional, origin)
    except DataError as error:
        if str(error).endswith("?") or {*map(tidy, names)} & {*map(tidy, wanted.values())}:
            raise
        is_json = names[:1] and names[0].lstrip().startswith(("{", "["))
        remedy = "let its name end with .jsonl if it is JSON" if is_json else _HEADER
        raise DataError(f"{error}, or {remedy}") from None


def _choose_delimiter(text: str, usual: str, wanted: Mapping[str, str], optional: Collection[str]) -> str:
    """Return the expected delimiter, unless another one alone makes the wanted columns appear in the header."""
    others = [other for other in DELIMITERS if other != usual]
    widths: dict[str, int] = {}
    for delimiter in (usual, *others):
        try:
            names = _read_header(text, delimiter)[0]
        except csv.Error:
            continue
        if has_columns(names, wanted, optional):
            return delimiter
        widths[delimiter] = len(names)
    return max(widths, key=lambda delimiter: widths[delimiter], default=usual)  # for the message


def _read_header(text: str, delimiter: str) -> tuple[list[str], int, int]:
    """Return the fields of the first row that is not empty, and where it ends: after so many characters and lines.

    Raises:
        csv.Error: quotes that cannot be read.
    """
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in _lines(text, 0, _newline_of(text)):
            length += len(line)
            yield line

    with _fields_of_any_size():
        reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        names = next((row for row in reader if row), [])
    return names, length, reader.line_num


def _read_recognised(body: _Body, plain: Dialect) -> tuple[_Rows, Dialect]:
    """Return the rows in the first way of writing in which all of them can be read.

    Raises:
        _UnreadableError: there is none; the reason is that of the plain way.
    """
    problem: _UnreadableError | None = None
    for dialect in possible_dialects(body.text, body.start, plain):
        try:
            rows = _read_rows(body, dialect)
        except _UnreadableError as error:
            problem = error if problem is None or dialect == plain else problem
            continue
        if plain.delimiter == "\t" and dialect.has_quotes and _may_be_bare(body.text):
            # Where every line is a row if quotes are no quotes, a quote that joined lines was part of a text.
            bare = replace(plain, has_quotes=False)
            try:
                lines = _read_rows(body, bare)
            except _UnreadableError:
                return rows, dialect
            return (lines, bare) if lines.count > rows.count else (rows, dialect)
        return rows, dialect
    assert problem is not None
    raise problem


def _may_be_bare(text: str) -> bool:
    """Tell whether quotes may be no more than characters: none is doubled, and the header is without them."""
    return '"' in text and '""' not in text and not text.startswith('"')


def _read_rows(body: _Body, dialect: Dialect) -> _Rows:
    """Return the rows as one way of writing reads them.

    Raises:
        _UnreadableError: a row with more or fewer fields than the header, or quotes where none may be.
    """
    text, start, stand_in = body.text, body.start, ""
    if dialect.escapes == "quotes":
        stand_in = next(char for char in map(chr, _STAND_IN) if char not in text)
        text, start = text[start:].replace('\\"', stand_in), 0
    batches: list[list[pa.Array]] = [[] for _ in body.places]
    pending: list[list[str]] = []
    num_rows = num_padded = num_empty = 0
    lines, empty_lines = array("q"), array("q")
    for row, line in _records(text, start, dialect, body):
        if len(row) != body.width:
            if len(row) < body.width or any(row[body.num_names :]):
                raise _UnreadableError(_describe_ragged(row, num_rows + num_empty + 1, line, body.num_names))
            num_padded += len(row) > body.num_names
        if body.width > 1 and not any(row):
            num_empty += 1
            empty_lines.append(line)
            continue
        pending += [[""] * body.width] * num_empty  # not at the end: the checks will name them
        lines.extend((*empty_lines, line))
        del empty_lines[:]
        num_rows, num_empty = num_rows + 1 + num_empty, 0
        pending.append(row)
        if len(pending) >= _BATCH_ROWS:
            _flush(pending, batches, body.places, stand_in)
    _flush(pending, batches, body.places, stand_in)
    columns = [pa.chunked_array(parts, pa.string()) for parts in batches]
    return _Rows(columns, num_rows, num_padded, num_empty, np.asarray(lines, np.int64))


def _records(text: str, start: int, dialect: Dialect, body: _Body) -> Iterator[tuple[list[str], int]]:
    """Yield every row that is not an empty line, with the line that it begins in."""
    reader = csv.reader(
        _lines(text, start, body.newline),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.has_quotes else csv.QUOTE_NONE,
        skipinitialspace=dialect.skips_blanks,
        escapechar="\\" if dialect.escapes == "all" else None,
        strict=True,
    )
    with _fields_of_any_size():
        begin = 1
        try:
            for row in reader:
                if row:
                    yield row, body.line + begin
                begin = reader.line_num + 1
        except csv.Error as error:
            raise _UnreadableError(f"line {body.line + begin}: {_in_our_words(error)}") from None


def _flush(pending: list[list[str]], batches: Sequence[list[pa.Array]], places: Sequence[int], stand_in: str) -> None:
    """Move the wanted fields of the rows so far into Arrow arrays."""
    for place, arrays in zip(places, batches, strict=True):
        fields: list[str | None] = [row[place] for row in pending]
        if stand_in:
            fields = [field.replace(stand_in, '"') for field in fields if field is not None]
        arrays.append(pa.array([None if field == _NULL else field for field in fields], pa.string()))
    pending.clear()


def _lines(text: str, start: int, newline: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, without a copy of all of it."""
    while start < len(text):
        end = text.find(newline, start) + 1 or len(text)
        yield text[start:end]
        start = end


def _newline_of(text: str) -> str:
    """Return the character that ends lines: that of the first one, so that a stray carriage return is an error."""
    first = re.search(r"\r+\n?|\n", text)  # Windows makes \r\r\n of \r\n that is written as text
    return "\r" if first and not first[0].endswith("\n") else "\n"


@contextmanager
def _fields_of_any_size() -> Iterator[None]:
    """Lift the limit that `csv` sets to a field (128 KiB, for the whole process)."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _describe_ragged(row: Sequence[str], number: int, line: int, width: int) -> str:
    start = ascii(row[0] if row else "")
    start = start if len(start) <= 40 else f"{start[:37]}..."
    return f"row {number} (line {line}, {start}) has {len(row)} fields where the header has {width}"


def _in_our_words(error: csv.Error) -> str:
    words = str(error)
    if "unexpected end of data" in words:
        return "a quote is opened here and never closed"
    if "expected after" in words:
        return "a quote inside a quoted field is not doubled"
    return "a carriage return outside of quotes" if "new-line character" in words else words


def _notes_on(rows: _Rows, origin: str) -> list[str]:
    notes = []
    if rows.num_padded:
        notes.append(f"{origin}: {rows.num_padded:,} rows end with empty fields that the header has no names for")
    if rows.num_empty:
        notes.append(f"{origin}: {rows.num_empty:,} rows at the end without any value are left out")
    return notes


def _remedy(path: Path, delimiter: str) -> str:
    """Return how such a file is made readable: by the program that wrote it, or by saying what its quotes mean."""
    target = f"{format_of(path).stem}.parquet"
    options = f"sep={delimiter!r}, quoting=3"
    call = f"pandas.read_csv('{path.name}', {options}).to_parquet('{target}')"
    return (
        "; write texts with separators or quotes in quotes, and quotes in them doubled; or, where quotes are part of "
        f'the texts: `python -c "import pandas; {call}"`'
    )
