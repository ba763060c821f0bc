"""Local files: parquet, csv and jsonl, one file or a folder with a file per split."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from raybert.config import suggest
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
    """

    rows: pa.Table
    class_names: tuple[str, ...] | None = None


def read_local(path: Path, wanted: Mapping[str, str]) -> dict[str, RawTable]:
    """Return the tables of a file (as `train`) or of a folder with one file (or numbered shards) per split.

    Args:
        path: the file or folder.
        wanted: key of the `data` section -> name of the column it asks for.

    Raises:
        DataError: nothing there, a format that is not read, or a file with something wrong in it.
    """
    if not path.exists():
        raise DataError(f"data.source: no such file or folder '{path}'{_similar(path)}")
    if path.is_file():
        return {"train": read_table(path, wanted)}
    files = _split_files(path)
    if "train" not in files:
        names = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise DataError(
            f"data.source: folder '{path}' must hold train{'|train'.join(READERS)} "
            f"(and validation, test if there are any), got {names}"
        )
    return {split: _concatenate([read_table(shard, wanted) for shard in shards]) for split, shards in files.items()}


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
    if not path.exists():
        raise DataError(f"data.source: no such file or folder '{path}'{_similar(path)}")
    if path.is_file():
        return read_table(path, wanted, optional)
    files = _split_files(path).get(split)
    if not files:
        names = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise DataError(f"data.source: folder '{path}' must hold {split}{f'|{split}'.join(READERS)}, got {names}")
    return _concatenate([read_table(shard, wanted, optional) for shard in files])


def read_table(path: Path, wanted: Mapping[str, str], optional: Collection[str] = ()) -> RawTable:
    """Return the wanted columns of one file.

    Args:
        path: the file.
        wanted: key of the `data` section -> name of the column it asks for.
        optional: keys that are left out where there is no such column.

    Raises:
        DataError: unknown format, missing column, unreadable content, or no rows.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"data.source: '{path}' must be a {', '.join(READERS)} file, got '{path.suffix}'")
    if path.stat().st_size == 0:
        raise DataError(f"data.source: '{path}' is empty (0 bytes)")
    table: RawTable = reader(path, wanted, optional)
    if table.rows.num_rows == 0:
        raise DataError(f"data.source: '{path}' is empty (0 rows)")
    return table


def read_frame(frame: pd.DataFrame, wanted: Mapping[str, str], optional: Collection[str] = ()) -> RawTable:
    """Return the wanted columns of a table of somebody else's; arguments and errors as for `read_table`."""
    names, origin = [str(name) for name in frame.columns], "the table"
    wanted = _present(names, wanted, optional, origin)
    if frame.empty:
        raise DataError(f"data.source: {origin} is empty (0 rows)")
    columns = {}
    for key, column in wanted.items():
        values = frame.iloc[:, names.index(column)].astype(object)  # a category is what it stands for
        columns[key] = _of_one_kind(values, key, column, origin)
    return RawTable(pa.table(columns))


def _present(names: list[str], wanted: Mapping[str, str], optional: Collection[str], origin: str) -> Mapping[str, str]:
    """Return what is wanted without the optional columns that are not there; the rest is checked."""
    present = {key: column for key, column in wanted.items() if key not in optional or column in names}
    check_columns(names, present, origin)
    return present


def check_columns(names: list[str], wanted: Mapping[str, str], origin: str) -> None:
    """Check that a source has every wanted column, once.

    Raises:
        DataError: names the key, the columns there are, and the nearest one.
    """
    for key, column in wanted.items():
        if names.count(column) == 1:
            continue
        if column in names:
            raise DataError(
                f"data.{key}: {origin} has {names.count(column)} columns named '{column}'; rename all but one"
            )
        near = difflib.get_close_matches(column, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(f"data.{key}: {origin} has no column '{column}'; it has {', '.join(names)}{hint}")


def _read_parquet(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    try:
        with pq.ParquetFile(path) as file:
            wanted = _present(file.schema_arrow.names, wanted, optional, f"'{path}'")
            rows = file.read(columns=list(dict.fromkeys(wanted.values())))
            metadata = file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"data.source: '{path}' cannot be read as parquet: {_first_line(error)}") from None
    return RawTable(_by_key(rows, wanted), _class_names(metadata, wanted.get("label")))


def _class_names(metadata: Mapping[bytes, bytes], column: str | None) -> tuple[str, ...] | None:
    """Return the names of a ClassLabel column that `datasets` wrote into a parquet file's metadata."""
    if b"huggingface" not in metadata or column is None:
        return None
    feature = json.loads(metadata[b"huggingface"]).get("info", {}).get("features", {}).get(column, {})
    return tuple(feature["names"]) if isinstance(feature, dict) and feature.get("names") else None


def _read_csv(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    text = read_utf8(path)
    try:
        names = next((row for row in csv.reader(io.StringIO(text)) if row), [])
    except csv.Error as error:
        raise DataError(f"data.source: '{path}' cannot be read as csv: {error}") from None
    wanted = _present(names, wanted, optional, f"'{path}'")
    encoded = text.encode()
    columns = list(dict.fromkeys(wanted.values()))
    try:
        rows = pyarrow.csv.read_csv(
            pa.BufferReader(encoded),
            # a row must fit into a block
            read_options=pyarrow.csv.ReadOptions(block_size=min(max(len(encoded), 1 << 20), 1 << 28)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.string())
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"data.source: '{path}' cannot be read as csv: {_first_line(error)}") from None
    rows = _by_key(rows, wanted)
    if "label" not in wanted:
        return RawTable(rows)
    index = rows.column_names.index("label")
    return RawTable(rows.set_column(index, "label", _parse_numbers(rows["label"])))


def _parse_numbers(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the labels of a csv file as numbers if all that are given are numbers, else as they are."""
    labels = pc.if_else(pc.equal(labels, ""), None, labels)
    for number in (pa.int64(), pa.float64()):
        try:
            return labels.cast(number)
        except pa.ArrowInvalid:
            continue
    return labels


def _read_jsonl(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"data.source: '{path}' line {number} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"data.source: '{path}' line {number} must be a JSON object, got {type(row).__name__}")
        rows.append(row)
    if not rows:
        raise DataError(f"data.source: '{path}' is empty (0 rows)")
    origin = f"'{path}'"
    wanted = _present(list(dict.fromkeys(name for row in rows for name in row)), wanted, optional, origin)
    columns = {key: _of_one_kind([row.get(name) for row in rows], key, name, origin) for key, name in wanted.items()}
    return RawTable(pa.table(columns))


def _of_one_kind(values: list[Any] | pd.Series[Any], key: str, name: str, origin: str) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise DataError(
            f"data.{key}: column '{name}' of {origin} must hold values of one kind: {_first_line(error)}"
        ) from None


READERS = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}
"""Suffix -> how such a file is read."""


def read_utf8(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DataError: not UTF-8; says where, and how to convert it.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"data.source: '{path}' must be UTF-8 text, got byte 0x{content[error.start]:02x} at position "
            f"{error.start} (line {line}); convert it first, e.g. `iconv -f latin1 -t utf-8`"
        ) from None


def _by_key(rows: pa.Table, wanted: Mapping[str, str]) -> pa.Table:
    return pa.table({key: rows[column] for key, column in wanted.items()})


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """Return split -> its files: `train.csv`, or shards `train-00000-of-00002.parquet`."""
    found: dict[str, list[Path]] = {}
    for split, names in SPLIT_NAMES.items():
        pattern = re.compile(rf"({'|'.join(names)})(-\d+-of-\d+)?")
        files = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in READERS and pattern.fullmatch(f.stem)]
        whole = [f for f in files if "-of-" not in f.stem]
        if len(files) > 1 and whole:
            raise DataError(
                f"data.source: folder '{folder}' must hold one file for {split}, "
                f"got {', '.join(file.name for file in files)}"
            )
        if files:
            found[split] = files
    return found


def _concatenate(shards: list[RawTable]) -> RawTable:
    try:
        rows = pa.concat_tables([shard.rows for shard in shards], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"data.source: the shards of a split must have the same types: {_first_line(error)}") from None
    return RawTable(rows, shards[0].class_names)


def _similar(path: Path) -> str:
    return suggest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
