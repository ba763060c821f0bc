"""Planted noise: what is planted, where, and that nothing else is changed by it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from raybert.config import DataConfig, load_config
from raybert.data import load_splits
from raybert.data.folds import load_folds
from raybert.data.noise import KINDS, clean_id, shuffle_words
from raybert.data.source_columns import read_source_columns
from raybert.data.tokens import tokenize_splits
from raybert.data.whole_source import rows_in_source
from raybert.errors import ConfigError

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [
        {"text": f"{' '.join(np.roll(WORDS, number))} {number}", "label": "abc"[number % 3]} for number in range(600)
    ]
    path = tmp_path / "texts.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def load(path: Path, noise: dict[str, Any] | None, **keys: Any) -> Any:
    return load_splits(DataConfig(source=str(path), noise=noise, **keys), path.parent)


def frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas().set_index("example_id")


def word_tokenizer() -> PreTrainedTokenizerFast:
    pieces = ["[PAD]", "[UNK]", *WORDS]
    backend = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


NOISE = {"flip": 0.2, "shuffle_words": 0.1, "duplicate": 0.05}


def test_the_pool_has_as_much_noise_as_was_asked_for_and_the_other_splits_have_none(source):
    clean, noisy = load(source, None), load(source, NOISE)
    before, after = frame(clean.train), frame(noisy.train)
    counts = Counter(after["planted"])
    n = len(before)
    assert {kind: counts[kind] for kind in KINDS} == {
        "flip": round(0.2 * n),
        "shuffle_words": round(0.1 * n),
        "duplicate": round(0.05 * n),
    }
    assert len(after) == n + counts["duplicate"]
    assert after.index.is_unique
    for split in ("validation", "test"):
        assert getattr(clean, split).equals(getattr(noisy, split))
    assert clean.fingerprint != noisy.fingerprint
    assert "planted" not in clean.train.column_names


def test_each_kind_changes_what_it_says_and_nothing_else(source):
    before, noisy = frame(load(source, None).train), load(source, NOISE)
    after = frame(noisy.train)
    was = before.loc[[clean_id(name) for name in after.index]].set_index(after.index)
    labels, texts = after["label"] != was["label"], after["text"] != was["text"]
    assert (labels == (after["planted"] == "flip")).all()
    assert (texts == (after["planted"] == "shuffle_words")).all()
    shuffled = after["planted"] == "shuffle_words"
    assert [sorted(t.split()) for t in after["text"][shuffled]] == [sorted(t.split()) for t in was["text"][shuffled]]
    originals = [clean_id(name) for name in after.index[after["planted"] == "duplicate"]]
    assert (after.loc[originals, "planted"] == "").all()  # what is copied is itself as it was
    assert (
        "data.noise: planted in 420 pool examples: 84 with another label, 42 with shuffled words, 21 copies added"
        in (noisy.notes)
    )


def test_flipped_labels_are_every_other_class_alike(tmp_path):
    path = tmp_path / "many.parquet"
    pd.DataFrame({"text": [f"text {i}" for i in range(9000)], "label": [i % 3 for i in range(9000)]}).to_parquet(path)
    after = frame(load(path, {"flip": 0.5}).train)
    flipped = after[after["planted"] == "flip"]
    before = frame(load(path, None).train)
    was = before.loc[[clean_id(name) for name in flipped.index], "label"].to_numpy()
    steps = Counter(((flipped["label"].to_numpy() - was) % 3).tolist())
    assert set(steps) == {1, 2}
    assert abs(steps[1] - steps[2]) < 4 * np.sqrt(len(flipped))  # four standard deviations of a fair coin


def test_what_is_planted_depends_on_ids_and_seed_alone(source, tmp_path):
    first = load(source, NOISE)
    shuffled = tmp_path / "shuffled.parquet"
    pd.read_parquet(source).sample(frac=1, random_state=3).to_parquet(shuffled)
    assert load(shuffled, NOISE).train.equals(first.train)
    other = load(source, {**NOISE, "seed": 1})
    assert set(other.train["example_id"].to_pylist()) != set(first.train["example_id"].to_pylist())
    more = {clean_id(n) for n in load(source, {"flip": 0.3}).train["example_id"].to_pylist() if n.endswith("+flip")}
    less = {clean_id(n) for n in load(source, {"flip": 0.2}).train["example_id"].to_pylist() if n.endswith("+flip")}
    assert less < more  # nested: a higher share adds to a lower one


def test_folds_plant_in_their_pools_and_share_no_word_pieces_of_changed_texts(source):
    config = DataConfig(source=str(source), folds=3, noise={"shuffle_words": 0.3})
    folds = load_folds(config, source.parent)
    tokenizer = word_tokenizer()
    first = tokenize_splits(folds[0], tokenizer, 32)
    for fold in folds[1:]:
        alone = tokenize_splits(fold, tokenizer, 32)
        shared = tokenize_splits(fold, tokenizer, 32, like=(folds[0], first))
        for split in ("train", "validation", "test"):
            assert np.array_equal(getattr(alone, split).ids, getattr(shared, split).ids)
        assert "planted" not in fold.test.column_names


def test_rows_of_the_source_are_found_by_the_clean_ids(source):
    config = DataConfig(source=str(source), noise=NOISE)
    train = frame(load_splits(config, source.parent).train)
    rows = rows_in_source(config, train.index.tolist(), source.parent)
    texts = pd.read_parquet(source)["text"].to_numpy()[rows]
    is_same = train["planted"] != "shuffle_words"
    assert (texts[is_same] == train["text"][is_same]).all()


def test_columns_of_the_source_are_those_of_the_clean_example(source):
    config = DataConfig(source=str(source), noise=NOISE)
    ids = load_splits(config, source.parent).train["example_id"].to_pylist()
    columns = read_source_columns(config, {"a strategy": "label"}, source.parent)
    before = frame(load(source, None).train)["label"]
    assert columns.of(ids)["label"].to_pylist() == ["abc"[before[clean_id(name)]] for name in ids]


@pytest.mark.parametrize("text", ["", "one", "same same same", "  spaces   between "])
def test_what_cannot_change_stays_and_the_rest_does(text):
    found = shuffle_words(text, np.random.default_rng(0))
    assert sorted(found.split()) == sorted(text.split())
    assert (found.split() != text.split()) == (len(set(text.split())) > 1)


def test_impossible_noise_is_refused_by_its_rule():
    with pytest.raises(ConfigError, match=r"data\.noise.*must be at most 1 together.*got 1\.2"):
        load_config({"data": {"noise": {"flip": 0.7, "duplicate": 0.5}}})
    with pytest.raises(ConfigError, match=r"data\.noise\.flip"):
        load_config({"data": {"noise": {"flip": 1.0}}})


def test_a_section_that_plants_nothing_is_no_section(source):
    assert load(source, {}).fingerprint == load(source, None).fingerprint
