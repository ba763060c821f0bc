"""Rows of a source with all its columns, as they are there: for what is chosen of it and used elsewhere."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.config import DataConfig
from raybert.data.arrow_files import number_of_rows, read_all_arrow, size_of_rows, take_from_parquet
from raybert.data.csv_files import read_all_csv
from raybert.data.docstrings import read_docstrings
from raybert.data.formats import format_of
from raybert.data.hub import load_hub
from raybert.data.identity import example_ids
from raybert.data.json_files import read_all_json
from raybert.data.kept_splits import kept_rows
from raybert.data.kinds import BUILT_IN, columns_of, source_kind
from raybert.data.local import files_of_split
from raybert.data.mapped import LARGEST_HELD
from raybert.data.noise import clean_id
from raybert.data.raw import SPLIT_NAMES
from raybert.data.rows import find_rows, take_rows
from raybert.data.sources import read_source
from raybert.errors import DataError

_SIMPLE = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
)
"""Kinds of values that every file of text has a way of writing."""


def rows_in_source(config: DataConfig, ids: Sequence[str], cache_folder: Path) -> np.ndarray:
    """Return (m,) in which rows of the source's train table, from 0, examples are.

    Args:
        config: the `data` section.
        ids: of the examples.
        cache_folder: where the parsed built-in corpus is kept.

    Raises:
        DataError: the source is not what it was a moment ago.
    """
    if (kept := kept_rows(config, pa.array(ids, pa.string()), cache_folder)) is not None:
        return kept
    source = read_source(config, cache_folder)
    names = np.array([clean_id(name) for name in ids] if config.noise is not None else ids, dtype=object)
    wanted, of_each = np.unique(names, return_inverse=True)  # a copy that noise has added is of the same row
    known = example_ids(source.tables["train"], source.label_names)
    place = find_rows(known, pa.array(wanted, pa.string()))[of_each]
    if (place < 0).any():
        raise DataError(f"data.source: the content of '{config.source}' changed while it was read; run it again")
    return np.asarray(source.rows["train"][place])


def read_rows(config: DataConfig, rows: np.ndarray, cache_folder: Path) -> pa.Table:
    """Return some rows of the source's train table with all its columns, in its order; types as the source has them.

    Of two columns of one name the second is called `name.1`.

    Args:
        config: the `data` section.
        rows: (m,) from 0.
        cache_folder: where the parsed built-in corpus is kept.
    """
    if (files := _parquet_files(config)) is not None:
        return _read_of_parquet(files, rows)
    table = whole_table(config, cache_folder)
    return take_rows(_plain(table).rename_columns(_distinct(table.column_names)), rows)


def as_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Return a column as a series, of its Arrow type (which parquet keeps) where pandas has none that says it."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if is_text or (array.null_count == 0 and any(check(array.type) for check in _SIMPLE)):
        return pd.Series(array.to_pandas())
    return pd.Series(array, dtype=pd.ArrowDtype(array.type))


def for_text_file(frame: pd.DataFrame, *, nested: bool) -> pd.DataFrame:
    """Return a table in which what a file of text has no way of writing is text.

    Args:
        frame: with columns of Arrow types among others.
        nested: whether lists and mappings can be written as they are (JSON).
    """
    plain = frame.copy()
    for name in frame:
        dtype = frame[name].dtype
        if not isinstance(dtype, pd.ArrowDtype):
            continue
        values = pa.array(frame[name].array).to_pylist()
        kind = dtype.pyarrow_dtype
        if nested and pa.types.is_nested(kind):
            plain[name] = pd.Series([_as_json(value) for value in values], dtype=object)
        elif not any(check(kind) for check in _SIMPLE):
            plain[name] = pd.Series([_as_text(value) for value in values], dtype=object)
    return plain


def whole_table(config: DataConfig, cache_folder: Path, split: str = "train") -> pa.Table:
    """Return a split that the source has with all its columns, as they are there.

    Args:
        config: the `data` section.
        cache_folder: where the parsed built-in corpus is kept.
        split: train, validation or test.
    """
    kind = source_kind(config.source)
    if kind == "built-in":
        return read_docstrings(cache_folder)[0]
    if kind == "hub":
        parts = load_hub(config, BUILT_IN)
        data = next(parts[name] for name in SPLIT_NAMES[split] if name in parts)
        return data.with_format("arrow")[:]
    path = Path(config.source).expanduser()
    files = files_of_split(path, split)
    if not files:  # of `save_to_disk`
        import datasets

        saved = datasets.load_from_disk(str(path))
        is_dict = isinstance(saved, datasets.DatasetDict)
        data = next(saved[name] for name in SPLIT_NAMES[split] if name in saved) if is_dict else saved
        return data.with_format("arrow")[:]
    wanted = columns_of(config)
    readers: dict[str, Any] = {
        ".csv": read_all_csv,
        ".tsv": read_all_csv,
        ".json": read_all_json,
        ".jsonl": read_all_json,
    }
    return _concatenated([readers.get(format_of(file).ending, read_all_arrow)(file, wanted) for file in files])


def _parquet_files(config: DataConfig) -> list[Path] | None:
    """Return the files of the source's train table, if they are local, parquet, and not small."""
    if source_kind(config.source) != "local":
        return None
    files = files_of_split(Path(config.source).expanduser())
    if not files or any(format_of(file).ending != ".parquet" for file in files):
        return None
    return files if sum(map(size_of_rows, files)) > LARGEST_HELD else None


def _read_of_parquet(files: Sequence[Path], rows: np.ndarray) -> pa.Table:
    """Return rows of files one after the other, of which no more is read at once than a block."""
    starts = np.cumsum([0, *map(number_of_rows, files)])
    of_file = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(of_file, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parts = [take_from_parquet(file, rows[of_file == i] - starts[i], _plain) for i, file in enumerate(files)]
    table = _concatenated(parts)
    return take_rows(table.rename_columns(_distinct(table.column_names)), place)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table of columns that rows can be taken of."""
    return pa.Table.from_arrays([_without_views(column) for column in table.columns], names=table.column_names)


def _concatenated(tables: list[pa.Table]) -> pa.Table:
    """Return the rows of all shards."""
    if len(tables) == 1:
        return tables[0]
    renamed = [table.rename_columns(_distinct(table.column_names)) for table in tables]
    try:
        return pa.concat_tables(renamed, promote_options="permissive")
    except pa.ArrowException:  # a column that has other types in other shards
        return pa.concat_tables([_all_text(table) for table in renamed], promote_options="permissive")


def _without_views(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of a type that rows can be taken of."""
    kinds = ((pa.types.is_string_view, pa.large_string()), (pa.types.is_binary_view, pa.large_binary()))
    kind = next((plain for is_view, plain in kinds if is_view(column.type)), None)
    return column if kind is None else pa.chunked_array([pa.array(column.to_pylist(), kind)])


def _all_text(table: pa.Table) -> pa.Table:
    columns = [pa.array([_as_text(value) for value in column.to_pylist()], pa.string()) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _distinct(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    distinct: list[str] = []
    for name in names:
        candidate = name
        while candidate in distinct or (candidate != name and candidate in names):
            seen[name] += 1
            candidate = f"{name}.{seen[name]}"
        distinct.append(candidate)
    return distinct


def _as_json(value: Any) -> Any:
    """Return a nested value with nothing in it that JSON does not have."""
    return None if value is None else json.loads(json.dumps(value, default=_as_text))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=_as_text)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
