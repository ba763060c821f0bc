"""Cross-validation: scikit-learn's folds on our rows, units that are never torn, and refusals."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from raybert.config import DataConfig
from raybert.data import Splits, load_folds, tokenize_splits
from raybert.data.folds import assign_folds
from raybert.data.identity import keyed_order, normal_forms
from raybert.data.units import Units
from raybert.errors import DataError
from raybert.models import load_tokenizer

SPLITS = ("train", "validation", "test")


def make_rows(sizes: dict[str, int], num_groups: int | None = None) -> list[dict[str, Any]]:
    rows = [{"text": f"{name} number {i}", "label": name} for name, n in sizes.items() for i in range(n)]
    return [{**row, "doc": f"d{i % num_groups}"} for i, row in enumerate(rows)] if num_groups else rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


def load(path: Path, folds: int, **keys: Any) -> tuple[Splits, ...]:
    return load_folds(DataConfig(source=str(path), folds=folds, **keys), Path("unused"))


def column(splits: Splits, split: str, name: str = "example_id") -> list[Any]:
    return list(getattr(splits, split)[name].to_pylist())


def check_partition(folds: tuple[Splits, ...]) -> None:
    """Every example is tested once; of every fold the three splits are disjoint and hold everything."""
    everything = sorted(i for split in SPLITS for i in column(folds[0], split))
    assert len(everything) == len(set(everything))
    assert sorted(i for fold in folds for i in column(fold, "test")) == everything
    for fold in folds:
        assert sorted(i for split in SPLITS for i in column(fold, split)) == everything


def check_untorn(folds: tuple[Splits, ...], unit_of: Any) -> None:
    for fold in folds:
        units = [set(unit_of(getattr(fold, split))) for split in SPLITS]
        assert sum(map(len, units)) == len(set.union(*units))


def test_rows_without_copies_get_the_folds_of_stratified_k_fold(tmp_path: Path) -> None:
    folds = load(write(tmp_path / "d.parquet", make_rows({"a": 83, "b": 31, "c": 7})), 5)
    check_partition(folds)
    everything = sorted(
        ((i, y) for fold in folds for i, y in zip(column(fold, "test"), column(fold, "test", "label"), strict=True)),
        key=lambda row: keyed_order([row[0]], 0, "order")[0],
    )
    ids, labels = np.array([i for i, _ in everything]), np.array([y for _, y in everything])
    for fold, (_, rows) in zip(folds, StratifiedKFold(5).split(labels, labels), strict=True):
        assert column(fold, "test") == ids[rows].tolist()
    counts = np.array([list(fold.details["class_counts"]["test"].values()) for fold in folds])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


def test_groups_get_the_folds_of_stratified_group_k_fold() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 60, 900)
    labels = (generator.random(900) < 0.02 + 0.2 * (groups % 3 == 0)).astype(np.int64)
    fold = assign_folds(Units.of_names(f"g{g}" for g in groups), labels, 5, seed=3)
    names = sorted({f"g{g}" for g in groups})
    place = dict(zip(np.array(names)[np.argsort(keyed_order(names, 3, "folds"))], range(60), strict=True))
    keys = [place[f"g{g}"] for g in groups]
    for number, (_, rows) in enumerate(StratifiedGroupKFold(5).split(labels, labels, keys)):
        assert np.flatnonzero(fold == number).tolist() == rows.tolist()
    shares = [labels[fold == number].mean() for number in range(5)]
    assert max(shares) - min(shares) < 0.03  # of 0.09
    assert (assign_folds(Units.of_names(f"g{g}" for g in groups), labels, 5, seed=4) != fold).any()


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 1)), min_size=30, max_size=80),
    st.integers(2, 4),
    st.integers(0, 3),
)
def test_units_are_never_torn_and_every_row_has_a_fold(rows: list[tuple[int, int]], m: int, seed: int) -> None:
    units = [str(unit) for unit, _ in rows] + [f"own {i}" for i in range(2 * m)]
    labels = np.array([label for _, label in rows] + [0, 1] * m)
    fold = assign_folds(Units.of_names(units), labels, m, seed)
    assert set(fold) == set(range(m))
    assert len(set(zip(units, fold.tolist(), strict=True))) == len(set(units))


@pytest.mark.parametrize("seed", range(3))
def test_groups_and_copies_stay_on_one_side_of_every_cut(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    rows = make_rows({"a": 200, "b": 40}, num_groups=48)
    rows = [{**row, "text": row["text"].upper() if generator.random() < 0.5 else row["text"]} for row in rows]
    rows += [{**row, "text": f" {row['text'].title()}"} for row in generator.sample(rows, 60)]
    path = write(tmp_path / "d.parquet", rows)
    grouped = load(path, 4, group="doc", split_seed=seed)
    check_partition(grouped)
    check_untorn(grouped, lambda table: table["group"].to_pylist())
    copies = load(path, 4, split_seed=seed)
    check_partition(copies)
    check_untorn(copies, normal_forms)
    assert "folds: 60 of 300 examples repeat the text of another" in copies[0].notes
    for fold in (*grouped, *copies):
        shares = [counts["b"] / sum(counts.values()) for counts in fold.details["class_counts"].values()]
        assert max(abs(share - 1 / 6) for share in shares) < 0.08


def test_texts_in_two_groups_of_different_folds_are_reported(tmp_path: Path) -> None:
    rows = make_rows({"a": 40, "b": 40}, num_groups=20)
    rows += [{"text": "the same everywhere", "label": "a", "doc": f"d{i}"} for i in range(20)]
    folds = load(write(tmp_path / "d.parquet", rows), 5, group="doc")
    assert "folds: 20 of 100 examples have a text that is also in another fold, in another group" in folds[0].notes


def test_the_rest_is_cut_by_the_validation_fraction_and_differently_by_another_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 240, "b": 60}))
    folds = load(path, 3, validation_fraction=0.25)
    assert [fold.details["rows"] for fold in folds] == [{"train": 150, "validation": 50, "test": 100}] * 3
    assert folds[0].details["class_counts"]["validation"] == {"a": 40, "b": 10}
    assert len({fold.fingerprint for fold in folds}) == 3
    other = load(path, 3, validation_fraction=0.25, split_seed=1)
    assert set(column(other[0], "test")) != set(column(folds[0], "test"))


@pytest.mark.parametrize("keys", [{}, {"group": "doc"}])
def test_a_permuted_file_gives_the_same_folds(tmp_path: Path, keys: dict[str, str]) -> None:
    rows = make_rows({"a": 90, "b": 45}, num_groups=27)
    permuted = random.Random(1).sample(rows, len(rows))
    first = load(write(tmp_path / "one.parquet", rows), 3, **keys)
    second = load(write(tmp_path / "two.parquet", permuted), 3, **keys)
    assert [fold.fingerprint for fold in first] == [fold.fingerprint for fold in second]


def test_fixed_splits_are_subsampled_put_together_and_named(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", make_rows({"a": 100, "b": 50}))
    pd.DataFrame({"text": [f"t{i}" for i in range(30)], "label": ["a", "b"] * 15}).to_parquet(tmp_path / "test.parquet")
    folds = load(tmp_path, 5, train_examples=60)
    check_partition(folds)
    assert folds[0].notes[0] == "folds: the splits train, test of the source are put together, 90 examples"
    texts = [text for fold in folds for text in column(fold, "test", "text")]
    assert {f"t{i}" for i in range(30)} <= set(texts)
    counts = [sum(fold.details["class_counts"]["test"][name] for fold in folds) for name in "ab"]
    assert counts == [40 + 15, 20 + 15]


def test_examples_of_a_split_that_the_source_lacks_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 50, "b": 50}))
    with pytest.raises(
        DataError, match=r"data\.test_examples: must be left out with data\.folds.*no test split.*got 9"
    ):
        load(path, 5, test_examples=9)


def test_an_id_in_two_splits_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [
            {**row, "text": f"{split} {row['text']}", "key": i} for i, row in enumerate(make_rows({"a": 9, "b": 9}))
        ]
        write(tmp_path / f"{split}.parquet", rows)
    with pytest.raises(DataError, match=r"data\.id: must be unique over all splits .* got '0' twice; leave it out"):
        load(tmp_path, 3, id="key")
    check_partition(load(tmp_path, 3))


def test_fewer_groups_than_folds_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 40, "b": 40}, num_groups=4))
    message = r"data\.folds: must be at most 4, because there are 4 groups of column 'doc', got 5; lower it"
    with pytest.raises(DataError, match=message):
        load(path, 5, group="doc")


def test_a_class_in_fewer_units_than_folds_is_refused(tmp_path: Path) -> None:
    rows = make_rows({"a": 40, "b": 40}, num_groups=20)
    rows += [{"text": f"rare {i}", "label": "c", "doc": f"d{i % 3}"} for i in range(12)]
    path = write(tmp_path / "d.parquet", rows)
    with pytest.raises(
        DataError, match=r"data\.folds: every fold must hold every class, but of 'c' \(12 examples, 3 groups of column"
    ):
        load(path, 5, group="doc")
    check_partition(load(path, 5))
    with pytest.raises(DataError, match=r"of 'c' \(3 examples, 3 different texts\) there are fewer of them than folds"):
        load(write(tmp_path / "e.parquet", rows[:83]), 5)


def test_a_class_that_validation_would_lack_is_refused(tmp_path: Path) -> None:
    rows = make_rows({"a": 40, "b": 40}, num_groups=20)
    rows += [{"text": f"rare {i}", "label": "c", "doc": f"d{i % 2}"} for i in range(12)]
    path = write(tmp_path / "d.parquet", rows)
    with pytest.raises(
        DataError, match=r"data\.validation_fraction: .* of fold 0 has no 'c' \(6 examples, 1 groups.* got 0\.1; change"
    ):
        load(path, 2, group="doc")


def test_word_pieces_of_another_fold_are_those_of_tokenizing_anew(tmp_path: Path, tiny_bert: Any) -> None:
    rows = [{**row, "pair": f"red {i % 7} green"} for i, row in enumerate(make_rows({"a": 40, "b": 30}))]
    folds = load(write(tmp_path / "d.parquet", rows), 3, text_pair="pair")
    tokenizer = load_tokenizer(tiny_bert)
    first = tokenize_splits(folds[0], tokenizer, 12)
    for fold in folds:
        anew = tokenize_splits(fold, tokenizer, 12)
        taken = tokenize_splits(fold, tokenizer, 12, like=(folds[0], first))
        assert taken.fingerprint == anew.fingerprint
        assert taken.example_ids.tolist() == anew.example_ids.tolist()
        for split in SPLITS:
            one, other = getattr(taken, split), getattr(anew, split)
            for name in ("ids", "offsets", "second_starts", "labels"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                assert getattr(one, name).dtype == getattr(other, name).dtype


@pytest.mark.slow
def test_questions_of_wikiqa_are_in_one_fold_and_positives_in_every_one(shared_data: Path) -> None:
    if not (shared_data / "wikiqa").is_dir():
        pytest.skip(f"no dataset 'wikiqa' in {shared_data} (RAYBERT_DATA)")
    folds = load(shared_data / "wikiqa", 5, text_pair="text_pair", group="group")
    check_partition(folds)
    check_untorn(folds, lambda table: table["group"].to_pylist())
    assert sum(fold.details["rows"]["test"] for fold in folds) == 20_360 + 2_733 + 6_165
    for fold in folds:
        counts = fold.details["class_counts"]
        assert counts["test"]["1"] / sum(counts["test"].values()) == pytest.approx(0.0503, abs=0.0005)
        assert counts["train"]["1"] / sum(counts["train"].values()) == pytest.approx(0.0503, abs=0.002)
