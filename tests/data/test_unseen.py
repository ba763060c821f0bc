import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.data.labels import match_labels
from raybert.data.raw import RawTable
from raybert.data.unseen import read_unseen
from raybert.errors import DataError

TEXT = {"text": "text"}


def numbers(labels, label_names, class_names=None):
    table = RawTable(pa.table({"label": labels}), class_names)
    return match_labels(table, label_names, "label", "'x.csv'").tolist()


@pytest.mark.parametrize(
    ("labels", "label_names", "class_names", "expected"),
    [
        (["pos", "neg"], ("neg", "pos"), None, [1, 0]),
        ([5, 1, 3], ("1", "3", "5"), None, [2, 0, 1]),  # stars: by name, not by number
        ([1, 0], ("neg", "pos"), None, [1, 0]),  # as class numbers
        ([1.0, 0.0], ("neg", "pos"), None, [1, 0]),
        ([0, 1], ("neg", "pos"), ("pos", "neg"), [1, 0]),  # the file's own names decide
        ([0, 1], ("0", "1"), ("pos", "neg"), [0, 1]),  # whose names the model does not know
        ([True, False], ("false", "true"), None, [1, 0]),
        ([1, 1], ("a", "b", "c"), None, [1, 1]),  # not all classes need occur
        (["1", "0"], ("0", "1"), None, [1, 0]),
    ],
)
def test_labels_become_the_models_class_numbers(labels, label_names, class_names, expected):
    assert numbers(labels, label_names, class_names) == expected


@pytest.mark.parametrize(
    ("labels", "label_names", "message"),
    [
        (
            ["pos", "negative"],
            ("neg", "pos"),
            r"must hold classes of the model \(neg, pos\), got \['negative'\] \(1 of 2",
        ),
        ([0, 1, 2], ("1", "2", "3"), r"got \['0'\] \(1 of 3 rows\)"),
        ([0, 2], ("neg", "pos"), r"got \[2\] \(1 of 2 rows\)"),
        ([-1, -1], ("neg", "pos"), r"got \[-1\] \(2 of 2 rows\)"),
        (["a", None], ("a", "b"), "no empty or missing labels, got 1 of 2, in row 2"),
    ],
)
def test_a_label_that_the_model_does_not_know_is_one_line(labels, label_names, message):
    with pytest.raises(DataError, match=message) as error:
        numbers(labels, label_names)
    assert "\n" not in str(error.value)


def test_lines_of_a_txt_file_are_texts_in_their_order(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b'one\r\ntwo\x0b2\n three, "3"\n')
    examples = read_unseen(path, {**TEXT, "id": "key"}, required={"text"})
    assert examples.texts == ["one", "two\x0b2", ' three, "3"']
    assert examples.ids.tolist() == [0, 1, 2]
    assert examples.labels is examples.text_pairs is examples.groups is None


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_without_labels_is_read_and_ids_are_taken_where_there_are_some(tmp_path, ending):
    table = pa.table({"key": ["b", "a"], "text": ["one", "two"], "other": [1, 2]})
    path = tmp_path / f"x.{ending}"
    if ending == "parquet":
        pq.write_table(table, path)
    else:
        frame = table.to_pandas()
        frame.to_csv(path, index=False) if ending == "csv" else frame.to_json(path, orient="records", lines=True)
    examples = read_unseen(path, {**TEXT, "id": "key", "group": "absent"}, required={"text"})
    assert examples.ids.tolist() == ["b", "a"]
    assert examples.texts == ["one", "two"]
    assert read_unseen(path, TEXT, required={"text"}).ids.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"data.group: .* has no column 'absent'"):
        read_unseen(path, {**TEXT, "group": "absent"}, required={"text", "group"})


def test_a_folder_gives_the_split_that_is_asked_for(tmp_path):
    for split, label in (("train", "a"), ("dev", "b")):
        (tmp_path / f"{split}.csv").write_text(f"text,label\nhello,{label}\n")
    columns = {**TEXT, "label": "label"}
    examples = read_unseen(tmp_path, columns, required=set(columns), split="validation", label_names=("a", "b"))
    np.testing.assert_array_equal(examples.labels, [1])
    with pytest.raises(DataError, match=r"must hold test.parquet\|test.csv\|.*, got dev.csv, train.csv"):
        read_unseen(tmp_path, columns, required=set(columns), split="test", label_names=("a", "b"))


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("x.doc", b"a", TEXT, "must be a .parquet, .csv, .*, .json, .arrow or .txt file, got '.doc'"),
        ("x.txt", b"", TEXT, r"is empty \(0 bytes\)"),
        ("x.txt", b" \n\n\t\n", TEXT, r"no empty or missing texts, got 3 of 3, in rows 1, 2, 3 \(from 1\)"),
        ("x.txt", b"a\n", {**TEXT, "text_pair": "b"}, "data.text_pair: .* has one text a line and no columns"),
        ("x.txt", b"caf\xe9\n", TEXT, "must be UTF-8 text, got byte 0xe9"),
        ("x.csv", b"review\na\n", TEXT, "has no column 'text'; it has review"),
        ("x.csv", b"text\n\xe2\x80\x8b\n", TEXT, "no empty or missing texts, got 1 of 1, in row 1"),
        ("x.txt", "\u2060\n".encode(), TEXT, "no empty or missing texts, got 1 of 1, in row 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, columns, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_unseen(tmp_path / name, columns, required=set(columns))
    assert "\n" not in str(error.value)


def test_half_a_surrogate_pair_in_a_list_of_texts_is_one_line():
    with pytest.raises(
        DataError, match=r"data.text: .* of the list must hold whole characters, .* in row 2 \(from 1\)"
    ):
        read_unseen(["a", "b \udc80"], TEXT, required={"text"})


def test_predicted_files_are_recognised_and_said(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("text;note\r\none, two;1\r\nthree;2\r\n".encode("utf-16"))
    examples = read_unseen(path, TEXT, required={"text"})
    assert examples.texts == ["one, two", "three"]
    assert examples.notes == (f"'{path}': read as UTF-16", f"'{path}': read as separated by semicolons")


@pytest.mark.parametrize(
    ("name", "content", "rows", "where"),
    [
        ("x.txt", "a\n\nb\n\u2060\n", ["a", "", "b", "\u2060"], "rows 2, 4 (from 1)"),
        ("x.csv", 'text,n\n"a\nand b",1\n"",2\nc,3\n', ["a\nand b", "", "c"], "row 2 (from 1), line 4"),
        ("x.jsonl", '{"text": "a"}\n{"text": null}\n{"n": 1}\n', ["a", "", ""], "rows 2, 3 (from 1)"),
    ],
)
def test_what_is_predicted_may_have_rows_without_a_text_which_keep_their_place(tmp_path, name, content, rows, where):
    path = tmp_path / name
    path.write_text(content)
    examples = read_unseen(path, TEXT, required={"text"})
    assert examples.texts == rows
    assert examples.blank.tolist() == [not text.strip("\u2060 ") for text in rows]
    count = int(examples.blank.sum())
    assert examples.notes == (f"'{path}': {count} of {len(rows)} rows have no text ({where}) and no prediction",)


def test_missing_texts_of_a_list_and_a_table_keep_their_place(tmp_path):
    assert read_unseen(["a", None, " "], TEXT, required={"text"}).blank.tolist() == [False, True, True]
    frame = pd.DataFrame({"text": ["a", None], "label": ["x", "y"]})
    assert read_unseen(frame, TEXT, required={"text"}).blank.tolist() == [False, True]
    with pytest.raises(DataError, match="no empty or missing texts, got 1 of 2, in row 2"):  # which would be measured
        read_unseen(frame, {**TEXT, "label": "label"}, required={"text", "label"}, label_names=("x", "y"))


@pytest.mark.parametrize(
    ("texts", "note"),
    [
        (["12", "-3.5", "1e5"], "nothing but numbers or dates, such as '12'"),
        (["2024-01-02", "2024-01-03"], "nothing but numbers or dates"),
        (["12:30", "1,200"], "nothing but numbers or dates"),
        (["50%", " 7 "], "nothing but numbers or dates"),
        (["same", "same"], "one text only, 'same'"),
        (["12", "three"], None),
        (["12"], None),
    ],
)
def test_a_column_that_may_be_another_one_is_noted(tmp_path, texts, note):
    (tmp_path / "x.csv").write_text("\n".join(["text", *(f'"{text}"' for text in texts)]))
    notes = read_unseen(tmp_path / "x.csv", TEXT, required={"text"}).notes
    assert len(notes) == (note is not None)
    assert not notes or (note in notes[0] and notes[0].endswith("is it the column of the texts?"))
