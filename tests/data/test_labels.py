"""Labels: which are numbers, what numbers are called, and what must not become one class or another one."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.data.labels import match_labels
from raybert.data.raw import RawTable
from raybert.data.unseen import read_unseen
from raybert.errors import DataError
from tests.data.files import read, rows_of, write


def csv_of(path, labels):
    return write(path, "text,label\n" + "".join(f"text {i},{label}\n" for i, label in enumerate(labels)))


def named(labels, names, kind=None):
    """A table as `datasets` writes a ClassLabel column."""
    columns = {"text": [f"text {i}" for i in range(len(labels))], "label": pa.array(labels, kind or pa.int64())}
    feature = {"names": names, "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def parquet_of(path, labels, names):
    pq.write_table(named(labels, names), path)
    return path


NAMES_AS_WRITTEN = {
    "leading zeros": ["01", "1", "02"],
    "hexadecimal": ["0x1A", "26"],
    "powers of ten": ["1e2", "100"],
    "codes of diseases": ["1E10", "2E11", "E11"],
    "all with leading zeros": ["01", "02"],
    "plus": ["+1", "-1"],
    "a fraction and a whole number": ["1", "1.0"],
    "trailing zeros": ["1.50", "1.5"],
    "a point without digits": ["1.", "2."],
    "minus nothing": ["-0", "0"],
    "nan beside numbers": ["0", "1", "nan"],
    "null beside numbers": ["0", "1", "null"],
    "infinity": ["inf", "1"],
    "more than 64 bits": ["12345678901234567890", "12345678901234567891"],
    "separators": ["1_000", "1000"],
    "other digits": ["\uff11", "1"],
    "blanks": [" 1", "1"],
    "fractions too long": ["0.10000000000000001", "0.1"],
}


@pytest.mark.parametrize("labels", NAMES_AS_WRITTEN.values(), ids=NAMES_AS_WRITTEN.keys())
def test_labels_of_a_csv_file_are_names_as_written_unless_all_are_the_only_way_to_write_their_number(tmp_path, labels):
    source = read(csv_of(tmp_path / "x.csv", labels))
    assert [label for _, label in rows_of(source)] == labels


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["1.0", "0.0", "10.0"], ("0", "1", "10")),
        (["9223372036854775807", "0"], ("0", "9223372036854775807")),
    ],
)
def test_labels_of_a_csv_file_that_are_plain_numbers_are_ordered_as_numbers(tmp_path, labels, names):
    assert read(csv_of(tmp_path / "x.csv", labels)).label_names == names


def test_a_split_whose_labels_look_like_numbers_matches_train_by_what_is_written(tmp_path):
    csv_of(tmp_path / "train.csv", ["01", "1", "x"])
    csv_of(tmp_path / "test.csv", ["1", "1"])
    assert [label for _, label in rows_of(read(tmp_path), "test")] == ["1", "1"]
    csv_of(tmp_path / "test.csv", ["01"])
    assert [label for _, label in rows_of(read(tmp_path), "test")] == ["01"]


@pytest.mark.parametrize(
    ("written", "label_names", "expected"),
    [
        (["01", "1"], ("01", "1"), [0, 1]),
        (["1", "1"], ("01", "1"), [1, 1]),
        (["1.0", "2.0"], ("1", "1.0", "2.0"), [1, 2]),
        (["1.0", "0.0"], ("0", "1"), [1, 0]),  # a model that was trained on such a file
        (["100"], ("1e2", "100"), [1]),
        (["1", "0"], ("neg", "pos"), [1, 0]),
        (["nan", "1"], ("1", "nan"), [1, 0]),
        (["0x1A"], ("0x1A", "26"), [0]),
    ],
)
def test_evaluate_matches_the_labels_of_a_csv_file_as_training_read_them(tmp_path, written, label_names, expected):
    path = csv_of(tmp_path / "x.csv", written)
    columns = {"text": "text", "label": "label"}
    assert read_unseen(path, columns, required=set(columns), label_names=label_names).labels.tolist() == expected


@pytest.mark.parametrize(
    ("written", "label_names", "unknown"),
    [(["1", "01"], ("1", "2"), "'01'"), (["26"], ("0x1A", "7"), "'26'"), (["1e2", "1"], ("1", "100"), "'1e2'")],
)
def test_evaluate_takes_no_number_for_another_way_to_write_it(tmp_path, written, label_names, unknown):
    columns = {"text": "text", "label": "label"}
    path = csv_of(tmp_path / "x.csv", written)
    with pytest.raises(DataError, match=rf"must hold classes of the model .*, got \[{unknown}\]"):
        read_unseen(path, columns, required=set(columns), label_names=label_names)


# --- class names


def test_rows_without_a_label_beside_class_names_are_left_out_and_counted(tmp_path):
    parquet_of(tmp_path / "train.parquet", [0, -1, 2, 1, -1], ["yes", "maybe", "no"])
    parquet_of(tmp_path / "test.parquet", [2, -1], ["yes", "maybe", "no"])
    source = read(tmp_path)
    assert source.label_names == ("yes", "maybe", "no")
    assert rows_of(source) == [("text 0", "yes"), ("text 2", "no"), ("text 3", "maybe")]
    assert source.notes == (
        "train: 2 of 5 rows have no label (-1 beside class names) and are left out",
        "test: 1 of 2 rows have no label (-1 beside class names) and are left out",
    )


def test_rows_are_counted_from_the_file_where_some_are_left_out(tmp_path):
    table = named([-1, 0, 1], ["a", "b"]).set_column(0, "text", pa.array(["x", "y", " "]))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"empty or missing texts, got 1 of 2, in row 3 \(from 1\) of 'x\.parquet'"):
        read(tmp_path / "x.parquet")


def test_unlabelled_rows_are_left_out_of_an_evaluation_and_ids_stay_those_of_the_file(tmp_path):
    path = parquet_of(tmp_path / "x.parquet", [1, -1, 0], ["neg", "pos"])
    columns = {"text": "text", "label": "label"}
    examples = read_unseen(path, columns, required=set(columns), label_names=("neg", "pos"))
    assert examples.labels.tolist() == [1, 0]
    assert examples.ids.tolist() == [0, 2]
    assert examples.notes == (f"'{path}': 1 of 3 rows have no label (-1 beside class names) and are left out",)


def test_a_file_without_any_label_cannot_be_evaluated(tmp_path):
    path = parquet_of(tmp_path / "x.parquet", [-1, -1], ["neg", "pos"])
    columns = {"text": "text", "label": "label"}
    with pytest.raises(DataError, match=r"must have rows with labels, got -1 in all of them; predict them instead"):
        read_unseen(path, columns, required=set(columns), label_names=("neg", "pos"))


def test_minus_one_without_class_names_is_a_class(tmp_path):
    source = read(csv_of(tmp_path / "x.csv", ["-1", "0", "1"]))
    assert source.label_names == ("-1", "0", "1")


def test_class_names_that_occur_twice_are_refused(tmp_path):
    path = parquet_of(tmp_path / "x.parquet", [0, 1, 2], ["a", "b", "a"])
    expected = (
        r"data\.label: .* different name for every class, got 'a' for 0 and 2 \(2 first in row 3 .* of 'x\.parquet'\)"
    )
    with pytest.raises(DataError, match=expected):
        read(path)
    assert read(parquet_of(path, [0, 1, 1], ["a", "b", "a"])).label_names == ("a", "b")  # the other one does not occur


@pytest.mark.parametrize("label", [3, -2])
def test_class_names_that_do_not_cover_the_labels_are_refused(tmp_path, label):
    path = parquet_of(tmp_path / "x.parquet", [0, 1, label], ["a", "b", "c"])
    with pytest.raises(
        DataError, match=rf"numbers of its 3 class names \(0 is a\), got {label} in row 3 .* 'x\.parquet'"
    ):
        read(path)


def test_splits_with_class_names_in_another_order_are_matched_by_name(tmp_path):
    parquet_of(tmp_path / "train.parquet", [0, 1], ["neg", "pos"])
    parquet_of(tmp_path / "validation.parquet", [0, 1, 1], ["pos", "neg"])
    source = read(tmp_path)
    assert [label for _, label in rows_of(source, "validation")] == ["pos", "neg", "neg"]


def test_splits_of_names_match_a_train_split_of_numbers_with_names(tmp_path):
    parquet_of(tmp_path / "train.parquet", [0, 2], ["neg", "so", "pos"])
    csv_of(tmp_path / "validation.csv", ["pos", "neg"])
    csv_of(tmp_path / "test.csv", ["2", "0"])
    source = read(tmp_path)
    assert [label for _, label in rows_of(source, "validation")] == ["pos", "neg"]
    assert [label for _, label in rows_of(source, "test")] == ["pos", "neg"]
    assert source.notes == ("test: labels are taken for numbers of the classes of train (0 is neg, 2 is pos)",)


def test_numbers_that_may_be_names_or_numbers_of_classes_are_refused(tmp_path):
    parquet_of(tmp_path / "train.parquet", [0, 1, 2], ["1", "2", "3"])
    csv_of(tmp_path / "test.csv", ["1", "2"])
    with pytest.raises(DataError, match=r"of test holds numbers without names, which may be names or numbers"):
        read(tmp_path)


def test_shards_whose_class_names_differ_are_refused(tmp_path):
    parquet_of(tmp_path / "train-00000-of-00002.parquet", [0, 1], ["neg", "pos"])
    parquet_of(tmp_path / "train-00001-of-00002.parquet", [0, 1], ["pos", "neg"])
    with pytest.raises(DataError, match=r"shards of a split must have the same class names, got \['neg', 'pos'\] in"):
        read(tmp_path)


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"label": []}}}'])
def test_damaged_notes_of_datasets_are_no_class_names(tmp_path, metadata):
    table = pa.table({"text": ["a", "b"], "label": [0, 1]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet").label_names == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (["pos", "Pos", "neg"], r"'Pos' (1) and 'pos' (1) in column 'label' differ only by case, blanks"),
        (["pos", "pos ", "neg"], r"'pos' (1) and 'pos ' (1) in column"),
        (["pos", "p\u200bos", "neg"], "'pos' (1) and 'p\\u200bos' (1) in column"),
        (["01", "1", "2"], "'01' (1) and '1' (1) in column"),
        (["straße", "STRASSE", "x"], "'STRASSE' (1) and 'straße' (1) in column"),
        (["nan", "0", "1"], "'nan' in column 'label' is a class like others (1 examples of train)"),
        (["None", "a", "b"], "'None' in column 'label' is a class like others (1 examples of train)"),
    ],
)
def test_classes_that_are_nearly_one_or_may_be_missing_are_noted(tmp_path, labels, note):
    source = read(csv_of(tmp_path / "x.csv", labels))
    assert [label for _, label in rows_of(source)] == labels
    assert len(source.notes) == 1
    assert note in source.notes[0]


def test_a_label_of_blanks_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"data\.label: .* no empty or missing labels, got 1 of 3, in row 2"):
        read(csv_of(tmp_path / "x.csv", ["a", "  ", "b"]))


# --- types


def dictionary(values, kind):
    return pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(values, kind))


TYPES = {
    "string_view": pa.array(["b", "a", "b"], pa.string_view()),
    "large_string": pa.array(["b", "a", "b"], pa.large_string()),
    "binary": pa.array([b"b", b"a", b"b"]),
    "large_binary": pa.array([b"b", b"a", b"b"], pa.large_binary()),
    "binary_view": pa.array([b"b", b"a", b"b"], pa.binary_view()),
    "dictionary": dictionary(["a", "b"], pa.string()),
    "dictionary of large_string": dictionary(["a", "b"], pa.large_string()),
    "dictionary of string_view": dictionary(["a", "b"], pa.string_view()),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), pa.array(["b", "a", "b"])),
    "extension": pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "x", "y"), pa.array(["b", "a", "b"])),
}


@pytest.mark.parametrize("column", TYPES.values(), ids=TYPES.keys())
def test_texts_and_labels_of_every_type_of_string_are_read(tmp_path, column):
    table = pa.table({"text": column, "label": column, "g": column})
    for ending, save in ((".parquet", pq.write_table), (".arrow", write_arrow)):
        path = tmp_path / f"x{ending}"
        try:
            save(table, path)
        except pa.ArrowNotImplementedError:  # parquet has no such type
            continue
        assert rows_of(read(path, group="g")) == [("b", "b"), ("a", "a"), ("b", "b")]


def write_arrow(table, path):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


NUMBERS = {
    "decimal of no digits": pa.array([Decimal(7), Decimal(3), Decimal(7)], pa.decimal128(38, 0)),
    "decimal of two digits": pa.array([Decimal("7.00"), Decimal("3.00"), Decimal("7.00")], pa.decimal128(9, 2)),
    "long decimal": pa.array([Decimal(7), Decimal(3), Decimal(7)], pa.decimal256(50, 0)),
    "half float": pa.array(np.array([7, 3, 7], np.float16)),
    "float": pa.array([7.0, 3.0, 7.0]),
    "int8": pa.array([7, 3, 7], pa.int8()),
    "uint64": pa.array([7, 3, 7], pa.uint64()),
    "dictionary of integers": pa.array([7, 3, 7]).dictionary_encode(),
}


@pytest.mark.parametrize("column", NUMBERS.values(), ids=NUMBERS.keys())
def test_labels_of_every_type_of_number_are_read(tmp_path, column):
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": column}), tmp_path / "x.parquet")
    assert [label for _, label in rows_of(read(tmp_path / "x.parquet"))] == ["7", "3", "7"]


def test_decimals_are_ids(tmp_path):
    ids = pa.array([Decimal(10**30), Decimal(2)], pa.decimal128(38, 0))
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1], "k": ids}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", id="k").tables["train"]["id"].to_pylist() == [str(10**30), "2"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([Decimal("1.50"), Decimal(2)], pa.decimal128(5, 2)), r"got 1\.5 in row 1 \(from 1\) of 'x\.parquet'"),
        (
            pa.array([2**63, 1], pa.uint64()),
            r"numbers of at most 64 bits, got 9223372036854775808; write them as strings",
        ),
        (pa.array([b"\xff", b"a"]), r"data\.label: .* cannot be read as text or numbers: Invalid UTF8"),
        (pa.array([[1], [2]]), r"must hold whole numbers or strings, got list<"),
        (pa.array([None, None], pa.null()), r"must hold whole numbers or strings, got null"),
    ],
)
def test_labels_of_other_types_are_one_line(tmp_path, column, message):
    pq.write_table(pa.table({"text": ["a", "b"], "label": column}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path / "x.parquet")
    assert "\n" not in str(error.value)


def test_numbers_of_a_table_are_matched_with_a_model_by_the_tables_own_names():
    table = RawTable(pa.table({"label": [0, 1]}), ("pos", "neg"))
    assert match_labels(table, ("neg", "pos"), "label", "x").tolist() == [1, 0]


# --- texts that cannot be seen


@pytest.mark.parametrize(
    "text",
    [
        "\u200b",
        "\u200b \ufeff",
        "\u2060\u200d",
        "\u00ad",
        "\u3000\u00a0",
        "\u3164",
        "\u2800",
        "\ufe0f",
        "\x00",
        "\ufffd",
    ],
)
def test_texts_that_cannot_be_seen_are_refused_with_file_and_row(tmp_path, text):
    pq.write_table(pa.table({"text": ["a", text], "label": [0, 1]}), tmp_path / "x.parquet")
    with pytest.raises(
        DataError, match=r"data\.text: .* got 1 of 2, in row 2 \(from 1\) of 'x\.parquet'; remove or fill"
    ):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("text", ["\u200ba", "👩\u200d👩", "\ue000", ".", "\u0301", "本", "a\ufffd"])
def test_texts_with_something_to_see_are_kept_as_they_are(tmp_path, text):
    pq.write_table(pa.table({"text": [text, "b"], "label": [0, 1]}), tmp_path / "x.parquet")
    assert rows_of(read(tmp_path / "x.parquet"))[0] == (text, "0")


def test_the_row_is_that_of_the_shard(tmp_path):
    for shard, texts in enumerate((["a", "b"], ["c", ""])):
        table = pa.table({"text": texts, "label": [0, 1]})
        pq.write_table(table, tmp_path / f"train-0000{shard}-of-00002.parquet")
    with pytest.raises(DataError, match=r"in row 2 \(from 1\) of 'train-00001-of-00002\.parquet'"):
        read(tmp_path)


def test_numbers_with_names_that_a_model_does_not_have_are_no_class_numbers():
    table = RawTable(pa.table({"label": [0, 1]}), ("cat", "dog"))
    with pytest.raises(DataError, match=r"must hold classes of the model \(neg, pos\), got \['0', '1'\]"):
        match_labels(table, ("neg", "pos"), "label", "x")
