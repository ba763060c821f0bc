"""Files with types: parquet, Arrow, and the folders that `datasets` saves; and the class names that they carry."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raybert.data.formats import format_of
from raybert.data.mapped import LARGEST_HELD, mapped, rows_at_once
from raybert.data.raw import SPLIT_NAMES, RawTable, find_columns, first_line
from raybert.data.rows import take_rows
from raybert.errors import DataError

_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError)
"""What readers raise for damaged files."""
_STREAMED: Any = {"pre_buffer": False, "buffer_size": 1 << 20}
"""Of a file that is read batch by batch: by default Arrow holds all of its compressed pages until it is closed."""


def read_parquet(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    """Return the wanted columns of a parquet file, with the class names that `datasets` wrote into it.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    try:
        with pq.ParquetFile(path, **_STREAMED) as file:
            schema = file.schema_arrow
            places, notes = find_columns(schema.names, wanted, optional, f"'{path}'")
            rows = _rows_of(file, list(dict.fromkeys(schema.names[place] for place in places.values())))
    except _DAMAGE as error:
        raise DataError(f"data.source: '{path}' cannot be read as parquet: {first_line(error)}") from None
    return _by_key(rows, schema, places, notes)


def _rows_of(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
    """Return columns of a parquet file; of a large one they are mapped."""
    size = sum(file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups))
    schema = pa.schema([file.schema_arrow.field(name) for name in columns if columns.count(name) == 1])
    fits = size <= LARGEST_HELD or file.schema_arrow.names != list(dict.fromkeys(file.schema_arrow.names))
    if fits or any(pa.types.is_dictionary(field.type) for field in schema):
        rows = file.read(columns=columns)
        rows.validate(full=True)  # damaged pages may decode to what is no text
        return rows

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in file.iter_batches(rows_at_once(file.metadata.num_rows, size), columns=columns):
            batch.validate(full=True)
            yield batch.select(columns)

    return mapped(batches, schema)


def number_of_rows(path: Path) -> int:
    """Return the rows of a parquet file; errors as for `read_parquet`."""
    return int(_metadata(path).num_rows)


def size_of_rows(path: Path) -> int:
    """Return the bytes of all columns of a parquet file when they are unpacked; errors as for `read_parquet`."""
    metadata = _metadata(path)
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except _DAMAGE as error:
        raise DataError(f"data.source: '{path}' cannot be read as parquet: {first_line(error)}") from None


def take_from_parquet(path: Path, rows: np.ndarray, plain: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Return rows of a parquet file with all its columns, in the order of the numbers, read block by block.

    Args:
        path: the file.
        rows: (m,) from 0.
        plain: returns a block with columns that rows can be taken of.

    Raises:
        DataError: it cannot be read.
    """
    order = np.argsort(rows, kind="stable")
    wanted, start, size = np.asarray(rows)[order], 0, size_of_rows(path)
    parts: list[pa.Table] = []
    try:
        with pq.ParquetFile(path, **_STREAMED) as file:
            for batch in file.iter_batches(rows_at_once(file.metadata.num_rows, size)):
                low, high = np.searchsorted(wanted, [start, start + batch.num_rows])
                parts.append(plain(pa.Table.from_batches([batch])).take(pa.array(wanted[low:high] - start)))
                start += batch.num_rows
    except _DAMAGE as error:
        raise DataError(f"data.source: '{path}' cannot be read: {first_line(error)}") from None
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return take_rows(pa.concat_tables(parts), back)


def read_arrow(path: Path, wanted: Mapping[str, str], optional: Collection[str]) -> RawTable:
    """Return the wanted columns of an Arrow file (also Feather) or stream; errors as for `read_parquet`."""
    try:
        with pa.OSFile(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file) as reader:
                schema = reader.schema
                places, notes = find_columns(schema.names, wanted, optional, f"'{path}'")
                rows = reader.read_all().select([*dict.fromkeys(places.values())])
                rows.validate(full=True)
    except _DAMAGE as error:
        raise DataError(f"data.source: '{path}' cannot be read as Arrow: {first_line(error)}") from None
    return _by_key(rows, schema, places, notes)


def column_names(path: Path) -> list[str]:
    """Return the columns of a parquet or Arrow file, without reading its rows; errors as for `read_parquet`."""
    try:
        if format_of(path).ending == ".parquet":
            return list(pq.read_schema(path).names)
        with pa.OSFile(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file) as reader:
                return list(reader.schema.names)
    except _DAMAGE as error:
        name = {".parquet": "parquet"}.get(format_of(path).ending, "Arrow")
        raise DataError(f"data.source: '{path}' cannot be read as {name}: {first_line(error)}") from None


def read_all_arrow(path: Path, wanted: Mapping[str, str]) -> pa.Table:
    """Return a parquet or Arrow file with all its columns, two of one name included; errors as for `read_parquet`."""
    try:
        if format_of(path).ending == ".parquet":
            with pq.ParquetFile(path) as file:
                return file.read()
        with pa.OSFile(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file) as reader:
                return reader.read_all()
    except _DAMAGE as error:
        raise DataError(f"data.source: '{path}' cannot be read: {first_line(error)}") from None


def is_saved_folder(folder: Path) -> bool:
    """Tell whether a folder is one that `save_to_disk` of `datasets` wrote."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read_saved(folder: Path, wanted: Mapping[str, str], optional: Collection[str]) -> dict[str, RawTable]:
    """Return the tables of a folder that `save_to_disk` of `datasets` wrote, a data set of one part as `train`.

    Raises:
        DataError: it cannot be read, has no train split, or lacks a column.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(f"data.source: folder '{folder}' needs the package `datasets`; install it") from None
    try:
        saved = datasets.load_from_disk(str(folder))
        parts = dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
        return tables_of_datasets(parts, wanted, optional, f"folder '{folder}'")
    except _DAMAGE as error:
        raise DataError(
            f"data.source: folder '{folder}' cannot be read with datasets.load_from_disk: {first_line(error)}"
        ) from None


def tables_of_datasets(
    parts: Mapping[str, Any], wanted: Mapping[str, str], optional: Collection[str], origin: str
) -> dict[str, RawTable]:
    """Return the splits among the parts of a data set of `datasets`.

    Raises:
        DataError: no train split, or a missing column.
    """
    found = {
        split: next(parts[name] for name in names if name in parts)
        for split, names in SPLIT_NAMES.items()
        if not parts.keys().isdisjoint(names)
    }
    if "train" not in found:
        raise DataError(f"data.source: {origin} must have a split 'train', got {', '.join(parts) or 'none'}")
    tables = {}
    for split, data in found.items():
        places, notes = find_columns(list(data.column_names), wanted, optional, origin)
        rows: pa.Table = data.with_format("arrow")[:]
        columns = {key: rows[data.column_names[place]] for key, place in places.items()}
        feature = data.features[data.column_names[places["label"]]] if "label" in places else None
        names = getattr(feature, "names", None)
        tables[split] = RawTable(pa.table(columns), tuple(names) if names else None, notes=notes)
    return tables


def _by_key(rows: pa.Table, schema: pa.Schema, places: Mapping[str, int], notes: tuple[str, ...]) -> RawTable:
    names = {key: schema.names[place] for key, place in places.items()}
    class_names = _class_names(schema.metadata or {}, names.get("label"))
    return RawTable(pa.table({key: rows[name] for key, name in names.items()}), class_names, notes=notes)


def _class_names(metadata: Mapping[bytes, bytes], column: str | None) -> tuple[str, ...] | None:
    """Return the names of a ClassLabel column that `datasets` wrote into a file's metadata."""
    if b"huggingface" not in metadata or column is None:
        return None
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and names else None
