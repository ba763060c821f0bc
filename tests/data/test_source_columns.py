"""Columns of a source that strategies read: beside the right examples whatever the splits, and of plain types."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.config import DataConfig
from raybert.data import load_folds, load_splits
from raybert.data.first_look import look_at_source
from raybert.data.source_columns import digest_of_column, read_source_columns, to_numpy
from raybert.errors import DataError

N = 60
TEXTS = [f"words of text {i // 2 if i < 20 else i}" for i in range(N)]  # the first ten are there twice
RATINGS = [f"{(i * 7) % 11 - 5}" for i in range(N)]
CUTS = {"test_fraction": 0.2, "validation_fraction": 0.2}


def write_csv(folder, name="posts.csv", rows=range(N), ratings=RATINGS):
    frame = pd.DataFrame({"text": TEXTS, "label": [i % 2 for i in range(N)], "rating": ratings})
    frame.iloc[list(rows)].to_csv(folder / name, index=False)
    return folder / name


def config_of(source, **more):
    return DataConfig(source=str(source), **{**CUTS, **more})


def read(config, cache, **wanted):
    return read_source_columns(config, wanted or {"mine": "rating"}, cache)


def pairs(table, values):
    return sorted(zip(table["text"].to_pylist(), table["label"].to_pylist(), values, strict=True))


def given(rows):
    return {(TEXTS[i], i % 2, int(RATINGS[i])) for i in rows}


@pytest.mark.parametrize("more", [{}, {"train_examples": 20}, {"train_examples": 12, "split_seed": 3}])
def test_a_column_stands_beside_the_examples_that_it_is_of(tmp_path, more):
    config = config_of(write_csv(tmp_path), **more)
    pool = load_splits(config, tmp_path).train
    values = to_numpy(read(config, tmp_path).of(pool["example_id"].to_pylist())["rating"])
    assert values.dtype == np.int64
    found = pairs(pool, values.tolist())
    assert len(set(found)) == pool.num_rows == more.get("train_examples", 37)
    assert set(found) <= given(range(N))


@pytest.mark.parametrize("files", [["posts.csv"], ["train.csv", "validation.csv", "test.csv"]])
def test_in_every_fold_too_whatever_split_of_the_source_an_example_is_from(tmp_path, files):
    parts = np.array_split(np.arange(N), len(files))
    for name, rows in zip(files, parts, strict=True):
        write_csv(tmp_path, name, rows)
    config = DataConfig(source=str(tmp_path / "posts.csv" if len(files) == 1 else tmp_path), folds=3)
    columns = read(config, tmp_path)
    for fold in load_folds(config, tmp_path):
        table = pa.concat_tables([fold.train, fold.validation, fold.test])
        values = to_numpy(columns.of(table["example_id"].to_pylist())["rating"])
        assert set(pairs(table, values.tolist())) == given(range(N))
        pool = to_numpy(columns.of(fold.train["example_id"].to_pylist())["rating"])
        assert set(pairs(fold.train, pool.tolist())) <= given(range(N))


def test_examples_of_a_split_that_lacks_the_column_are_refused(tmp_path):
    write_csv(tmp_path, "train.csv", range(40))
    pd.DataFrame({"text": TEXTS[40:], "label": [i % 2 for i in range(20)]}).to_csv(
        tmp_path / "validation.csv", index=False
    )
    config = DataConfig(source=str(tmp_path), test_fraction=0.2)
    splits, columns = load_splits(config, tmp_path), read(config, tmp_path)
    assert columns.of(splits.train["example_id"].to_pylist()).num_rows == splits.train.num_rows
    with pytest.raises(DataError, match=r"must have the columns that strategies read \(rating\) in every split"):
        columns.of(splits.validation["example_id"].to_pylist())


DAY = datetime.date(2024, 5, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3, 1, 2] * 4), np.array([3, 1, 2] * 4)),
        (pa.array([3, None, 2] * 4), np.array([3, np.nan, 2] * 4)),
        (pa.array([0.5, None, float("nan")] * 4), np.array([0.5, np.nan, np.nan] * 4)),
        (pa.array([Decimal("1.25"), None, Decimal("2")] * 4), np.array([1.25, np.nan, 2] * 4)),
        (pa.array([True, False, True] * 4), np.array([True, False, True] * 4)),
        (pa.array([True, None, False] * 4), np.array([1, np.nan, 0] * 4)),
        (pa.array(["7", None, "x"] * 4), np.array(["7", None, "x"] * 4, object)),
        (pa.array(["a", "b", "a"] * 4).dictionary_encode(), np.array(["a", "b", "a"] * 4, object)),
        (pa.array([DAY, None, DAY] * 4), np.array(["2024-05-01", None, "2024-05-01"] * 4, object)),
        (pa.nulls(12), np.full(12, np.nan)),
    ],
)
def test_values_of_files_with_types_keep_their_kind(tmp_path, values, expected):
    table = pa.table({"text": [f"text {i}" for i in range(12)], "label": [i % 2 for i in range(12)], "rating": values})
    pq.write_table(table, tmp_path / "x.parquet")
    found = to_numpy(read(config_of(tmp_path / "x.parquet"), tmp_path).table["rating"])
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1", " 2", "-3"], np.array([1, 2, -3])),
        (["1.5", "", "2e3"], np.array([1.5, np.nan, 2000.0])),
        ([".5", "2.", "+7"], np.array([0.5, 2.0, 7.0])),
        (["007", "12", "13"], np.array(["007", "12", "13"], object)),  # a code
        (["1", "two", "3"], np.array(["1", "two", "3"], object)),
        (["-", "1", "2"], np.array(["-", "1", "2"], object)),
    ],
)
def test_a_column_of_csv_is_numbers_if_all_its_values_are(tmp_path, written, expected):
    config = config_of(write_csv(tmp_path, ratings=written * (N // 3)))
    found = to_numpy(read(config, tmp_path).table["rating"])[:3]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_lists_are_refused_in_one_line(tmp_path):
    table = {"text": TEXTS, "label": [i % 2 for i in range(N)], "rating": [[1, 2]] * N}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="column 'rating' of .* must hold numbers, truth values, dates or texts.*list"):
        read(config_of(tmp_path / "x.parquet"), tmp_path)


def test_the_digest_is_that_of_the_values_in_their_order():
    columns = [
        pa.array([1, 2, 3]),
        pa.array([1, 3, 2]),
        pa.array([1.0, 2.0, 3.0]),
        pa.array(["1", "2", "3"], pa.large_string()),
        pa.array(["12", "", "3"], pa.large_string()),
        pa.array(["12", None, "3"], pa.large_string()),
    ]
    assert len({digest_of_column(column) for column in columns}) == len(columns)
    assert digest_of_column(pa.chunked_array([[1], [2, 3]])) == digest_of_column(columns[0])


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_missing_column_is_one_line_before_anything_is_read(tmp_path, ending):
    frame = pd.DataFrame({"text": TEXTS, "label": [i % 2 for i in range(N)], "rating": RATINGS})
    path = tmp_path / f"posts{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    elif ending == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    who = "sweep.strategies: 'mine' needs 'column:ratng'"
    line = f"{who}: '{path}' has no column 'ratng'; it has text, label, rating; did you mean 'rating'?"
    with pytest.raises(DataError, match=f"^{re.escape(line)}$"):
        look_at_source(config_of(path), {who: "ratng"})
    look_at_source(config_of(path), {who: "rating"})


def test_of_the_built_in_corpus_too():
    config = DataConfig(source="docstrings")
    look_at_source(config, {"strategy 'mine'": "module"})
    with pytest.raises(
        DataError, match="^strategy 'mine': 'docstrings' has no column 'x'; it has text, label, module; name one$"
    ):
        look_at_source(config, {"strategy 'mine'": "x"})
