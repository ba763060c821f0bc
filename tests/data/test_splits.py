"""Splits: stable ids, cuts without leaks, nested subsamples, and what is said about shared texts."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.config import DataConfig
from raybert.data import Splits, load_splits
from raybert.data.cut import assign_units
from raybert.data.identity import content_fingerprint, example_ids
from raybert.data.quotas import class_quotas
from raybert.data.splits import stratified_rows
from raybert.data.units import Units
from raybert.errors import DataError

REAL_DATA = Path(os.environ.get("RAYBERT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SPLITS = ("train", "validation", "test")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


def make_rows(sizes: dict[str, int], **more: Any) -> list[dict[str, Any]]:
    return [{"text": f"{name} number {i}", "label": name, **more} for name, n in sizes.items() for i in range(n)]


def load(path: Path, **keys: Any) -> Splits:
    return load_splits(DataConfig(source=str(path), **keys), Path("unused"))


def ids(splits: Splits, split: str) -> list[str]:
    return list(getattr(splits, split)["example_id"].to_pylist())


def class_counts(splits: Splits) -> dict[str, dict[str, int]]:
    return dict(splits.details["class_counts"])


def test_missing_splits_are_cut_stratified_with_the_shares_asked_for(tmp_path: Path) -> None:
    splits = load(write(tmp_path / "d.parquet", make_rows({"a": 600, "b": 300, "c": 100})))
    assert class_counts(splits) == {
        "train": {"a": 420, "b": 210, "c": 70},
        "validation": {"a": 60, "b": 30, "c": 10},
        "test": {"a": 120, "b": 60, "c": 20},
    }
    assert splits.details["cut_from_train"] == ["validation", "test"]
    texts = [text for split in SPLITS for text in getattr(splits, split)["text"].to_pylist()]
    assert len(texts) == len(set(texts)) == 1000


def test_only_the_split_that_is_missing_is_cut(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", make_rows({"a": 50, "b": 50}))
    pd.DataFrame({"text": [f"t{i}" for i in range(10)], "label": ["a", "b"] * 5}).to_parquet(tmp_path / "test.parquet")
    splits = load(tmp_path, validation_fraction=0.2)
    assert splits.details["rows"] == {"train": 80, "validation": 20, "test": 10}
    assert sorted(splits.test["text"].to_pylist()) == [f"t{i}" for i in range(10)]


def test_another_split_seed_cuts_differently(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 100, "b": 100}))
    first, second = load(path), load(path, split_seed=1)
    assert set(ids(first, "test")) != set(ids(second, "test"))
    assert first.fingerprint != second.fingerprint


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from("abc"), min_size=20, max_size=60))
def test_ids_do_not_depend_on_the_order_of_the_file(shuffler: random.Random, texts: list[str]) -> None:
    rows = [{"text": t, "label": i % 2, "group": "xy"[i % 3 > 0]} for i, t in enumerate(texts)]
    permuted = rows.copy()
    shuffler.shuffle(permuted)
    tables = [pa.Table.from_pylist(r) for r in (rows, permuted)]
    keyed = [Counter(zip(example_ids(t, "no").to_pylist(), *t.to_pydict().values(), strict=True)) for t in tables]
    assert keyed[0] == keyed[1]
    assert len(keyed[0]) == len(rows)


def test_permuted_and_grown_files_keep_their_ids_and_permuted_ones_their_splits(tmp_path: Path) -> None:
    rows = make_rows({"a": 120, "b": 60}) + make_rows({"a": 15})
    permuted = rows.copy()
    random.Random(3).shuffle(permuted)
    keys = {"train_examples": 50, "validation_examples": 10, "test_examples": 20}
    first = load(write(tmp_path / "one.parquet", rows), **keys)
    second = load(write(tmp_path / "two.parquet", permuted), **keys)
    assert first.fingerprint == second.fingerprint
    for split in SPLITS:
        assert getattr(first, split).equals(getattr(second, split))
    grown = load(write(tmp_path / "three.parquet", permuted + make_rows({"c": 30, "a": 2})))
    everything = load(tmp_path / "one.parquet")
    assert {i for s in SPLITS for i in ids(everything, s)} < {i for s in SPLITS for i in ids(grown, s)}


def test_id_is_a_hash_of_text_pair_label_and_occurrence() -> None:
    columns = {"text": ["a", "a", "a", "ab", "a"], "text_pair": ["bc", "bc", "bc", "c", "bd"]}
    table = pa.table({**columns, "label": pa.array([0, 0, 1, 0, 0])})
    values = example_ids(table, ("no", "yes")).to_pylist()
    assert len(set(values)) == 5
    assert all(len(value) == 16 and set(value) <= set("0123456789abcdef") for value in values)
    renamed = example_ids(table, ("no", "YES")).to_pylist()
    assert [a == b for a, b in zip(values, renamed, strict=True)] == [True, True, False, True, True]


def test_users_own_ids_are_kept_as_strings(tmp_path: Path) -> None:
    rows = [{**row, "key": 1000 + i} for i, row in enumerate(make_rows({"a": 30, "b": 30}))]
    splits = load(write(tmp_path / "d.parquet", rows), id="key")
    assert sorted(i for s in SPLITS for i in ids(splits, s)) == [str(1000 + i) for i in range(60)]


def test_copies_of_a_text_stay_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": name}
        for name in "ab"
        for i in range(60)
        for text in (f"{name} text {i}", f"  {name.upper()}  TEXT {i} ", f"{name} text {i}")
    ]
    splits = load(write(tmp_path / "d.parquet", rows))
    seen = {s: {" ".join(t.lower().split()) for t in getattr(splits, s)["text"].to_pylist()} for s in SPLITS}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]
    assert splits.details["rows"] == {"train": 252, "validation": 36, "test": 72}
    assert splits.notes[0] == "train: 168 of 252 examples repeat the text of another"


def test_groups_stay_on_one_side_and_rare_classes_are_spread(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [
        {"text": f"g{g} t{i}", "label": int(g % 10 == 0 and i == 0), "g": f"g{g}"}
        for g in range(200)
        for i in range(int(generator.integers(1, 12)))
    ]
    splits = load(write(tmp_path / "d.parquet", rows), group="g")
    groups = {s: set(getattr(splits, s)["group"].to_pylist()) for s in SPLITS}
    assert not groups["train"] & groups["validation"]
    assert not (groups["train"] | groups["validation"]) & groups["test"]
    assert sum(len(g) for g in groups.values()) == 200
    counts = class_counts(splits)
    assert sum(counts["test"].values()) == pytest.approx(0.2 * len(rows), rel=0.05)
    assert (counts["validation"]["1"], counts["test"]["1"]) == (
        pytest.approx(2, abs=1),
        pytest.approx(4, abs=1),
    )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=120), st.integers(0, 99))
def test_units_are_never_torn(rows: list[tuple[int, int]], seed: int) -> None:
    units = [str(unit) for unit, _ in rows]
    parts = assign_units(Units.of_names(units), np.array([label for _, label in rows]), [0.2, 0.1], seed)
    assert set(parts) <= {0, 1, 2}
    assert len(set(zip(units, parts, strict=True))) == len(set(units))


def test_class_too_small_to_be_cut_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 50, "rare": 2}))
    message = r"data\.label: class 'rare' must have enough examples to cut test and validation from train, got 2"
    with pytest.raises(DataError, match=message):
        load(path)
    splits = load(write(tmp_path / "e.parquet", make_rows({"a": 50, "rare": 3})))
    assert {split: counts["rare"] for split, counts in class_counts(splits).items()} == dict.fromkeys(SPLITS, 1)


def test_fractions_that_leave_nothing_for_train_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 50, "b": 50}))
    with pytest.raises(DataError, match=r"data\.validation_fraction: must leave examples .* got 0\.5 beside .* 0\.5"):
        load(path, validation_fraction=0.5, test_fraction=0.5)


def test_fewer_train_examples_than_classes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 50, "b": 50, "c": 50}))
    with pytest.raises(DataError, match=r"data\.train_examples: must be >= 3 \(one per class\), got 2"):
        load(path, train_examples=2)


def test_subsamples_are_stratified_and_nested(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", make_rows({"a": 500, "b": 200, "c": 20}))
    smaller = [set(ids(load(path, train_examples=n), "train")) for n in (3, 10, 50, 51, 200, 503)]
    assert [len(part) for part in smaller] == [3, 10, 50, 51, 200, 503]
    assert all(one < two for one, two in pairwise(smaller))
    assert class_counts(load(path, train_examples=50))["train"] == {"a": 35, "b": 14, "c": 1}


def test_class_quotas_by_hand() -> None:
    assert class_quotas(np.array([60, 30, 10]), 10).tolist() == [6, 3, 1]
    assert class_quotas(np.array([97, 2, 1]), 3).tolist() == [1, 1, 1]
    assert class_quotas(np.array([97, 2, 1]), 2).tolist() == [1, 1, 0]
    assert class_quotas(np.array([5, 5]), 10).tolist() == [5, 5]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_class_quotas_sum_up_fit_and_never_shrink(counts: list[int]) -> None:
    quotas = np.array([class_quotas(np.array(counts), total) for total in range(sum(counts) + 1)])
    assert quotas.sum(1).tolist() == list(range(sum(counts) + 1))
    assert (quotas[-1] == counts).all()
    assert (np.diff(quotas, axis=0) >= 0).all()
    assert (quotas[len(counts) :] >= 1).all()


def test_stratified_rows_are_the_first_of_each_class_in_the_given_order() -> None:
    labels = np.array([0, 0, 1, 0, 1, 0])
    order = np.array([5, 1, 4, 3, 2, 0], np.uint64)
    assert stratified_rows(labels, order, 3).tolist() == [5, 1, 4]


def test_shared_and_repeated_texts_are_counted_in_normal_form(tmp_path: Path) -> None:
    for split, texts, labels in (
        ("train", ["One  text", "one text", "two", "three", "four", "two"], [0, 1, 0, 1, 0, 0]),
        ("validation", ["ONE TEXT", "five"], [0, 1]),
        ("test", ["\uff54\uff57\uff4f", "five", "six", "Five "], [0, 1, 0, 1]),  # full-width "two"
    ):
        pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / f"{split}.csv", index=False)
    assert load(tmp_path).notes == (
        "validation: 1 of 2 examples have a text that is also in train",
        "test: 1 of 4 examples have a text that is also in train",
        "test: 2 of 4 examples have a text that is also in validation",
        "train: 2 of 6 examples repeat the text of another; 1 texts have two labels",
        "test: 1 of 4 examples repeat the text of another",
    )


def test_same_first_text_with_another_second_text_is_another_pair(tmp_path: Path) -> None:
    rows = {"q": ["x", "x", "y", "y"], "a": ["1", "2", "1", "2"], "label": [0, 1, 0, 1]}
    for split in SPLITS:
        frame = pd.DataFrame(rows).assign(a=lambda f, s=split: f["a"] + s)
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    assert load(tmp_path, text="q", text_pair="a").notes == ()
    assert load(tmp_path, text="q").notes[0] == "validation: 4 of 4 examples have a text that is also in train"


def test_fingerprint_sees_content_order_and_names() -> None:
    def fingerprint(texts: list[str], labels: list[int], names: tuple[str, ...] = ("n", "y")) -> str:
        return content_fingerprint({"train": pa.table({"text": texts, "label": pa.array(labels, pa.int64())})}, names)

    base = fingerprint(["ab", "c"], [0, 1])
    assert base == fingerprint(["ab", "c"], [0, 1])
    changed = [
        fingerprint(["a", "bc"], [0, 1]),
        fingerprint(["c", "ab"], [1, 0]),
        fingerprint(["ab", "c"], [1, 1]),
        fingerprint(["ab", "c"], [0, 1], ("n", "Y")),
        fingerprint(["ab", "c"], [0, 1], ("ny",)),
    ]
    assert len({base, *changed}) == 6


def test_fingerprint_does_not_depend_on_how_arrow_chunks_the_rows() -> None:
    table = pa.table({"text": ["a", "bé", "c"], "label": pa.array([0, 1, 0], pa.int64())})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_fingerprint({"train": chunked}, "ab") == content_fingerprint({"train": table}, "ab")


@pytest.mark.slow
def test_built_in_corpus_is_cut_without_shared_texts(corpus: Path) -> None:
    config = DataConfig(train_examples=1000, validation_examples=200, test_examples=300)
    splits = load_splits(config, corpus)
    assert splits.details["rows"] == {"train": 1000, "validation": 200, "test": 300}
    assert splits.notes == ()
    assert splits.details["package_versions"].keys() == set(splits.label_names)
    again = load_splits(config, corpus)
    assert asdict(again) == asdict(splits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keys", "rows", "note"),
    [
        ("trec", {}, {"train": 4898, "validation": 543, "test": 500}, "examples repeat the text of another"),
        (
            "sst2",
            {},
            {"train": 67347, "validation": 872, "test": 1821},
            "train: 371 of 67,347 examples repeat",
        ),
        (
            "wikiqa",
            {"text_pair": "text_pair", "group": "group"},
            {"train": 20360, "validation": 2733, "test": 6165},
            "test: 5 of 6,165 examples repeat the pair of another",
        ),
    ],
)
def test_real_data_is_read_as_its_page_describes_it(name: str, keys: Any, rows: dict[str, int], note: str) -> None:
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"no dataset '{name}' in {REAL_DATA} (RAYBERT_DATA)")
    splits = load(REAL_DATA / name, **keys)
    assert splits.details["rows"] == rows
    assert any(note in line for line in splits.notes)
    assert not any("also in" in line for line in splits.notes)
