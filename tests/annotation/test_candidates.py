"""Texts with and without labels, from files as people have them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.annotation.candidates import read_candidates
from raybert.config import DataConfig
from raybert.errors import DataError

TEXTS = ["one fish", "two fish", "red fish", "blue fish", "one fish"]


def read(tmp_path, frame, **keys):
    path = tmp_path / "texts.csv"
    frame.to_csv(path, index=False)
    return read_candidates(DataConfig(source=str(path), **keys))


@pytest.mark.parametrize(
    ("labels", "expected", "names"),
    [
        (["a", "", "b", None, "a"], ["a", None, "b", None, "a"], ("a", "b")),
        (["10", "", "9", "", ""], ["10", None, "9", None, None], ("9", "10")),  # by value
        ([1.0, None, 0.0, None, None], ["1", None, "0", None, None], ("0", "1")),  # as pandas writes numbers with gaps
        ([None] * 5, [None] * 5, ()),
    ],
)
def test_labels_of_csv(labels, expected, names, tmp_path):
    found = read(tmp_path, pd.DataFrame({"text": TEXTS, "label": labels}))
    assert (found.labels.tolist(), found.label_names) == (expected, names)
    assert found.is_labelled.tolist() == [label is not None for label in expected]


def test_a_file_may_have_no_column_of_labels(tmp_path):
    assert read(tmp_path, pd.DataFrame({"text": TEXTS})).labels.tolist() == [None] * 5


def test_class_names_and_minus_one_of_a_typed_file(tmp_path):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": TEXTS, "label": [1, -1, 0, None, 1]}, features=features)
    data.to_parquet(tmp_path / "texts.parquet")
    found = read_candidates(DataConfig(source=str(tmp_path / "texts.parquet")))
    assert found.labels.tolist() == ["yes", None, "no", None, "yes"]


def test_ids_are_of_the_content_whatever_the_labels_and_no_numbers(tmp_path):
    bare = read(tmp_path, pd.DataFrame({"text": TEXTS}))
    labelled = read(tmp_path, pd.DataFrame({"text": TEXTS, "label": list("abcda")}))
    longer = read(tmp_path, pd.DataFrame({"text": [*TEXTS, "a new one"]}))
    assert bare.example_ids == labelled.example_ids == longer.example_ids[:5]
    assert len(set(bare.example_ids)) == 5  # the copy of a text has an id of its own
    assert all(name[0] == "x" for name in bare.example_ids)
    own = read(tmp_path, pd.DataFrame({"text": TEXTS, "key": [5, 4, 3, 2, 1]}), id="key")
    assert own.example_ids == list("54321")


def test_further_labels_join_those_of_the_source(tmp_path):
    found = read(tmp_path, pd.DataFrame({"text": TEXTS, "label": ["a", "", "", "", ""]}))
    more = found.with_labels({found.example_ids[3]: "b", "of nobody": "c"})
    assert more.labels.tolist() == ["a", None, None, "b", None]
    assert found.labels.tolist() == ["a", None, None, None, None]


def test_what_cannot_be_annotated_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"data\.source: must be a file or a folder to annotate, got 'docstrings'"):
        read_candidates(DataConfig(source="docstrings"))
    with pytest.raises(DataError, match=r"data\.task: must be classification to annotate in rounds, got regression"):
        read_candidates(DataConfig(source=str(tmp_path), task="regression"))
    with pytest.raises(DataError, match=r"data\.text"):
        read(tmp_path, pd.DataFrame({"text": ["", "x"]}))


def test_a_sweep_leaves_out_what_has_no_label(tmp_path):
    from raybert.data.sources import read_source

    frame = pd.DataFrame({"text": [f"text {i}" for i in range(8)], "label": ["a", "b", "", None, "a", "b", "a", "b"]})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    config = DataConfig(source=str(tmp_path / "texts.csv"), unlabelled=True)
    found = read_source(config, tmp_path)
    assert found.tables["train"]["text"].to_pylist() == [f"text {i}" for i in (0, 1, 4, 5, 6, 7)]
    assert found.rows["train"].tolist() == [0, 1, 4, 5, 6, 7]
    assert "train: 2 of 8 rows have no label and are left out" in found.notes
    with pytest.raises(DataError, match=r"remove or fill them, or set data\.unlabelled: true, which leaves them out"):
        read_source(config.model_copy(update={"unlabelled": False}), tmp_path)
    frame.assign(label="").to_csv(tmp_path / "texts.csv", index=False)
    with pytest.raises(DataError, match=r"train must have rows with a label, got none .*raybert annotate"):
        read_source(config, tmp_path)


def test_the_key_is_no_part_of_older_identities():
    assert "unlabelled" not in DataConfig().identity()
    assert DataConfig(unlabelled=True).identity()["unlabelled"] is True


def test_validation_of_a_folder_is_measured_only_on_classes_that_are_known(tmp_path):
    from raybert.annotation.desk import read_validation
    from raybert.config import RaybertConfig

    pq.write_table(pa.table({"text": ["u", "v", "w"], "label": ["a", "b", None]}), tmp_path / "train.parquet")
    data = DataConfig(source=str(tmp_path))
    assert read_validation(RaybertConfig(data=data), read_candidates(data)) is None
    pq.write_table(pa.table({"text": ["x", "y", "z"], "label": ["b", "c", "a"]}), tmp_path / "validation.parquet")
    found = read_validation(RaybertConfig(data=data), read_candidates(data))
    assert found.texts["text"].to_pylist() == ["x", "z"]
    assert np.array_equal(found.labels, ["b", "a"])
