"""Sources: what is read from files, and the one line that each bad input gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.config import DataConfig
from raybert.data import load_splits
from raybert.data.sources import SourceTables, read_source, source_kind
from raybert.errors import DataError


def read(source: Path | str, **keys: Any) -> SourceTables:
    return read_source(DataConfig(source=str(source), **keys), Path("unused"))


def write_csv(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_same_rows_are_read_from_every_format(tmp_path: Path, suffix: str) -> None:
    rows = [("NA", "b", "x1"), ('a "quoted", text\nof two lines', "a", "x2"), ("é ünï ☃", "b", "x3")]
    frame = pd.DataFrame(rows, columns=["sentence", "kind", "key"])
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    source = read(path, text="sentence", label="kind", id="key")
    assert source.tables["train"].to_pydict() == {
        "text": [text for text, _, _ in rows],
        "label": [1, 0, 1],
        "id": ["x1", "x2", "x3"],
    }
    assert source.label_names == ("a", "b")


def test_folder_has_a_file_per_split_under_any_of_its_names_and_shards(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", text=["a", "b"], label=[3, 7])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", text=["c"], label=[3])
    write_csv(tmp_path / "dev.csv", "text,label\nd,7\n")
    (tmp_path / "test.jsonl").write_text('{"text": "e", "label": 3}\n\n{"text": "f", "label": 7}\n')
    (tmp_path / "README.md").write_text("ignored")
    source = read(tmp_path)
    assert {split: table.to_pydict() for split, table in source.tables.items()} == {
        "train": {"text": ["a", "b", "c"], "label": [0, 1, 0]},
        "validation": {"text": ["d"], "label": [1]},
        "test": {"text": ["e", "f"], "label": [0, 1]},
    }
    assert source.label_names == ("3", "7")


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        ([10, 9, -1], [2, 1, 0], ("-1", "9", "10")),
        ([1.0, 0.0, 1.0], [1, 0, 1], ("0", "1")),
        ([True, False, True], [1, 0, 1], ("false", "true")),
        (["10", "9", "x"], [0, 1, 2], ("10", "9", "x")),
        (pa.array(["b", "a", "b"]).dictionary_encode(), [1, 0, 1], ("a", "b")),
        (pa.array(["b", "a", "b"], pa.large_string()), [1, 0, 1], ("a", "b")),
        (pa.array([2, 0, 2], pa.uint8()), [1, 0, 1], ("0", "2")),
    ],
)
def test_labels_become_numbers_and_keep_their_names(
    tmp_path: Path, labels: Any, numbers: list[int], names: Any
) -> None:
    source = read(write_parquet(tmp_path / "d.parquet", text=["a", "b", "c"], label=labels))
    assert source.tables["train"]["label"].to_pylist() == numbers
    assert source.label_names == names


def test_csv_labels_are_numbers_only_if_all_of_them_are(tmp_path: Path) -> None:
    assert read(write_csv(tmp_path / "a.csv", "text,label\nx,10\ny,9\n")).label_names == ("9", "10")
    assert read(write_csv(tmp_path / "b.csv", "text,label\nx,1.0\ny,0.0\n")).label_names == ("0", "1")
    assert read(write_csv(tmp_path / "c.csv", "text,label\nx,10\ny,9\nz,NA\n")).label_names == (
        "10",
        "9",
        "NA",
    )


def test_class_names_that_datasets_wrote_into_a_parquet_file_are_used(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "neutral", "pos"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [2, 0]}, features=features)
    rows.to_parquet(tmp_path / "d.parquet")
    source = read(tmp_path / "d.parquet")
    assert source.label_names == ("neg", "pos")
    assert source.tables["train"]["label"].to_pylist() == [1, 0]


def test_split_whose_labels_are_hidden_counts_as_missing_and_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", text=["a", "b"], label=[0, 1])
    write_parquet(tmp_path / "validation.parquet", text=["c"], label=[1])
    write_parquet(tmp_path / "test.parquet", text=["d", "e"], label=[-1, -1])
    source = read(tmp_path)
    assert list(source.tables) == ["train", "validation"]
    assert source.notes == ("test: all labels are hidden (-1 or missing); the split is cut from train instead",)


def test_kind_of_source_is_decided_by_its_form(tmp_path: Path) -> None:
    (tmp_path / "imdb").mkdir()
    assert source_kind("docstrings") == "built-in"
    for local in (str(tmp_path / "imdb"), "./x", "../x", "~/x", "/x", "rows.csv", "a/b/c", "a/rows.PARQUET"):
        assert source_kind(local) == "local", local
    for hub in ("imdb", "stanfordnlp/imdb", "glue"):
        assert source_kind(hub) == "hub", hub
    for neither in ("s3://bucket/x.parquet", "two words", "a b/c"):
        with pytest.raises(DataError, match=r"data\.source: must be a built-in corpus \(docstrings\), .* got '"):
            source_kind(neither)


BAD_CSV = {
    "missing column": (
        "sentence,label\nx,0\ny,1\n",
        {"text": "sentense"},
        r"data\.text: .* has no column 'sentense'; it has sentence, label; did you mean 'sentence'\?",
    ),
    "missing label column": (
        "text,class\nx,0\n",
        {},
        r"data\.label: .* has no column 'label'; it has text, class",
    ),
    "missing pair column": (
        "text,label\nx,0\n",
        {"text_pair": "b"},
        r"data\.text_pair: .* has no column 'b'; it has text, label",
    ),
    "column twice": (
        "text,label,text\nx,0,y\n",
        {},
        r"data\.text: .* has 2 columns named 'text'; rename all but one",
    ),
    "no bytes": ("", {}, r"data\.source: .* is empty \(0 bytes\)"),
    "header only": ("text,label\n", {}, r"data\.source: .* is empty \(0 rows\)"),
    "blank texts": (
        "text,label\nx,0\n,1\n  ,0\n",
        {},
        r"data\.text: column 'text' of train must have no empty or missing texts, got 2 of 3, in rows 2, 3",
    ),
    "one class": (
        "text,label\nx,4\ny,4\n",
        {},
        r"data\.label: .* at least two classes in train, got only 4 \(2 rows\)",
    ),
    "fractions": (
        "text,label\nx,0.5\ny,1\n",
        {},
        r"data\.label: .* whole numbers or strings, got 0\.5 in row 1",
    ),
    "missing label": (
        "text,label\nx,0\ny,\nz,1\n",
        {},
        r"data\.label: .* empty or missing labels, got 1 of 3, in row 2",
    ),
    "missing string label": (
        "text,label\nx,a\ny,\nz,b\n",
        {},
        r"data\.label: .* got 1 of 3, in row 2 \(from 1\)",
    ),
    "ragged": (
        "text,label\nx,0,1\n",
        {},
        r"cannot be read as csv: row 1 \(line 2, 'x'\) has 3 fields where the header has 2; write texts with separators",
    ),
    "ids repeat": (
        "text,label,key\nx,0,k\ny,1,k\nz,1,j\n",
        {"id": "key"},
        r"data\.id: .* must hold distinct ids, got 1 repeated, first 'k' \(2 times, rows 1, 2 \(from 1\) of 'rows\.csv', lines 2, 3\); name another",
    ),
}


@pytest.mark.parametrize(("content", "keys", "message"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_bad_csv_gives_one_clear_line(tmp_path: Path, content: str, keys: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(write_csv(tmp_path / "rows.csv", content), **keys)
    assert "\n" not in str(caught.value)


BAD_COLUMNS = {
    "null text": (
        {"text": ["a", None], "label": [0, 1]},
        {},
        r"data\.text: .* got 1 of 2, in row 2 \(from 1\)",
    ),
    "only null texts": (
        {"text": [None, None], "label": [0, 1]},
        {},
        r"data\.text: .* must hold texts, got nothing but nulls",
    ),
    "numbers as text": ({"text": [1, 2], "label": [0, 1]}, {}, r"data\.text: .* must hold texts, got int64"),
    "list labels": ({"text": ["a", "b"], "label": [[0], [1]]}, {}, r"data\.label: .* strings, got list<"),
    "dates": (
        {"text": ["a", "b"], "label": np.array(["2020-01-01", "2021-01-01"], "datetime64[s]")},
        {},
        r"data\.label: .* must hold whole numbers or strings, got timestamp",
    ),
    "NaN labels": (
        {"text": ["a", "b", "c"], "label": [0.0, np.nan, 1.0]},
        {},
        r"data\.label: .* got 1 of 3, in row 2",
    ),
    "null groups": (
        {"text": ["a", "b"], "label": [0, 1], "g": ["x", None]},
        {"group": "g"},
        r"data\.group: column 'g' of train must have no empty or missing values, got 1 of 2, in row 2",
    ),
    "float ids": (
        {"text": ["a", "b"], "label": [0, 1], "k": [0.5, 1.5]},
        {"id": "k"},
        r"data\.id: .* must hold whole numbers or strings, got double",
    ),
}


@pytest.mark.parametrize(("columns", "keys", "message"), BAD_COLUMNS.values(), ids=BAD_COLUMNS.keys())
def test_bad_parquet_columns_give_one_clear_line(tmp_path: Path, columns: Any, keys: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(write_parquet(tmp_path / "rows.parquet", **columns), **keys)
    assert "\n" not in str(caught.value)


BAD_JSONL = {
    "not JSON": ('{"text": "a", "label": 0}\n\n{"text": "b", "lab', r"line 3 is not valid JSON: "),
    "not an object": ('{"text": "a", "label": 0}\n["b", 1]\n', r"line 2 must be a JSON object, got list"),
    "no rows": ("\n \n", r"is empty \(0 rows\)"),
    "mixed labels": (
        '{"text": "a", "label": 0}\n{"text": "b", "label": "x"}\n',
        r"data\.label: .* values of one kind",
    ),
    "missing key": ('{"text": "a", "label": 0}\n{"label": 1}\n', r"data\.text: .* got 1 of 2, in row 2"),
    "half a character": (
        '{"text": "\\ud83d", "label": 0}\n',
        r"data\.text: .* whole characters, got half of a surrogate pair \(\\ud83d\) in row 1 \(from 1\)",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_JSONL.values(), ids=BAD_JSONL.keys())
def test_bad_jsonl_gives_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_text_that_is_not_utf8_is_located(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(b"text,label\ncaf\xe9,1\n")
    with pytest.raises(DataError, match=r"must be UTF-8 text, got byte 0xe9 at position 14 \(line 2\); convert it"):
        read(path)


def test_utf8_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\na,x\nb,y\n")
    assert read(path).label_names == ("x", "y")


def test_file_that_only_claims_to_be_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"text,label\n")
    with pytest.raises(DataError, match=r"rows\.parquet' cannot be read as parquet: "):
        read(path)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", "text,label\n")
    with pytest.raises(DataError, match=r"no such file or folder '.*review\.csv'; did you mean 'reviews\.csv'\?"):
        read(tmp_path / "review.csv")


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"must be a \.parquet, \.csv, .* file .*, got '\.xlsx'; convert it first, e\.g\. `python -c"
    ):
        read(write_csv(tmp_path / "rows.xlsx", "x"))


def test_folder_without_train_says_what_it_holds(tmp_path: Path) -> None:
    write_csv(tmp_path / "trian.csv", "text,label\n")
    with pytest.raises(DataError, match=r"must hold train\.parquet\|train\.csv\|.*, got trian\.csv"):
        read(tmp_path)


def test_two_files_for_a_split_are_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv", "valid.csv"):
        write_csv(tmp_path / name, "text,label\na,0\nb,1\n")
    with pytest.raises(DataError, match=r"must hold one file for validation, got dev\.csv, valid\.csv"):
        read(tmp_path)


def test_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    write_csv(tmp_path / "test.csv", "text,label\na,0\nb,2\nc,2\n")
    with pytest.raises(
        DataError, match=r"'label' of test must hold classes of train only, got \['2'\] \(2 of 3 rows\)"
    ):
        read(tmp_path)


def test_numbers_in_one_split_and_strings_in_another_are_the_same_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", "text,label\na,1\nb,x\n")
    write_csv(tmp_path / "test.csv", "text,label\na,1\n")
    source = read(tmp_path)
    assert source.label_names == ("1", "x")
    assert source.tables["test"]["label"].to_pylist() == [0]


@pytest.mark.parametrize(("source", "hint"), [("imdb", ""), ("docstring", "; did you mean the built-in 'docstrings'?")])
def test_hub_id_without_network_names_the_two_ways_out(source: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    expected = (
        f"data.source: hub dataset '{source}' is not on this machine and the hub cannot be reached{hint}; "
        f"download it first where there is network (`datasets.load_dataset('{source}')` "
        "keeps it in its cache), "
        "or name a local file"
    )
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        read(source, revision="never-downloaded")


def test_asking_for_more_examples_than_there_are_is_refused(tmp_path: Path) -> None:
    rows = "\n".join(json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(40))
    (tmp_path / "rows.jsonl").write_text(rows)
    for split, there in (("train", 28), ("validation", 4), ("test", 8)):
        config = DataConfig(source=str(tmp_path / "rows.jsonl"), **{f"{split}_examples": 29})
        with pytest.raises(DataError, match=rf"data\.{split}_examples: must be in 1\.\.{there} \({split} .*, got 29"):
            load_splits(config, tmp_path)
