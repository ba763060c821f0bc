"""Large tables are written as they come and mapped: what is read, cut and taken is what it is of tables in memory."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.config import DataConfig
from raybert.data import arrow_files, load_splits, mapped, splits, whole_source
from raybert.data import rows as of_rows
from raybert.data.splits import SPLITS
from raybert.data.whole_source import read_rows, rows_in_source
from raybert.errors import CacheWarning, DataError

WORDS = np.array(["alpha", "Beta", "é", "x  y", "", "line\nbreak"])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def as_if_large(patch: pytest.MonkeyPatch) -> None:
    for module in (arrow_files, mapped, splits, whole_source):
        patch.setattr(module, "LARGEST_HELD", 0)
    for module in (arrow_files, mapped, splits):
        patch.setattr(module, "rows_at_once", lambda *_: 7)
    patch.setattr(of_rows, "_SMALL_BYTES", 0)


def frame(seed: int, num: int = 300) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = {
        "text": [f"{n} " + " ".join(generator.choice(WORDS, 4)) for n in generator.integers(0, 250, num)],
        "other": generator.choice(WORDS, num) + "!",
        "label": generator.choice(["no", "yes"], num),
        "doc": generator.integers(0, 40, num),
        "price": generator.choice([1.5, np.nan], num),
    }
    return pd.DataFrame(rows)


def written(folder: Path, shape: str) -> Path:
    if shape == "file":
        frame(0).to_parquet(folder / "rows.parquet", row_group_size=90)
        return folder / "rows.parquet"
    place = folder / "shards"
    place.mkdir()
    for number in range(3):
        frame(number, 120).to_parquet(place / f"train-0000{number}-of-00003.parquet")
    frame(9, 60).to_parquet(place / "test.parquet")
    return place


@pytest.mark.parametrize("shape", ["file", "shards"])
@pytest.mark.parametrize("keys", [{}, {"group": "doc"}, {"text_pair": "other", "train_examples": 40}], ids=str)
def test_splits_and_rows_of_mapped_tables_are_those_of_tables_in_memory(
    shape: str, keys: dict[str, object], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(source=str(written(tmp_path, shape)), **keys)
    expected = load_splits(config, tmp_path)
    ids = expected.train["example_id"].to_pylist()[::-3]
    rows = rows_in_source(config, ids, tmp_path)
    whole = read_rows(config, rows, tmp_path)
    assert not (cache / "splits").exists()
    as_if_large(monkeypatch)
    found = load_splits(config, tmp_path)
    assert [found.fingerprint, found.notes, found.details] == [expected.fingerprint, expected.notes, expected.details]
    for split in SPLITS:
        assert getattr(found, split).equals(getattr(expected, split))
    assert np.array_equal(rows_in_source(config, ids, tmp_path), rows)
    taken = read_rows(config, rows, tmp_path)
    assert taken.equals(whole)
    assert taken.column_names == whole.column_names
    assert list((cache / "splits").iterdir()) == []


def test_columns_of_views_of_dictionaries_and_of_one_name_are_as_in_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(60)], "label": ["a", "b", "c"] * 20})
    kinds = pa.array(["x", "y", None] * 20).dictionary_encode()
    table = table.append_column("kind", kinds).append_column("view", table["text"].cast(pa.string_view()))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=13)
    config = DataConfig(source=str(tmp_path / "rows.parquet"))
    rows = np.array([59, 3, 3, 14, 0])
    expected, loaded = read_rows(config, rows, tmp_path), load_splits(config, tmp_path)
    as_if_large(monkeypatch)
    assert read_rows(config, rows, tmp_path).to_pylist() == expected.to_pylist()
    assert load_splits(config, tmp_path).fingerprint == loaded.fingerprint
    as_kind = DataConfig(source=str(tmp_path / "rows.parquet"), label="label", text="kind")
    with pytest.raises(DataError, match="got 20 of 60, in rows 3, 6"):
        load_splits(as_kind, tmp_path)


def test_a_damaged_page_is_said_as_it_is_of_a_small_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "file")
    content = bytearray(path.read_bytes())
    content[200:1200] = os.urandom(1000)
    path.write_bytes(content)
    as_if_large(monkeypatch)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        load_splits(DataConfig(source=str(path)), tmp_path)


def test_where_nothing_can_be_written_memory_holds_the_table_which_is_said(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(source=str(written(tmp_path, "file")))
    expected = load_splits(config, tmp_path)
    as_if_large(monkeypatch)

    def full(_: object, __: object, descriptor: int) -> None:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mapped, "_write", full)
    with pytest.warns(CacheWarning, match=r"cannot be written to .*splits.*No space left on device\): memory holds"):
        found = load_splits(config, tmp_path)
    assert found.train.equals(expected.train)
    assert list((cache / "splits").iterdir()) == []


def test_a_file_that_is_read_in_batches_is_not_held_as_a_whole(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**62, size=2_000_000)  # which nothing makes smaller
    pq.write_table(pa.table({"n": numbers}), tmp_path / "rows.parquet", row_group_size=100_000)
    monkeypatch.setattr(arrow_files, "LARGEST_HELD", 0)
    held, read = [], mapped.mapped

    def watched(batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema) -> pa.Table:
        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches():
                held.append(pa.total_allocated_bytes() - before)
                yield batch

        return read(counted, schema)

    monkeypatch.setattr(arrow_files, "mapped", watched)
    before = pa.total_allocated_bytes()
    table = arrow_files.read_parquet(tmp_path / "rows.parquet", {"n": "n"}, ()).rows
    assert np.array_equal(table["n"].to_numpy(), numbers)
    assert max(held) < numbers.nbytes / 2


def test_long_rows_are_taken_a_few_at_once() -> None:
    assert mapped.rows_at_once(10_000_000, 2_400_000_000) == 65_536
    assert mapped.rows_at_once(60_000, 60_000 * 40_000) == mapped.LARGEST_HELD // 40_000
    assert mapped.rows_at_once(10, 10 << 40) == 1


def test_memory_holds_a_batch_and_pages_belong_to_a_file_without_a_name(cache: Path) -> None:
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 4_000_000, 100_000):
            yield pa.record_batch([pa.array(np.arange(start, start + 100_000))], schema)

    before = pa.total_allocated_bytes()
    tracemalloc.start()
    table = mapped.mapped(batches, schema)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert peak < 8 << 20
    assert np.array_equal(table["n"].to_numpy(), np.arange(4_000_000))
    assert "(deleted)" in Path("/proc/self/maps").read_text()
    assert list((cache / "splits").iterdir()) == []
