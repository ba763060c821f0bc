"""JSON: one object a line, an array of objects, or an object of columns; whichever of them a file holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from raybert.data.formats import format_of
from raybert.data.raw import RawTable, find_columns, first_line, tidy, to_array
from raybert.data.text_files import read_text
from raybert.errors import DataError

_BLANKS = " \t\n\r"


def read_json(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    """Return the wanted columns of a file of JSON.

    What the file holds decides, not its ending: an array in a `.jsonl` and lines in a `.json` are read, with a note.

    Raises:
        DataError: not valid JSON, with the line; not a table; a missing column; values of several kinds.
    """
    origin = f"'{path}'"
    text, notes = read_text(path)
    document = _Document(text, origin, frozenset(tidy(column) for column in wanted.values()))
    usual = "an array of objects" if format_of(path).ending == ".json" else "one object a line"
    columns, form = document.columns()
    if not columns.names:
        raise DataError(f"data.source: {origin} is empty (0 rows)")
    names = [*columns.names]
    places, found = find_columns(names, wanted, optional, origin)
    arrays = {key: to_array(columns.values[names[place]], key, names[place], origin) for key, place in places.items()}
    read_as = () if form == usual else (f"{origin}: read as {form}",)
    return RawTable(pa.table(arrays), notes=(*notes, *read_as, *found))


def read_all_json(path: Path, wanted: Mapping[str, str]) -> pa.Table:
    """Return a file of JSON with all its columns; one whose values are of several kinds as texts of JSON."""
    text, _ = read_text(path)
    columns, _ = _Document(text, f"'{path}'", None).columns()
    return pa.table({name: _any_array(values) for name, values in columns.values.items()})


def _any_array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())


@dataclass
class _Columns:
    """Rows one by one become columns, of which only those that may be wanted are kept.

    Attributes:
        candidates: the wanted names, tidied; None: all are wanted.
        names: of all columns, in the order in which they come.
        values: of those that may be wanted.
        count: rows.
    """

    candidates: frozenset[str] | None
    names: dict[str, None] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row; a key that it lacks is a missing value."""
        for name in row:
            if name not in self.names:
                self.names[name] = None
                if self.candidates is None or tidy(name) in self.candidates:
                    self.values[name] = [None] * self.count
        for name, values in self.values.items():
            values.append(row.get(name))
        self.count += 1


class _Document:
    """The text of a file, read value by value.

    Args:
        text: of the file.
        origin: what to call it.
        candidates: the wanted names, tidied.
    """

    def __init__(self, text: str, origin: str, candidates: frozenset[str] | None) -> None:
        self._text, self._origin, self._candidates = text, origin, candidates
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def columns(self) -> tuple[_Columns, str]:
        """Return the columns, and the form in which the file has them."""
        start = self._skip(0)
        if self._text[start : start + 1] == "[":
            return self._collect(self._elements(start + 1)), "an array of objects"
        if start < len(self._text):
            first, end = self._decode(start)
            if isinstance(first, dict) and self._skip(end) == len(self._text):
                return self._of_object(first)
        return self._collect(self._values(start)), "one object a line"

    def _collect(self, rows: Iterable[Any]) -> _Columns:
        columns = _Columns(self._candidates)
        for row in rows:
            columns.add(row)
        return columns

    def _values(self, start: int) -> Iterator[dict[str, Any]]:
        """Yield objects that stand one after another."""
        while start < len(self._text):
            value, end = self._decode(start)
            yield self._checked(value, start)
            start = self._skip(end)

    def _elements(self, start: int) -> Iterator[dict[str, Any]]:
        """Yield the objects of an array that begins before `start`."""
        start = self._skip(start)
        while self._text[start : start + 1] != "]":
            value, end = self._decode(start)
            yield self._checked(value, start)
            start = self._skip(end)
            if self._text[start : start + 1] == ",":
                start = self._skip(start + 1)
            elif self._text[start : start + 1] != "]":
                raise self._invalid(start, "',' or ']' expected")
        if self._skip(start + 1) < len(self._text):
            raise self._invalid(self._skip(start + 1), "nothing expected after the array")

    def _of_object(self, document: dict[str, Any]) -> tuple[_Columns, str]:
        """Return the columns of a file that is one object, in the ways in which pandas and others write tables so."""
        tables = [key for key, value in document.items() if _is_table(value)]
        own = [value for name, value in document.items() if self._is_wanted(name)]
        columns = _Columns(self._candidates)
        if own and all(isinstance(value, (list, dict)) for value in own):
            columns.names = dict.fromkeys(document)
            found = {name: value for name, value in document.items() if self._is_wanted(name)}
            columns.values = {name: [*(v.values() if isinstance(v, dict) else v)] for name, v in found.items()}
            keys = {tuple(value) if isinstance(value, dict) else len(value) for value in own}
            if len(keys) > 1:
                sizes = ", ".join(f"{len(values)} of '{name}'" for name, values in columns.values.items())
                raise DataError(f"data.source: {self._origin} must have columns of one length, got {sizes}")
            return columns, "an object of columns"
        if not own and isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
            names, rows = [str(name) for name in document["columns"]], document["data"]
            if all(isinstance(row, list) and len(row) == len(names) for row in rows):
                return self._collect(dict(zip(names, row, strict=True)) for row in rows), "an object of rows"
        if not own and len(tables) == 1:
            return self._collect(document[tables[0]]), f"the array '{tables[0]}' of an object"
        if not own and document and all(isinstance(row, dict) for row in document.values()):
            return self._collect(document.values()), "an object of rows"
        return self._collect([document]), "one object a line"

    def _is_wanted(self, name: str) -> bool:
        return self._candidates is None or tidy(name) in self._candidates

    def _decode(self, start: int) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            is_other = error.pos == start == self._skip(0)
            hint = "; if it is a table with separators, let its name end with .csv" if is_other else ""
            raise self._invalid(error.pos, error.msg + hint) from None
        except (ValueError, RecursionError) as error:
            raise self._invalid(start, first_line(error)) from None

    def _object(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs if self._candidates is not None and self._is_wanted(name)]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"'{twice}' is given twice in one object")
        return found

    def _checked(self, value: Any, start: int) -> dict[str, Any]:
        if not isinstance(value, dict):
            line = self._line_of(start)
            raise DataError(
                f"data.source: {self._origin} line {line} must be a JSON object, got {type(value).__name__}"
            )
        return value

    def _invalid(self, place: int, words: str) -> DataError:
        return DataError(f"data.source: {self._origin} line {self._line_of(place)} is not valid JSON: {words}")

    def _line_of(self, place: int) -> int:
        return self._text.count("\n", 0, place) + 1

    def _skip(self, start: int) -> int:
        """Return where the next character that is not blank stands, or the end."""
        while start < len(self._text) and self._text[start] in _BLANKS:
            start += 1
        return start


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
