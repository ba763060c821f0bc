"""Further test sets: which rows they have, in which classes, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from raybert.config import DataConfig, validate_config
from raybert.data import load_splits
from raybert.data.extra_tests import with_extra_tests
from raybert.data.first_look import look_at_extra_tests
from raybert.data.targets import target_matrix
from raybert.errors import ConfigError, DataError

TEXTS = [f"text number {number}" for number in range(120)]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.csv"
    pd.DataFrame({"text": TEXTS, "label": ["bad", "good", "so so"] * 40}).to_csv(path, index=False)
    return path


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def loaded(pool: Path, extra_tests: dict[str, Any], **keys: Any) -> Any:
    config = DataConfig(source=str(pool), extra_tests=extra_tests, **keys)
    return with_extra_tests(load_splits(config, pool.parent), config, pool.parent)


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def test_labels_are_those_of_the_pool_and_rows_stand_in_the_order_of_the_file(pool, tmp_path):
    file = write(tmp_path / "other.csv", sentence=["z", "y", "x"], mood=["so so", "bad", "so so"])
    splits = loaded(pool, {"other": {"source": file, "text": "sentence", "label": "mood"}})
    assert rows_of(splits.extra_tests["other"]) == [("z", 2), ("y", 0), ("x", 2)]
    counts = {"bad": 1, "good": 0, "so so": 2}
    assert splits.details["extra_tests"]["other"] == {"source": file, "rows": 3, "class_counts": counts}


def test_pool_and_fingerprint_do_not_know_of_them_and_their_digest_is_that_of_their_content(pool, tmp_path):
    file = write(tmp_path / "other.csv", text=["a", "b"], label=["bad", "good"])
    without, splits = loaded(pool, {}), loaded(pool, {"other": file})
    assert without.extra_tests == {}
    assert without.extra_tests_digest == ""
    assert (splits.fingerprint, splits.train) == (without.fingerprint, without.train)
    assert loaded(pool, {"other": file}).extra_tests_digest == splits.extra_tests_digest
    assert loaded(pool, {"third": file}).extra_tests_digest != splits.extra_tests_digest
    write(tmp_path / "other.csv", text=["a", "b"], label=["bad", "bad"])
    assert loaded(pool, {"other": file}).extra_tests_digest != splits.extra_tests_digest


@pytest.mark.parametrize(
    ("there", "split", "expected"),
    [
        (["train", "validation", "test"], "auto", "test"),
        (["train", "validation"], "auto", "validation"),
        (["train"], "auto", "train"),
        (["train", "validation", "test"], "validation", "validation"),
    ],
)
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_folder_gives_its_test_split_or_the_one_that_is_asked_for(pool, tmp_path, there, split, expected, is_saved):
    folder = tmp_path / "other"
    if is_saved:
        rows = {name: datasets.Dataset.from_dict({"text": [name], "label": ["good"]}) for name in there}
        datasets.DatasetDict(rows).save_to_disk(folder)
    for name in there if not is_saved else ():
        write(folder / f"{name}.csv", text=[name], label=["good"])
    splits = loaded(pool, {"other": {"source": str(folder), "split": split}})
    assert splits.extra_tests["other"]["text"].to_pylist() == [expected]


def test_examples_are_drawn_by_class_and_a_smaller_number_takes_none_that_a_larger_one_does_not(pool, tmp_path):
    labels = ["bad"] * 60 + ["good"] * 30 + ["so so"] * 10
    file = write(tmp_path / "other.csv", text=[f"other {n}" for n in range(100)], label=labels)

    def drawn(examples: int, **keys: Any) -> Any:
        return loaded(pool, {"other": {"source": file, "examples": examples}}, **keys).extra_tests["other"]

    small, large = drawn(20), drawn(50)
    assert pd.Series(small["label"].to_pylist()).value_counts().to_dict() == {0: 12, 1: 6, 2: 2}
    texts = small["text"].to_pylist()
    assert texts == sorted(texts, key=lambda text: int(text.split()[1]))
    assert {*texts} < {*large["text"].to_pylist()}
    assert drawn(20, split_seed=1)["text"].to_pylist() != texts
    assert drawn(100).num_rows == 100
    with pytest.raises(DataError, match=r"data.extra_tests.other.source: must have the 101 examples"):
        drawn(101)


def test_texts_that_are_in_train_too_are_counted(pool, tmp_path):
    splits = loaded(pool, {})
    known = splits.train["text"].to_pylist()[:2]
    file = write(tmp_path / "other.csv", text=[known[0].upper(), f" {known[1]}", "new"], label=["bad", "good", "good"])
    assert loaded(pool, {"other": file}).notes[-1] == (
        "extra test other: 2 of 3 examples have a text that is also in train"
    )


def test_several_labels_and_numbers_are_read_as_those_of_the_pool(tmp_path):
    pool = tmp_path / "pool.csv"
    marks = {"a": [1, 0] * 30, "b": [0, 1, 1] * 20}
    pd.DataFrame({"text": TEXTS[:60], **marks}).to_csv(pool, index=False)
    file = write(tmp_path / "other.csv", text=["x", "y"], a=[0, 1], b=[1, 1])
    splits = loaded(pool, {"other": file}, label=("a", "b"))
    found = target_matrix(splits.extra_tests["other"]["target"], splits.outputs)
    assert found.tolist() == [[0, 1], [1, 1]]

    numbers = tmp_path / "numbers.csv"
    pd.DataFrame({"text": TEXTS, "label": [number / 7 for number in range(120)]}).to_csv(numbers, index=False)
    file = write(tmp_path / "more.csv", text=["x", "y"], label=[0.25, -3])
    splits = loaded(numbers, {"other": file}, task="regression")
    assert target_matrix(splits.extra_tests["other"]["target"], splits.outputs).ravel().tolist() == [0.25, -3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"], "label": ["great"]}, r"data.extra_tests.x.label: column 'label' .* got \['great'\] \(1 of 1"),
        (
            {"texts": ["a"], "label": ["bad"]},
            r"data.extra_tests.x.text: .* has no column 'text'; .* did you mean 'text",
        ),
        ({"text": ["a"], "class": ["bad"]}, r"data.extra_tests.x.label: .* has no column 'label'"),
        ({"text": [""], "label": ["bad"]}, r"data.extra_tests.x.text: .*"),
    ],
)
def test_what_cannot_be_measured_on_is_one_line_with_its_key(pool, tmp_path, columns, message):
    file = write(tmp_path / "other.csv", **columns)
    with pytest.raises(DataError, match=message):
        loaded(pool, {"x": file})


def test_a_missing_file_or_column_is_said_before_anything_is_read(pool, tmp_path):
    def look(source: str) -> None:
        look_at_extra_tests(DataConfig(source=str(pool), extra_tests={"x": source}))

    with pytest.raises(DataError, match=r"^data.extra_tests.x.source: no such file or folder"):
        look(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"^data.extra_tests.x.label: .* has no column 'label'"):
        look(write(tmp_path / "other.csv", text=["a"]))


@pytest.mark.parametrize("name", ["test", "train", "validation", "scoring", "all", "a b", "", "9", "x/y", "a" * 41])
def test_names_that_tables_cannot_tell_apart_are_refused(name):
    with pytest.raises(ConfigError, match="data.extra_tests: must be named by letters"):
        validate_config({"data": {"extra_tests": {name: "a.csv"}}})


def test_iris_and_grids_have_none():
    extra = {"extra_tests": {"x": "a.csv"}}
    with pytest.raises(ConfigError, match="data.extra_tests: must be left out with `model.kind: iris`"):
        validate_config({"data": extra, "model": {"kind": "iris"}})
