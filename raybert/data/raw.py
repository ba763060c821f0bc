"""A split as its source has it: the wanted columns, what was recognised, and how rows are named in messages."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raybert.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev", "validation_matched"),
    "test": ("test", "test_matched"),
}
"""Split -> the names that it goes by in folders and on the hub."""


@dataclass(frozen=True)
class RawTable:
    """The wanted columns of one split as the source has them.

    Attributes:
        rows: columns named text, [text_pair], label, [id], [group].
        class_names: what the source says its integer labels stand for, or None.
        labels_are_text: the labels are text of a file without types (csv), which may stand for numbers.
        notes: what was recognised in the files, for the user.
        files: the files that the rows are from, and how many rows each has; none: they are not from files.
        row_numbers: (m,) which rows of the source these are, where some were left out; None: all.
        lines: (rows of the source,) the line of its file in which each begins; None: not known.
    """

    rows: pa.Table
    class_names: tuple[str, ...] | None = None
    labels_are_text: bool = False
    notes: tuple[str, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    row_numbers: np.ndarray | None = None
    lines: np.ndarray | None = None

    def keep(self, wanted: np.ndarray) -> RawTable:
        """Return the table with the rows of a (m,) bool mask only; messages still call them by their old numbers."""
        numbers = np.arange(self.rows.num_rows) if self.row_numbers is None else self.row_numbers
        return replace(self, rows=self.rows.filter(pa.array(wanted)), row_numbers=numbers[wanted])

    def describe_rows(self, rows: Sequence[int] | np.ndarray) -> str:
        """Return `rows 2, 3 (from 1) of 'train.csv'` for positions: of the first file, at most five."""
        places = np.asarray(rows) if self.row_numbers is None else self.row_numbers[np.asarray(rows)]
        start, name = 0, ""
        for file, count in self.files:
            if places[0] < start + count:
                places, name = places[places < start + count] - start, f" of '{file}'"
                break
            start += count
        words = f"row{'s' if len(places) > 1 else ''} {_first(places + 1)} (from 1){name}"
        if self.lines is None:
            return words
        return f"{words}, line{'s' if len(places) > 1 else ''} {_first(self.lines[places + start])}"


def _first(numbers: np.ndarray) -> str:
    """Return the first five of some numbers."""
    return ", ".join(map(str, numbers[:5].tolist())) + (", ..." if len(numbers) > 5 else "")


def concatenate(shards: Sequence[RawTable]) -> RawTable:
    """Return the rows of all shards of a split.

    Raises:
        DataError: they differ in what their columns or their class numbers mean.
    """
    first = shards[0]
    for shard in shards:
        if shard.class_names != first.class_names:
            one, other = (f"{list(part.class_names or ())} in '{part.files[0][0]}'" for part in (first, shard))
            raise DataError(
                f"data.label: the shards of a split must have the same class names, got {one} and {other}; write them "
                "anew"
            )
    try:
        rows = pa.concat_tables([shard.rows for shard in shards], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"data.source: the shards of a split must have the same types: {first_line(error)}") from None
    return RawTable(
        rows,
        first.class_names,
        all(shard.labels_are_text for shard in shards),
        tuple(dict.fromkeys(note for shard in shards for note in shard.notes)),
        tuple(file for shard in shards for file in shard.files),
        lines=None if any(shard.lines is None for shard in shards) else np.concatenate([s.lines for s in shards]),
    )


def find_columns(
    names: Sequence[str], wanted: Mapping[str, str], optional: Collection[str], origin: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return key -> place of its column among `names`, without optional columns that are not there, and notes.

    A key is one of the `data` section, or what asks for the column in words: `sweep.strategies: 'mine'`.

    A name that differs from the one asked for only by blanks around it or characters that cannot be seen is that one,
    if it is the only such name.

    Raises:
        DataError: names the key, the columns there are, and the nearest one; or the column is there several times.
    """
    places, notes = {}, []
    for key, column in wanted.items():
        matches = [place for place, name in enumerate(names) if name == column]
        if not matches:
            matches = [place for place, name in enumerate(names) if tidy(name) == tidy(column)]
            notes += [f"{origin}: column {names[place]!r} is taken for '{column}'" for place in matches]
        if not matches and key in optional:
            continue
        where, remedy = (f"data.{key}", f"set data.{key} to one of these") if key.isidentifier() else (key, "name one")
        if len(matches) > 1:
            raise DataError(f"{where}: {origin} has {len(matches)} columns named '{column}'; rename all but one")
        if not matches:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else remedy
            raise DataError(f"{where}: {origin} has no column '{column}'; it has {_listed(names)}; {hint}")
        places[key] = matches[0]
    return places, tuple(notes)


def has_columns(names: Sequence[str], wanted: Mapping[str, str], optional: Collection[str]) -> bool:
    """Tell whether every column that must be there is."""
    there = {tidy(name) for name in names}
    return all(key in optional or tidy(column) in there for key, column in wanted.items())


def check_columns(names: list[str], wanted: Mapping[str, str], origin: str) -> None:
    """Check that a source has every wanted column, once.

    Raises:
        DataError: as `find_columns`.
    """
    find_columns(names, wanted, (), origin)


def tidy(name: str) -> str:
    """Return a name without blanks around it and without characters that cannot be seen."""
    return "".join(char for char in name if unicodedata.category(char) not in {"Cf", "Cc"} or char.isspace()).strip()


def to_array(values: Sequence[Any] | pd.Series[Any], key: str, name: str, origin: str) -> pa.Array:
    """Return Python values as a column.

    Raises:
        DataError: they are of several kinds, or half of a surrogate pair is among them; says in which row.
    """
    try:
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError) as error:
        values = list(values)
        column = f"data.{key}: column '{name}' of {origin}"
        half = next((row for row, value in enumerate(values) if isinstance(value, str) and has_half_pair(value)), None)
        if half is not None:
            raise DataError(
                f"{column} must hold whole characters, got half of a surrogate pair ({_half_of(values[half])}) in row "
                f"{half + 1} (from 1); remove it or write the file anew"
            ) from None
        raise DataError(f"{column} must hold values of one kind, got {_mixture(values, first_line(error))}") from None


def has_half_pair(text: str) -> bool:
    """Tell whether a text holds half of a surrogate pair, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _half_of(text: str) -> str:
    return next(f"\\u{ord(char):04x}" for char in text if 0xD800 <= ord(char) <= 0xDFFF)


def _mixture(values: Sequence[Any], otherwise: str) -> str:
    """Return the first two values of different kinds, with their rows."""
    kinds: dict[type, int] = {}
    for row, value in enumerate(values):
        if value is not None and value == value:  # NaN is a missing value
            kinds.setdefault(type(value), row)
    if len(kinds) < 2:
        return otherwise
    one, other = list(kinds.items())[:2]
    return (
        " and ".join(f"{kind_of(values[row])} {_shown(values[row])} in row {row + 1}" for _, row in (one, other))
        + " (from 1); write all of them as strings, or all as numbers"
    )


def kind_of(value: Any) -> str:
    """Return what a value is, in words of JSON."""
    words = {bool: "truth value", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return words.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in names[:20]) or "none"
    return shown if len(names) <= 20 else f"{shown}, ... ({len(names)} in all)"
