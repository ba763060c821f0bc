"""Sets of labels, and numbers, as a source has them: what they become, and what is refused with its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.config import DataConfig
from raybert.data.folds import load_folds
from raybert.data.splits import load_splits
from raybert.data.targets import TARGET, bin_edges, names_of_set, target_matrix
from raybert.errors import ConfigError, DataError

LABELS = ("insult", "threat", "toxic")


def rows_of(count: int = 120) -> list[dict[str, object]]:
    generator = np.random.default_rng(0)
    marks = generator.random((count, 3)) < [0.5, 0.3, 0.4]
    return [
        {
            "text": f"text number {i}",
            "labels": [name for name, mark in zip(LABELS, row, strict=True) if mark],
            **{name: int(mark) for name, mark in zip(LABELS, row, strict=True)},
            "joined": "; ".join(name for name, mark in zip(LABELS, row, strict=True) if mark),
            "score": float(i % 7) + 0.25,
        }
        for i, row in enumerate(marks)
    ]


def write(folder: Path, rows: list[dict[str, object]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write_csv(folder: Path, rows: list[dict[str, object]]) -> str:
    import pandas as pd

    path = folder / "rows.csv"
    pd.DataFrame(rows).drop(columns=["labels"]).to_csv(path, index=False)
    return str(path)


def by_text(splits: object) -> dict[str, object]:
    return {
        text: json.loads(target)
        for split in ("train", "validation", "test")
        for text, target in zip(
            getattr(splits, split)["text"].to_pylist(), getattr(splits, split)[TARGET].to_pylist(), strict=True
        )
    }


def test_lists_columns_and_separated_texts_are_the_same_labels(tmp_path: Path):
    rows = rows_of()
    wanted = {row["text"]: sorted(row["labels"]) for row in rows}
    source, csv = write(tmp_path, rows), write_csv(tmp_path, rows)
    for section in (
        {"source": source, "label": "labels", "task": "multi_label"},
        {"source": source, "label": list(LABELS)},
        {"source": csv, "label": list(LABELS)},
        {"source": csv, "label": "joined", "label_separator": ";", "task": "multi_label"},
    ):
        splits = load_splits(DataConfig(**section), tmp_path)
        assert (splits.task, splits.outputs) == ("multi_label", LABELS)
        assert by_text(splits) == wanted
        assert any("rows have no label" in note for note in splits.notes)


def test_a_label_of_strata_is_the_rarest_that_an_example_has(tmp_path: Path):
    splits = load_splits(DataConfig(source=write(tmp_path, rows_of()), label="labels", task="multi_label"), tmp_path)
    counts = {name: sum(name in labels for labels in by_text(splits).values()) for name in LABELS}
    for target, label in zip(splits.train[TARGET].to_pylist(), splits.train["label"].to_pylist(), strict=True):
        names = json.loads(target)
        assert splits.label_names[label] == (min(names, key=counts.__getitem__) if names else "no label")


def test_numbers_stay_as_they_are_and_strata_are_quantiles(tmp_path: Path):
    rows = rows_of()
    for source in (write(tmp_path, rows), write_csv(tmp_path, rows)):
        splits = load_splits(DataConfig(source=source, label="score", task="regression"), tmp_path)
        assert by_text(splits) == {row["text"]: row["score"] for row in rows}
        assert splits.outputs == ("score",)
        values = target_matrix(splits.train[TARGET], splits.outputs)[:, 0]
        for low, high in zip(range(len(splits.label_names) - 1), range(1, len(splits.label_names)), strict=True):
            labels = splits.train["label"].to_numpy()
            assert values[labels == low].max() < values[labels == high].min()


def test_bins_hold_twenty_values_and_equal_values_share_one():
    values = np.concatenate([np.zeros(500), np.arange(1.0, 101.0), [1000.0]])
    edges = bin_edges(values)
    counts = np.bincount(np.searchsorted(edges, values))
    assert counts.min() >= 20
    assert len(counts) <= 10
    assert edges[0] == 0.0  # all zeros are in the first


def test_folds_and_cut_splits_are_alike_in_every_label(tmp_path: Path):
    section = DataConfig(source=write(tmp_path, rows_of(300)), label="labels", task="multi_label", folds=3)
    shares = [list(fold.details["output_means"]["test"].values()) for fold in load_folds(section, tmp_path)]
    assert np.ptp(shares, axis=0).max() < 0.03
    cut = load_splits(section.model_copy(update={"folds": None}), tmp_path).details["output_means"]
    assert np.abs(np.subtract(list(cut["train"].values()), list(cut["test"].values()))).max() < 0.03


def test_ids_are_of_the_whole_answer(tmp_path: Path):
    rows = [{**row, "text": "the same"} for row in rows_of(40)] + rows_of(100)[40:]
    config = DataConfig(source=write(tmp_path, rows), label="score", task="regression")
    first = load_splits(config, tmp_path)
    again = load_splits(config.model_copy(update={"source": write(tmp_path, rows[::-1])}), tmp_path)
    assert first.fingerprint == again.fingerprint


BROKEN = [
    ({"label": "labels", "task": "multi_label"}, {"labels": None}, "no empty or missing labels, got 1 of .* row 3 "),
    ({"label": "labels", "task": "multi_label"}, {"labels": ["toxic", None]}, "got None in row 3 "),
    (
        {"label": "labels", "task": "multi_label"},
        {"labels": ["toxic", "toxic"]},
        "'toxic' several times in row 3 .*word",
    ),
    ({"label": list(LABELS)}, {"toxic": 2}, "must hold 0 or 1, got 2 in row 3 "),
    ({"label": list(LABELS)}, {"toxic": None}, "missing labels, got 1 of .* row 3 "),
    ({"label": "score", "task": "regression"}, {"score": float("nan")}, "(finite numbers|missing numbers).* row 3 "),
    ({"label": "score", "task": "regression"}, {"score": 1e39}, "must hold finite numbers, got 1e\\+39 in row 3 "),
    ({"label": "score", "task": "regression"}, {"score": None}, "missing numbers, got 1 of .* row 3 "),
    ({"label": "labels"}, {}, "set data.task: multi_label if each is a set of labels .*token classification"),
    ({"label": "score"}, {}, "or set data.task: regression"),
    ({"label": "joined", "task": "multi_label"}, {}, "data.label_separator: must say what stands between"),
    ({"label": "toxic", "task": "multi_label"}, {}, "must hold lists of labels, or texts with data.label_separator"),
    ({"label": "labels", "task": "regression"}, {}, "must hold numbers with data.task: regression"),
]


@pytest.mark.parametrize(("section", "change", "words"), BROKEN)
def test_what_cannot_be_labels_is_refused_with_its_rows(tmp_path: Path, section: dict, change: dict, words: str):
    rows = rows_of(60)
    rows[2] = {**rows[2], **change}
    with pytest.raises(DataError, match=words):
        load_splits(DataConfig(source=write(tmp_path, rows), **section), tmp_path)


def test_infinity_is_refused(tmp_path: Path):
    values = np.arange(60.0)
    values[5] = np.inf
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(60)], "label": values}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"finite numbers, got inf in row 6 "):
        load_splits(DataConfig(source=str(tmp_path / "a.parquet"), task="regression"), tmp_path)


def test_a_label_that_train_lacks_is_refused(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of()))
    other = [{**row, "text": f"other {i}"} for i, row in enumerate(rows_of(30))]
    other[4]["labels"] = ["rude"]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    with pytest.raises(DataError, match=r"labels of train only, got 'rude' in row 5 .*1 of 30 rows"):
        load_splits(DataConfig(source=str(folder), label="labels", task="multi_label"), tmp_path)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"label": ["a", "b"], "task": "regression"}, "label: must be one column with `task: regression`, got 2"),
        ({"label": ["a"]}, "label: must name at least two different columns"),
        ({"label_separator": ";"}, "label_separator: must be left out"),
        ({"task": "regression", "rare_classes": "drop"}, "rare_classes: must be error with `task: regression`"),
        ({"label": ["text", "b"]}, "label: must be another column than that of `text`"),
    ],
)
def test_sections_that_make_no_sense_are_refused(section: dict, words: str):
    from raybert.config import validate_config

    with pytest.raises(ConfigError, match=words):
        validate_config({"data": section})


def test_a_set_is_said_by_its_names():
    assert names_of_set(np.array([1, 0, 1]), LABELS) == "insult, toxic"
    assert names_of_set(np.zeros(3), LABELS) == "no label"


@pytest.mark.parametrize(
    ("grades", "is_said"), [(range(1, 6), True), (range(5), False), (range(60), True), ("abcde", False)]
)
def test_whole_numbers_that_may_be_a_scale_are_said_to_be_taken_for_classes(
    tmp_path: Path, grades: object, is_said: bool
):
    values = [*grades] * 10
    rows = [{"text": f"text {i}", "label": value} for i, value in enumerate(values)]
    source = write(tmp_path, rows)
    notes = load_splits(DataConfig(source=source), tmp_path).notes
    assert any("data.task: regression if they are a scale" in note for note in notes) == is_said
    settled = load_splits(DataConfig(source=source, task="classification"), tmp_path).notes
    assert not any("a scale" in note for note in settled)
