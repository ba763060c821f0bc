"""Metrics by the values of any column: groups, missing values, numbers, intervals; of what a run held out and of files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from raybert.config import DataConfig
from raybert.data import load_folds, load_splits
from raybert.errors import ConfigError, DataError
from raybert.evaluation.by_columns import groups_of, keys_of, metrics_by, naming_the_option
from raybert.evaluation.target_measures import evaluate_targets
from tests.training.measures.test_of_targets import labels_of, numbers_of

LABELS = np.array([0, 1, 1, 0, 1, 0, 1, 1])
PREDICTED = np.array([0, 1, 0, 0, 1, 1, 1, 0])
PROBS = np.where(PREDICTED[:, None] == [0, 1], 0.8, 0.2)


def test_every_value_is_a_group_and_what_is_missing_is_the_last_one():
    source = np.array(["b", "", "a", "b", "a", "b", "", "a"], object)
    table = metrics_by({"source": source}, LABELS, PROBS, num_resamples=50)
    accuracy = table[table["metric"] == "accuracy"].set_index("group")
    assert accuracy.index.tolist() == ["a", "b", "(missing)"]
    assert accuracy["num_examples"].tolist() == [3, 3, 2]
    assert accuracy["value"].tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert (accuracy["low"] <= accuracy["value"]).all()
    assert (accuracy["value"] <= accuracy["high"]).all()
    for name in ("a", "b"):
        rows = source == name
        found = table[(table["group"] == name) & (table["metric"] == "f1")]["value"].item()
        assert found == pytest.approx(f1_score(LABELS[rows], PREDICTED[rows]))


def test_intervals_are_those_of_the_group_alone():
    from raybert.evaluation.bootstrap import bootstrap_intervals

    kind = np.array(list("xxyyxxyx"), object)
    table = metrics_by({"kind": kind}, LABELS, PROBS, num_resamples=100)
    rows = kind == "x"
    expected = bootstrap_intervals(LABELS[rows], PROBS[rows], PREDICTED[rows], num_resamples=100)
    found = table[table["group"] == "x"].set_index("metric")[["low", "high"]]
    assert found.loc["accuracy"].tolist() == pytest.approx(expected["accuracy"])


def test_several_columns_stand_below_each_other():
    columns = {"a": np.array(list("12121212"), object), "b": np.array(["u"] * 8, object)}
    table = metrics_by(columns, LABELS, PROBS, num_resamples=0)
    heads = table.drop_duplicates(["column", "group"])
    assert heads[["column", "group", "num_examples"]].to_numpy().tolist() == [
        ["a", "1", 4],
        ["a", "2", 4],
        ["b", "u", 8],
    ]
    assert table["low"].isna().all()
    whole = table[(table["column"] == "b") & (table["metric"] == "accuracy")]["value"].item()
    assert whole == accuracy_score(LABELS, PREDICTED)


def test_few_numbers_are_groups_in_their_order():
    groups, is_number = groups_of(np.array(["10", "9", "", "-1", "9"], object), "n")
    assert (groups.categories.tolist(), is_number) == (["-1", "9", "10", "(missing)"], True)


def test_many_numbers_are_refused_or_put_together_by_an_option():
    lengths = np.array([str(number) for number in range(40)], object)
    with pytest.raises(
        ConfigError, match=r"by: column 'length' must hold at most 20 different numbers, got 40; .*--qua"
    ):
        groups_of(lengths, "length")
    groups, _ = groups_of(lengths, "length", 4)
    assert groups.categories.tolist() == ["0 .. 9", "10 .. 19", "20 .. 29", "30 .. 39"]
    assert groups.value_counts().tolist() == [10] * 4
    skewed, _ = groups_of(np.array(["0"] * 30 + [str(number) for number in range(1, 11)], object), "length", 4)
    assert skewed.value_counts().to_dict() == {"0 .. 0": 30, "1 .. 10": 10}, "equal numbers are never torn apart"


def test_what_cannot_be_grouped_is_one_line():
    many = np.array([f"id {number}" for number in range(300)], object)
    with pytest.raises(ConfigError, match="by: column 'id' must hold at most 200 different values, got 300"):
        groups_of(many, "id")
    with pytest.raises(ConfigError, match="by: must name every column once, got 'a' twice"):
        keys_of(["a", "b", "a"])
    with pytest.raises(ConfigError, match="quantiles: must be left out, no column of `by` holds numbers"):
        metrics_by({"a": np.array(list("xyxyxyxy"), object)}, LABELS, PROBS, quantiles=3)


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_columns_come_along_with_the_splits_that_are_cut_without_them(tmp_path, form):
    frame = pd.DataFrame({"text": [f"text number {n}" for n in range(80)], "label": [n % 2 for n in range(80)]})
    frame["criterion"] = [f"c{n % 3}" if n % 7 else None for n in range(80)]
    frame["score"] = [n / 4 if n % 9 else np.nan for n in range(80)]
    path = tmp_path / f"all.{form}"
    write = {"csv": frame.to_csv, "parquet": frame.to_parquet, "jsonl": frame.to_json}[form]
    write(path, **({"orient": "records", "lines": True} if form == "jsonl" else {"index": False}))
    further = keys_of(["criterion", "score"])
    for load, folds in ((lambda *given: (load_splits(*given),), None), (load_folds, 4)):
        config = DataConfig(source=str(path), folds=folds)
        plain, wide = load(config, tmp_path), load(config, tmp_path, further)
        for one, other in zip(plain, wide, strict=True):
            assert other.test.select(one.test.column_names) == one.test
            rows = [int(text.split()[-1]) for text in other.test["text"].to_pylist()]
            assert other.test["by[0]"].to_pylist() == [f"c{n % 3}" if n % 7 else "" for n in rows]
            assert [float(v) if v else None for v in other.test["by[1]"].to_pylist()] == [
                n / 4 if n % 9 else None for n in rows
            ]
    said = r"^by\[0\]: .* has no column 'criterium'.*did you mean 'criterion'"
    with pytest.raises(DataError, match=said), naming_the_option():
        load_splits(DataConfig(source=str(path)), tmp_path, keys_of(["criterium"]))


def test_groups_of_several_labels_and_of_numbers_are_measured_as_scikit_learn_does():
    source = np.array(list("abab") * 50, object)
    rows = source == "a"
    targets, probs = labels_of()
    table = metrics_by({"source": source}, targets, probs, 0.4, num_resamples=30)
    found = table[table["group"] == "a"].set_index("metric")
    micro = f1_score(targets[rows], probs[rows] >= 0.4, average="micro", zero_division=0)
    assert found.loc["micro_f1", "value"] == pytest.approx(micro)
    assert found.loc["micro_f1", "low"] <= micro <= found.loc["micro_f1", "high"]
    alone = evaluate_targets(targets[rows], probs[rows], tuple("abcd"), threshold=0.4, num_resamples=30)
    assert found.loc["map", ["value", "low", "high"]].tolist() == pytest.approx(alone.metric("map"))
    targets, probs = numbers_of()
    table = metrics_by({"source": source}, targets, probs, num_resamples=0).set_index(["group", "metric"])
    assert table.loc[("a", "mae"), "value"] == pytest.approx(mean_absolute_error(targets[rows], probs[rows]))
    assert {name for _, name in table.index} == {"rmse", "mae", "r2", "pearson", "spearman"}
