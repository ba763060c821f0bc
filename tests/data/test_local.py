"""Files and folders: which are read, and what is said of those that are not."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest

from raybert.data.sources import source_kind
from raybert.data.unseen import read_unseen
from raybert.errors import DataError
from tests.data.files import read, rows_of, write

FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "neutral", "pos"])}
)


def dataset(labels):
    texts = [f"text {number}" for number in range(len(labels))]
    return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=FEATURES)


def test_a_folder_of_save_to_disk_is_read_with_its_splits_and_class_names(tmp_path):
    folder = tmp_path / "saved"
    datasets.DatasetDict(train=dataset([2, 0, -1]), dev=dataset([0])).save_to_disk(str(folder))
    source = read(folder)
    assert rows_of(source) == [("text 0", "pos"), ("text 1", "neg")]
    assert rows_of(source, "validation") == [("text 0", "neg")]
    assert source.notes == ("train: 1 of 3 rows have no label (-1 beside class names) and are left out",)
    columns = {"text": "text", "label": "label"}
    examples = read_unseen(folder, columns, required=set(columns), split="validation", label_names=("neg", "pos"))
    assert examples.labels.tolist() == [0]
    with pytest.raises(DataError, match=r"must have a split 'test', got train, validation"):
        read_unseen(folder, columns, required=set(columns), label_names=("neg", "pos"))


def test_one_data_set_of_save_to_disk_is_train_as_it_was_sorted_and_filtered(tmp_path):
    dataset([2, 0, 1]).select([2, 0]).save_to_disk(str(tmp_path / "saved"))
    assert rows_of(read(tmp_path / "saved")) == [("text 2", "neutral"), ("text 0", "pos")]


def test_a_damaged_folder_of_save_to_disk_is_one_line(tmp_path):
    dataset([2, 0, 1]).save_to_disk(str(tmp_path / "saved"))
    for name, content in (("state.json", b"{"), ("data-00000-of-00001.arrow", b"x"), ("dataset_info.json", b"[]")):
        path = tmp_path / "saved" / name
        before = path.read_bytes()
        write(path, content)
        with pytest.raises(DataError, match=r"cannot be read with datasets\.load_from_disk: ") as error:
            read(tmp_path / "saved")
        assert "\n" not in str(error.value)
        write(path, before)


@pytest.mark.parametrize("ending", ["arrow", "feather"])
@pytest.mark.parametrize("kind", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_and_streams_are_read(tmp_path, ending, kind):
    table = dataset([2, 0]).data.table
    path = tmp_path / f"x.{ending}"
    with pa.OSFile(str(path), "wb") as file, kind(file, table.schema) as writer:
        writer.write_table(table)
    assert rows_of(read(path)) == [("text 0", "pos"), ("text 1", "neg")]
    write(path, path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cannot be read as Arrow|is empty"):
        read(path)


def test_a_folder_may_hold_packed_files_and_shards(tmp_path):
    import gzip

    write(tmp_path / "train-00000-of-00002.csv.gz", gzip.compress(b"text,label\na,01\n"))
    write(tmp_path / "train-00001-of-00002.csv.gz", gzip.compress(b"text,label\nb,1\n"))
    write(tmp_path / "test.tsv", "text\tlabel\nc\t1\n")
    source = read(tmp_path)
    assert rows_of(source) == [("a", "01"), ("b", "1")]
    assert rows_of(source, "test") == [("c", "1")]


def test_labels_of_shards_are_numbers_only_if_those_of_all_are(tmp_path):
    write(tmp_path / "train-00000-of-00002.csv", "text,label\na,2\nb,10\n")
    write(tmp_path / "train-00001-of-00002.csv", "text,label\nc,x\nd,1e1\n")
    assert read(tmp_path).label_names == ("10", "1e1", "2", "x")


def test_a_file_for_the_same_split_in_two_formats_is_refused(tmp_path):
    for name in ("train.json", "train.tsv"):
        write(tmp_path / name, "text,label\na,1\n")
    with pytest.raises(DataError, match=r"must hold one file for train, got train\.json, train\.tsv"):
        read(tmp_path)


def test_a_file_of_a_format_that_0_1_did_not_read_gives_way_to_one_that_it_did(tmp_path):
    write(tmp_path / "train.csv", "text,label\na,1\nb,0\n")
    write(tmp_path / "train.json", "{}")
    source = read(tmp_path)
    assert rows_of(source) == [("a", "1"), ("b", "0")]
    assert source.notes == ("train.json: not read, train.csv is beside it",)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (
            "x.xlsx",
            r"""convert it first, e\.g\. `python -c "import pandas; pandas\.read_excel\('x\.xlsx'\)\.to_parquet""",
        ),
        ("x.pkl", r"pandas\.read_pickle\('x\.pkl'\)\.to_parquet\('x\.parquet'\)"),
        ("x.zip", r"got '\.zip'; unpack it first"),
        ("x.parquet.gz", r"got '\.parquet\.gz'; unpack it first"),
        ("x.sqlite", r"sqlite3 -header -csv"),
        ("x.txt", r"name it by what it holds, e\.g\. rows\.csv"),
        ("x", r"got ''; name it by what it holds"),
    ],
)
def test_other_formats_are_refused_with_the_way_out(tmp_path, name, remedy):
    with pytest.raises(DataError, match=remedy):
        read(write(tmp_path / name, "text,label\na,1\n"))


def test_a_folder_inside_is_named_where_the_files_are(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train.csv", "text,label\na,1\n")
    with pytest.raises(DataError, match=r"must hold train\.parquet.*, got data; did you mean '.*/data'\?"):
        read(tmp_path)


def test_names_that_end_as_files_do_are_local():
    for name in ("rows.csv.gz", "rows.tsv", "rows.ndjson", "rows.xlsx", "rows.JSONL.XZ"):
        assert source_kind(name) == "local", name
