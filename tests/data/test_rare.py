"""Classes too rare to be in every split: refused with the way out, left out, or kept for training alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.config import DataConfig, validate_config
from raybert.data import Splits, load_folds, load_splits
from raybert.errors import DataError
from raybert.sweeping.plan.run_notes import run_notes
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping import planning

SPLITS = ("train", "validation", "test")


def load(folder: Path, sizes: dict[str, int], rare_classes: str, **keys) -> Splits:
    return load_splits(config_of(folder, sizes, rare_classes, **keys), Path("unused"))


def config_of(folder: Path, sizes: dict[str, int], rare_classes: str, **keys) -> DataConfig:
    rows = [{"text": f"{name} {i}", "label": name, "g": f"{i % 40}"} for name, n in sizes.items() for i in range(n)]
    pd.DataFrame(rows).to_csv(folder / "x.csv", index=False)
    return DataConfig(source=str(folder / "x.csv"), rare_classes=rare_classes, **keys)


def counts(splits: Splits) -> dict[str, list[int]]:
    """Class -> examples in train, validation and test."""
    tables = [getattr(splits, split) for split in SPLITS]
    return {
        name: [table["label"].to_pylist().count(label) for table in tables]
        for label, name in enumerate(splits.label_names)
    }


def test_a_rare_class_is_an_error_that_names_the_key(tmp_path):
    with pytest.raises(DataError, match=r"class 'rare' .* got 1 .*; give split files, or set data\.rare_classes: drop"):
        load(tmp_path, {"a": 50, "b": 50, "rare": 1}, "error")


def test_rare_classes_are_left_out_where_asked_for_and_the_others_are_cut_as_if_they_had_never_been(tmp_path):
    splits = load(tmp_path, {"a": 50, "lone": 1, "b": 50, "pair": 2}, "drop")
    assert splits.label_names == ("a", "b")
    assert counts(splits) == {"a": [35, 5, 10], "b": [35, 5, 10]}
    note = "data.rare_classes: 'lone' (1), 'pair' (2): too few to be in every split, left out (3 of 103 examples)"
    assert splits.notes == (note,)
    assert splits.fingerprint == load(tmp_path, {"a": 50, "b": 50}, "error").fingerprint


def test_rare_classes_are_in_train_alone_where_asked_for(tmp_path):
    splits = load(tmp_path, {"a": 50, "lone": 1, "b": 50, "pair": 2}, "train")
    assert counts(splits) == {"a": [35, 5, 10], "b": [35, 5, 10], "lone": [1, 0, 0], "pair": [2, 0, 0]}
    note = "data.rare_classes: 'lone' (1), 'pair' (2): too few to be in every split, kept in train alone (3 of 103 examples)"
    assert splits.notes == (note,)


def test_groups_of_a_rare_class_stay_whole_in_train(tmp_path):
    splits = load(tmp_path, {"a": 200, "b": 200, "rare": 2}, "train", group="g")
    groups = {split: set(getattr(splits, split)["group"].to_pylist()) for split in SPLITS}
    assert groups["train"] >= {"0", "1"}
    assert not groups["train"] & (groups["validation"] | groups["test"])
    assert counts(splits)["rare"] == [2, 0, 0]


@pytest.mark.parametrize("rare_classes", ["drop", "train"])
def test_without_rare_classes_nothing_changes_not_even_the_key_of_the_data(tmp_path, rare_classes):
    sizes = {"a": 30, "b": 10, "c": 3}
    assert load(tmp_path, sizes, rare_classes).fingerprint == load(tmp_path, sizes, "error").fingerprint
    assert "rare_classes" not in DataConfig().identity()
    assert DataConfig(rare_classes=rare_classes).identity()["rare_classes"] == rare_classes


def test_one_class_that_is_left_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.rare_classes: must leave two classes .*, got 1 \(a\) with 'drop'"):
        load(tmp_path, {"a": 50, "b": 2}, "drop")


def test_a_class_that_only_another_split_has_is_left_out_where_asked_for(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(40)))
    (tmp_path / "test.csv").write_text("text,label\nx,a\ny,c\nz,b\n")
    with pytest.raises(
        DataError, match=r"got \['c'\] \(1 of 3 rows\); remove them, .* or set data\.rare_classes: drop"
    ):
        load_splits(DataConfig(source=str(tmp_path)), Path("unused"))
    splits = load_splits(DataConfig(source=str(tmp_path), rare_classes="drop"), Path("unused"))
    assert splits.test["text"].to_pylist().count("y") == 0
    assert splits.notes == ("data.rare_classes: test: ['c'] (1 of 3 rows) are not in train, left out",)


@pytest.mark.parametrize(("rare_classes", "train"), [("drop", None), ("train", [2, 2, 2])])
def test_folds_leave_out_or_train_on_what_is_too_rare_for_them(tmp_path, rare_classes, train):
    config = config_of(tmp_path, {"a": 30, "b": 30, "rare": 2}, "error", folds=3)
    with pytest.raises(
        DataError, match=r"every fold must hold every class, .*; lower it or set data\.rare_classes: drop"
    ):
        load_folds(config, Path("unused"))
    folds = load_folds(config.model_copy(update={"rare_classes": rare_classes}), Path("unused"))
    found = [counts(fold) for fold in folds]
    assert [one.get("rare", [None])[0] for one in found] == (train or [None] * 3)
    assert sum(one["a"][2] + one["b"][2] for one in found) == 60
    assert folds[0].notes[0].startswith("data.rare_classes: 'rare' (2): too few to be in every split")


SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2, max_size=6)


@pytest.mark.slow
@given(SIZES, st.sampled_from(["drop", "train"]))
def test_every_class_is_in_every_split_or_set_aside_and_no_row_is_lost(tmp_path_factory, sizes, rare_classes):
    folder = tmp_path_factory.mktemp("rare")
    try:
        splits = load(folder, sizes, rare_classes)
    except DataError as error:
        message = str(error)
        splits = None
    if splits is None:
        assert message.startswith("data.rare_classes: must leave two classes")
        return
    found = counts(splits)
    for name, size in sizes.items():
        per_split = found.get(name, [0, 0, 0])
        assert all(per_split) or per_split == [size if rare_classes == "train" else 0, 0, 0]
        assert sum(per_split) in {size, 0}


def test_a_budget_below_the_number_of_classes_is_noted():
    sweep = {"strategies": ["all", "random"], "grid": {"selection.budget": [2, 3, 500]}}
    config = validate_config({"sweep": sweep, "train": {"length": {"epochs": 4}}})
    plan = planning.plan_of(config, PoolFacts("data", "encoder", 1000, 4))
    pools = {spec.data_key: PoolFacts("data", "encoder", 1000, 4) for spec in plan.trials}
    assert run_notes(plan.trials, pools) == [
        "selection.budget: 2 examples are fewer than the 4 classes: at least 2 classes are never trained on (the report "
        "lists them)",
        "selection.budget: 3 examples are fewer than the 4 classes: at least 1 class is never trained on (the report "
        "lists them)",
    ]
