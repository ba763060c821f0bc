"""Columns of a source by the ids of its examples: what strategies read of the data besides text and label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.data.columns import is_text, plain_array
from raybert.data.formats import format_of
from raybert.data.identity import example_ids
from raybert.data.kinds import source_kind
from raybert.data.local import files_of_split
from raybert.data.noise import clean_id
from raybert.data.raw import find_columns
from raybert.data.sources import SourceTables, read_source
from raybert.data.splits import SPLITS
from raybert.data.whole_source import whole_table
from raybert.errors import DataError

_NUMBER = r"^\s*[-+]?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?\s*$"
"""Of a file without types; what begins with 0 as codes and telephone numbers do stays text."""
_NO_NUMBER = r"^\s*[-+.eE]*\s*$"
_DATES = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time)


@dataclass(frozen=True)
class SourceColumns:
    """Some columns of a source, of all examples that it has.

    Attributes:
        source: its name, for errors.
        places: id of an example -> its row.
        table: the columns by name, each of numbers, truth values or texts.
    """

    source: str
    places: Mapping[str, int]
    table: pa.Table

    def of(self, ids: Sequence[str]) -> pa.Table:
        """Return the columns of some examples, in their order.

        Raises:
            DataError: an example is of a split that lacks the columns, or the source has changed meanwhile.
        """
        rows = [self.places.get(name, self.places.get(clean_id(name))) for name in ids]  # noise keeps what it came from
        if any(row is None for row in rows):
            names = ", ".join(self.table.column_names)
            raise DataError(
                f"data.source: '{self.source}' must have the columns that strategies read ({names}) in every split "
                "that the pool is made of, and must not change while it is read"
            )
        return self.table.take(pa.array(rows, pa.int64()))


def read_source_columns(config: DataConfig, wanted: Mapping[str, str], cache_folder: Path) -> SourceColumns:
    """Return columns of a source by the ids that its examples have in a study, whatever the splits or folds are.

    Numbers are float64 (int64 where all are whole and none is missing), truth values are bool, all else is text. A csv
    file has no types: a column of it all of whose values are numbers is one of numbers.

    Args:
        config: the `data` section.
        wanted: what asks for a column, in words -> its name.
        cache_folder: where the parsed built-in corpus is kept.

    Raises:
        DataError: the train table lacks a column, or it holds lists, say.
    """
    source = read_source(config, cache_folder)
    parts: dict[str, pa.Table] = {}
    for split in [split for split in SPLITS if split in source.tables]:
        whole = whole_table(config, cache_folder, split)
        optional = () if split == "train" else tuple(wanted)
        places, _ = find_columns(whole.column_names, wanted, optional, f"{split} of '{config.source}'")
        if len(places) == len(wanted):
            rows = pa.array(source.rows[split])
            columns = {wanted[key]: whole.column(place).take(rows) for key, place in places.items()}
            parts[split] = pa.table(columns)
    typed = not _is_without_types(config.source)
    names = dict.fromkeys(wanted.values())
    table = pa.table(
        {
            name: _plain_values([part[name] for part in parts.values()], f"column '{name}' of '{config.source}'", typed)
            for name in names
        }
    )
    return SourceColumns(config.source, _places(source, list(parts), joined=config.folds is not None), table)


def digest_of_column(values: pa.ChunkedArray | pa.Array) -> str:
    """Return the SHA-256 of the type and the values of a column in their order."""
    digest = hashlib.sha256(str(values.type).encode())
    if pa.types.is_large_string(values.type):
        lengths = pc.fill_null(pc.binary_length(values), -1)
        digest.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        digest.update("".join(text for text in values.to_pylist() if text is not None).encode())
    else:
        digest.update(np.ascontiguousarray(to_numpy(values)).tobytes())
    return digest.hexdigest()


def to_numpy(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return a column of `SourceColumns` as strategies get it: int64, float64, bool, or texts (None: missing)."""
    if pa.types.is_large_string(values.type):
        found = np.empty(len(values), object)
        found[:] = values.to_pylist()
        return found
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _places(source: SourceTables, splits: Sequence[str], *, joined: bool) -> dict[str, int]:
    """Return the row of every example in the rows of some splits, one after the other.

    Args:
        source: the examples.
        splits: those whose rows are there.
        joined: ids are those of all splits together, as with folds; else every split has its own.
    """
    given = [split for split in SPLITS if split in source.tables]
    if joined:
        ids = example_ids(pa.concat_tables([source.tables[split] for split in given]), source.label_names).to_pylist()
        ends = np.cumsum([source.tables[split].num_rows for split in given]).tolist()
        of_split = {
            split: ids[end - source.tables[split].num_rows : end] for split, end in zip(given, ends, strict=True)
        }
    else:
        of_split = {split: example_ids(source.tables[split], source.label_names).to_pylist() for split in given}
    places: dict[str, int] = {}
    names = (name for split in splits for name in of_split[split])
    for row, name in enumerate(names):
        places.setdefault(name, row)  # an id that two splits have is train's
    return places


def _plain_values(parts: Sequence[pa.ChunkedArray], where: str, typed: bool) -> pa.Array:
    """Return the values of a column in all splits as one array of numbers, truth values or texts.

    Raises:
        DataError: they are something else.
    """
    arrays = [_of_simple_type(plain_array(part, "source", where), where, typed) for part in parts]
    kinds = {array.type for array in arrays if len(array)}
    if len(kinds) > 1:  # numbers here, texts there
        kind = pa.large_string() if pa.large_string() in kinds else pa.float64()
        arrays = [array.cast(kind) for array in arrays]
    return pa.concat_arrays(arrays)


def _of_simple_type(values: pa.Array, where: str, typed: bool) -> pa.Array:
    kind = values.type
    if is_text(kind):
        return values.cast(pa.large_string()) if typed else _numbers_if_all_are(values)
    if pa.types.is_boolean(kind) and not values.null_count:
        return values
    if pa.types.is_integer(kind) and not values.null_count and not pa.types.is_uint64(kind):
        return values.cast(pa.int64())
    if any(check(kind) for check in _DATES):
        return values.cast(pa.string()).cast(pa.large_string())
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_number or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        whole = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
        return pc.fill_null(whole.cast(pa.float64(), safe=False), float("nan"))
    raise DataError(f"data.source: {where} must hold numbers, truth values, dates or texts to be read, got {kind}")


def _numbers_if_all_are(values: pa.Array) -> pa.Array:
    """Return texts of a file without types as numbers, if all that are not empty are; else as they are."""
    empty = pc.or_kleene(pc.is_null(values), pc.match_substring_regex(values, r"^\s*$")).fill_null(True)
    looks = pc.and_(pc.match_substring_regex(values, _NUMBER), pc.invert(pc.match_substring_regex(values, _NO_NUMBER)))
    if not pc.all(pc.or_(empty, looks.fill_null(False))).as_py() or pc.all(empty).as_py():
        return values.cast(pa.large_string())
    trimmed = pc.if_else(empty, pa.scalar(None, pa.string()), pc.utf8_trim_whitespace(values))
    numbers = np.array([np.nan if text is None else float(text) for text in trimmed.to_pylist()])
    if np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all() and np.abs(numbers).max() < 2**53:
        return pa.array(numbers.astype(np.int64))
    return pa.array(numbers)


def _is_without_types(source: str) -> bool:
    """Tell whether a source is csv files, in which everything is text."""
    if source_kind(source) != "local":
        return False
    files = files_of_split(Path(source).expanduser())
    return bool(files) and all(format_of(file).ending in (".csv", ".tsv") for file in files)
