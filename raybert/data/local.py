"""Local data: one file, or a folder with a file (or numbered shards) per split, in any format that is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from raybert.config import suggest
from raybert.data.arrow_files import column_names, is_saved_folder, read_arrow, read_parquet, read_saved
from raybert.data.csv_files import check_header, read_csv
from raybert.data.formats import FORMATS, PACKED, describe_conversion, format_of
from raybert.data.json_files import read_json
from raybert.data.raw import SPLIT_NAMES, RawTable, concatenate, find_columns, to_array
from raybert.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_READERS: dict[str, Callable[[Path, Mapping[str, str], Collection[str]], RawTable]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json,
    ".json": read_json,
    ".arrow": read_arrow,
}


TEST_SETS = ("test", "validation", "train")
"""Which split of a source is a test set, in this order, where nobody says."""
_FIRST_FORMATS = (".parquet", ".csv", ".jsonl")
"""What raybert 0.1 read: a file of another format beside one of these is not read, as then."""
_SMALL = 16 << 20
"""Bytes of a text file that take no time to look at; of larger ones nothing is looked at before they are read."""
_NO_DATA = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<!doctype html": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
}
"""How files begin that stand where data should be, and what they are."""


@dataclass(frozen=True)
class _SplitFiles:
    """The files of a split in a folder.

    Attributes:
        read: one file, or shards.
        beside: of formats that give way to theirs.
    """

    read: list[Path]
    beside: list[Path]


def read_local(path: Path, wanted: Mapping[str, str]) -> dict[str, RawTable]:
    """Return the tables of a file (as `train`) or of a folder with one file (or numbered shards) per split.

    Args:
        path: the file or folder.
        wanted: key of the `data` section -> name of the column it asks for.

    Raises:
        DataError: nothing there, a format that is not read, or a file with something wrong in it.
    """
    _check_is_there(path)
    if not path.is_dir():
        return {"train": read_table(path, wanted)}
    if is_saved_folder(path):
        return read_saved(path, wanted, ())
    files = _split_files(path)
    if "train" not in files:
        raise _lacks_split(path, "train", "; validation and test may be beside it")
    return {split: _read_shards(shards, wanted, ()) for split, shards in files.items()}


def look_at_local(path: Path, wanted: Mapping[str, str], optional: Collection[str] = (), split: str = "train") -> None:
    """Refuse what `read_local` would, as far as it can be seen without reading the rows.

    Args:
        path: the file or folder.
        wanted: key of the `data` section -> name of the column it asks for.
        optional: keys that are left out where there is no such column.
        split: that a folder must have.

    Raises:
        DataError: nothing there, a format that is not read, no such split, or a missing column.
    """
    _check_is_there(path)
    if not path.is_dir():
        _look_at_table(path, wanted, optional)
    elif not is_saved_folder(path):
        files = _split_files(path)
        if split not in files:
            besides = "; validation and test may be beside it" if split == "train" else ""
            raise _lacks_split(path, split, besides)
        for found in files.values():
            _look_at_table(found.read[0], wanted, optional)


def look_at_train(path: Path, wanted: Mapping[str, str]) -> None:
    """Refuse a file or folder whose train table lacks a column, as far as `look_at_local` can see."""
    for file in files_of_split(path)[:1]:
        _look_at_table(file, wanted, ())


def has_split(path: Path, split: str) -> bool:
    """Tell whether a folder holds the table of a split; a file holds none but `train`."""
    if not path.is_dir():
        return split == "train"
    return split in (read_saved(path, {}, ()) if is_saved_folder(path) else _split_files(path))


def split_to_test(path: Path, split: str) -> str:
    """Return which split of a folder is a test set, if `split` does not say: test, else validation, else train."""
    if split != "auto" or not path.is_dir():
        return "test" if split == "auto" else split
    return next((one for one in TEST_SETS if has_split(path, one)), "test")


def files_of_split(path: Path, split: str = "train") -> list[Path]:
    """Return the files that hold the table of a split, in their order; none: `save_to_disk` wrote the folder."""
    if not path.is_dir():
        return [path]
    return [] if is_saved_folder(path) else _split_files(path)[split].read


def _look_at_table(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> None:
    _check_is_table(path)
    ending = format_of(path).ending
    if ending in (".parquet", ".arrow"):
        find_columns(column_names(path), wanted, optional, f"'{path}'")
    elif path.stat().st_size <= _SMALL:
        if ending in (".csv", ".tsv"):
            check_header(path, wanted, optional)
        else:
            read_json(path, wanted, optional)


def read_split(path: Path, split: str, wanted: Mapping[str, str], optional: Collection[str] = ()) -> RawTable:
    """Return the table of a file, whatever split it is, or of one split of a folder.

    Args:
        path: the file or folder.
        split: train, validation or test.
        wanted: key of the `data` section -> name of the column it asks for.
        optional: keys that are left out where there is no such column.

    Raises:
        DataError: nothing there, no such split, or what `read_table` raises.
    """
    _check_is_there(path)
    if not path.is_dir():
        return read_table(path, wanted, optional)
    if is_saved_folder(path):
        tables = read_saved(path, wanted, optional)
        if split not in tables:
            raise DataError(f"data.source: folder '{path}' must have a split '{split}', got {', '.join(tables)}")
        return tables[split]
    files = _split_files(path).get(split)
    if not files:
        raise _lacks_split(path, split)
    return _read_shards(files, wanted, optional)


def read_table(path: Path, wanted: Mapping[str, str], optional: Collection[str] = ()) -> RawTable:
    """Return the wanted columns of one file.

    Args:
        path: the file.
        wanted: key of the `data` section -> name of the column it asks for.
        optional: keys that are left out where there is no such column.

    Raises:
        DataError: unknown format, missing column, unreadable content, or no rows.
    """
    _check_is_table(path)
    table = _READERS[format_of(path).ending](path, wanted, optional)
    if table.rows.num_rows == 0:
        raise DataError(f"data.source: '{path}' is empty (0 rows)")
    return replace(table, files=((path.name, table.rows.num_rows),))


def _check_is_table(path: Path) -> None:
    """Refuse a file of a format that is not read, an empty one, and what stands in place of a file.

    Raises:
        DataError: says what to do.
    """
    if not format_of(path).is_read:
        got = "".join(path.suffixes[-2:]) if path.suffix in PACKED else path.suffix
        raise DataError(
            f"data.source: '{path}' must be a {', '.join(FORMATS)} file (text also packed: {', '.join(PACKED)}), "
            f"got '{got}'; {describe_conversion(path)}"
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(200).lstrip().lower()
    except OSError as error:
        raise DataError(f"data.source: '{path}' cannot be read: {error.strerror}") from None
    if size == 0:
        raise DataError(f"data.source: '{path}' is empty (0 bytes)")
    found = next((words for start, words in _NO_DATA.items() if beginning.startswith(start)), None)
    if found is not None:
        raise DataError(f"data.source: '{path}' must be a table, got {found}")


def read_frame(frame: pd.DataFrame, wanted: Mapping[str, str], optional: Collection[str] = ()) -> RawTable:
    """Return the wanted columns of a table of somebody else's; arguments and errors as for `read_table`."""
    names, origin = [str(name) for name in frame.columns], "the table"
    places, notes = find_columns(names, wanted, optional, origin)
    if frame.empty:
        raise DataError(f"data.source: {origin} is empty (0 rows)")
    columns = {}
    for key, place in places.items():
        values = frame.iloc[:, place].astype(object)  # a category is what it stands for
        columns[key] = to_array(values, key, names[place], origin)
    return RawTable(pa.table(columns), notes=notes)


def _check_is_there(path: Path) -> None:
    try:
        if path.exists():
            return
        folder = path.parent
        near = suggest(path.name, (entry.name for entry in folder.iterdir())) if folder.is_dir() else ""
    except OSError as error:
        raise DataError(f"data.source: '{path}' cannot be read: {error.strerror}") from None
    raise DataError(f"data.source: no such file or folder '{path}'{near}")


def _read_shards(files: _SplitFiles, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    table = concatenate([read_table(shard, wanted, optional) for shard in files.read])
    if not files.beside:
        return table
    note = f"{', '.join(path.name for path in files.beside)}: not read, {files.read[0].name} is beside it"
    return replace(table, notes=(*table.notes, note))


def _lacks_split(folder: Path, split: str, besides: str = "") -> DataError:
    names = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
    inner = next((entry for entry in sorted(folder.iterdir()) if entry.is_dir() and _may_hold(entry, split)), None)
    hint = f"; did you mean '{inner}'?" if inner else besides
    return DataError(f"data.source: folder '{folder}' must hold {split}{f'|{split}'.join(FORMATS)}, got {names}{hint}")


def _may_hold(folder: Path, split: str) -> bool:
    return is_saved_folder(folder) or split in _split_files(folder)


def _split_files(folder: Path) -> dict[str, _SplitFiles]:
    """Return split -> its files: `train.csv`, or shards `train-00000-of-00002.parquet`."""
    found: dict[str, _SplitFiles] = {}
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"data.source: folder '{folder}' cannot be read: {error.strerror}") from None
    for split, names in SPLIT_NAMES.items():
        pattern = re.compile(rf"({'|'.join(names)})(-\d+-of-\d+)?")
        files = [f for f in entries if format_of(f).is_read and pattern.fullmatch(format_of(f).stem)]
        first = [file for file in files if file.suffix.lower() in _FIRST_FORMATS]
        beside = [file for file in files if first and file not in first]
        files = first or files
        whole = [f for f in files if "-of-" not in format_of(f).stem]
        if len(files) > 1 and whole:
            raise DataError(
                f"data.source: folder '{folder}' must hold one file for {split}, "
                f"got {', '.join(file.name for file in files)}"
            )
        if files:
            found[split] = _SplitFiles(files, beside)
    return found
