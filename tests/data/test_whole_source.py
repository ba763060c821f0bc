"""What is chosen of a source is found in it again, with all columns as they are there."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from raybert.config import DataConfig
from raybert.data import load_splits
from raybert.data.whole_source import as_series, for_text_file, read_rows, rows_in_source

N = 40
TYPED = pa.table(
    {
        "note": pa.array([f"note {i}" if i % 3 else None for i in range(N)], pa.string_view()),
        "body": [f"words of text {i}" for i in range(N)],
        "when": [datetime.date(2024, 1, 1 + i % 28) for i in range(N)],
        "price": pa.array([Decimal(i) / 4 for i in range(N)], pa.decimal128(6, 2)),
        "tags": [["a", "b"][: i % 3] for i in range(N)],
        "about": [{"x": i, "y": None} for i in range(N)],
        "raw": [bytes([i]) for i in range(N)],
        "kind": pa.array([["no", "yes"][i % 2] for i in range(N)]).dictionary_encode(),
        "count": pa.array([None if i % 5 == 0 else i for i in range(N)], pa.int32()),
    }
)
COLUMNS = {"text": "body", "label": "kind", "test_fraction": 0.2, "validation_fraction": 0.2}


def chosen(tmp_path, source, **more):
    """The rows of some examples of the pool, and what the source has of them."""
    config = DataConfig(source=str(source), **{**COLUMNS, **more})
    pool = load_splits(config, tmp_path).train
    picked = pool.take(pa.array([5, 0, 9, 3]))
    rows = rows_in_source(config, picked["example_id"].to_pylist(), tmp_path)
    return picked["text"].to_pylist(), rows, read_rows(config, rows, tmp_path)


def write(table: pa.Table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        pyarrow.feather.write_feather(table.set_column(0, "note", table["note"].cast(pa.string())), path)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_files_with_types_keep_columns_of_any_type(tmp_path, ending):
    texts, rows, found = chosen(tmp_path, write(TYPED, tmp_path / f"x{ending}"))
    assert found.column_names == TYPED.column_names
    assert found["body"].to_pylist() == texts
    assert texts == [f"words of text {row}" for row in rows]
    assert found.to_pylist() == [TYPED.slice(row, 1).to_pylist()[0] for row in rows]
    for name in ("when", "price", "tags", "about", "raw", "kind", "count"):
        assert found.schema.field(name).type == TYPED.schema.field(name).type


def test_csv_keeps_every_field_as_written_in_its_order(tmp_path):
    lines = [f'{i:03d};"a ""b"" {i}";words {i};{("no", "yes")[i % 2]};1e{i}' for i in range(N)]
    (tmp_path / "x.csv").write_text("\n".join(["id;quoted;body;kind;number", *lines]))
    texts, rows, found = chosen(tmp_path, tmp_path / "x.csv")
    assert found.column_names == ["id", "quoted", "body", "kind", "number"]
    assert texts == found["body"].to_pylist() == [f"words {row}" for row in rows]
    assert found["id"].to_pylist() == [f"{row:03d}" for row in rows]
    assert found["quoted"].to_pylist() == [f'a "b" {row}' for row in rows]
    assert found["number"].to_pylist() == [f"1e{row}" for row in rows]


def test_two_columns_of_one_name_are_both_there(tmp_path):
    lines = [f"{i},words {i},{('no', 'yes')[i % 2]},{-i}" for i in range(N)]
    (tmp_path / "x.csv").write_text("\n".join(["n,body,kind,n", *lines]))
    _, rows, found = chosen(tmp_path, tmp_path / "x.csv")
    assert found.column_names == ["n", "body", "kind", "n.1"]
    assert found["n.1"].to_pylist() == [str(-row) for row in rows]


def test_json_keeps_lists_and_what_is_of_several_kinds(tmp_path):
    rows = [{"body": f"words {i}", "kind": i % 2, "list": [i], "mixed": i if i % 2 else "x"} for i in range(N)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, places, found = chosen(tmp_path, tmp_path / "x.jsonl")
    assert found["list"].to_pylist() == [[row] for row in places]
    assert found["mixed"].to_pylist() == [str(row) if row % 2 else "x" for row in places]


def test_shards_are_counted_through_and_columns_that_one_lacks_are_empty_there(tmp_path):
    for number, part in enumerate((TYPED.slice(0, 25), TYPED.slice(25).drop_columns(["price"]))):
        pq.write_table(part, tmp_path / f"train-0000{number}-of-00002.parquet")
    texts, rows, found = chosen(tmp_path, tmp_path)
    assert texts == [f"words of text {row}" for row in rows]
    assert found["price"].to_pylist() == [Decimal(int(row)) / 4 if row < 25 else None for row in rows]


def test_a_folder_of_datasets_and_rows_that_were_left_out(tmp_path):
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["no", "yes"])
    labels = [-1 if i % 4 == 0 else i % 2 for i in range(N)]
    data = datasets.Dataset.from_dict({"body": [f"words {i}" for i in range(N)], "kind": labels, "n": list(range(N))})
    data.cast_column("kind", names).save_to_disk(tmp_path / "saved")
    texts, rows, found = chosen(tmp_path, tmp_path / "saved")
    assert texts == [f"words {row}" for row in rows]
    assert found["n"].to_pylist() == rows.tolist()
    assert not (rows % 4 == 0).any()


def test_the_built_in_corpus_has_its_modules(corpus):
    config = DataConfig(train_examples=30, validation_examples=20, test_examples=20)
    pool = load_splits(config, corpus).train
    rows = rows_in_source(config, pool["example_id"].to_pylist(), corpus)
    found = read_rows(config, rows, corpus)
    assert found.column_names == ["text", "label", "module"]
    assert found["text"].to_pylist() == pool["text"].to_pylist()


def test_files_of_text_have_texts_for_what_they_cannot_write(tmp_path):
    frame = pd.DataFrame({name: as_series(TYPED[name]) for name in TYPED.column_names[1:]})
    csv, jsonl = (for_text_file(frame, nested=nested) for nested in (False, True))
    assert csv.loc[2, ["when", "price", "tags", "about", "raw", "kind"]].tolist() == [
        "2024-01-03", "0.50", '["a", "b"]', '{"x": 2, "y": null}', "Ag==", "no"
    ]  # fmt: skip
    assert jsonl.loc[2, "tags"] == ["a", "b"]
    assert jsonl.loc[2, "about"] == {"x": 2, "y": None}
    csv.to_csv(tmp_path / "x.csv", index=False)
    assert pd.read_csv(tmp_path / "x.csv", dtype=str)["count"].tolist()[:3] == [np.nan, "1", "2"]
    jsonl.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert (first["count"], first["price"]) == (None, "0.00")
    frame.to_parquet(tmp_path / "x.parquet")
    assert pq.read_schema(tmp_path / "x.parquet").field("price").type == pa.decimal128(6, 2)
