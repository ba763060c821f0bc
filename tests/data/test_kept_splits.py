"""Splits from the cache are those that reading and cutting give, and another key as soon as anything changes."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raybert.config import DataConfig
from raybert.data import Splits, load_splits
from raybert.data import kept_splits as module
from raybert.data.kept_splits import load_kept_splits
from raybert.data.splits import SPLITS
from raybert.data.whole_source import rows_in_source
from raybert.errors import CacheWarning, DataError

WORDS = np.array(["alpha", "beta", "gamma", "é", "x  y"])


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "SMALLEST", 0)
    generator = np.random.default_rng(0)
    rows = {
        "text": [" ".join(generator.choice(WORDS, 4)) for _ in range(300)],
        "label": generator.choice(["no", "yes"], 300),
        "doc": generator.integers(0, 40, 300),
    }
    path = tmp_path / "rows.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def cached(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "splits").glob("*"))


def same(one: Splits, other: Splits) -> bool:
    facts = all(
        getattr(one, name) == getattr(other, name) for name in ("label_names", "fingerprint", "notes", "details")
    )
    return facts and all(getattr(one, split).equals(getattr(other, split)) for split in SPLITS)


def not_called(*_: Any) -> Any:
    raise AssertionError("read and cut again")


@pytest.mark.parametrize("keys", [{}, {"group": "doc"}, {"train_examples": 20, "split_seed": 3}], ids=str)
def test_what_is_kept_is_what_is_cut(
    keys: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(source=str(source), **keys)
    direct = load_splits(config, tmp_path)
    assert same(load_kept_splits(config, tmp_path), direct)
    ids = direct.train["example_id"].to_pylist()[::-2]
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_with_rows", not_called)
        patch.setattr("raybert.data.whole_source.read_source", not_called)
        assert same(load_kept_splits(config, tmp_path), direct)
        rows = rows_in_source(config, ids, tmp_path)
    shutil.rmtree(tmp_path / "splits")
    assert rows.tolist() == rows_in_source(config, ids, tmp_path).tolist()
    assert pd.read_parquet(source)["text"].iloc[rows].tolist() == direct.train["text"].to_pylist()[::-2]


def test_a_changed_row_or_key_is_another_entry_and_what_tokenizing_reads_is_not(source: Path, tmp_path: Path) -> None:
    config = DataConfig(source=str(source))
    first = load_kept_splits(config, tmp_path)
    for number, other in enumerate(({"split_seed": 1}, {"group": "doc"}, {"test_fraction": 0.3}), start=2):
        load_kept_splits(DataConfig(source=str(source), **other), tmp_path)
        assert len(cached(tmp_path)) == number
    for other in ({"max_length": 9}, {"lowercase": True}):
        assert same(load_kept_splits(DataConfig(source=str(source), **other), tmp_path), first)
    assert len(cached(tmp_path)) == 4
    frame = pd.read_parquet(source)
    frame.loc[7, "text"] = "another text"
    frame.to_parquet(source)
    changed = load_kept_splits(config, tmp_path)
    assert same(changed, load_splits(config, tmp_path))
    assert changed.fingerprint != first.fingerprint
    assert len(cached(tmp_path)) == 5


@pytest.mark.parametrize("damage", ["train.arrow", "facts.json", "lost"])
def test_what_is_damaged_is_made_again_with_a_line(damage: str, source: Path, tmp_path: Path) -> None:
    config = DataConfig(source=str(source))
    direct = load_kept_splits(config, tmp_path)
    (key,) = cached(tmp_path)
    path = tmp_path / "splits" / key / ("test.arrow" if damage == "lost" else damage)
    content = path.read_bytes()
    path.unlink()
    if damage != "lost":
        path.write_bytes(content[:-1])
    with pytest.warns(CacheWarning, match=f"{key}: damaged, and made again"):
        assert same(load_kept_splits(config, tmp_path), direct)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(load_kept_splits(config, tmp_path), direct)


def test_small_data_a_limit_of_nothing_and_a_full_disk_keep_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(source=str(source))
    direct = load_splits(config, tmp_path)
    monkeypatch.setattr(module, "SMALLEST", 1 << 20)
    assert same(load_kept_splits(config, tmp_path), direct)
    monkeypatch.setattr(module, "SMALLEST", 0)
    monkeypatch.setenv("RAYBERT_TOKENS_GB", "0")
    assert same(load_kept_splits(config, tmp_path), direct)
    assert not (tmp_path / "splits").exists()
    monkeypatch.delenv("RAYBERT_TOKENS_GB")
    (tmp_path / "splits").write_text("a file in its place")
    with pytest.warns(CacheWarning, match="splits cannot be kept in"):
        assert same(load_kept_splits(config, tmp_path), direct)


def test_what_is_wrong_with_a_source_is_said_as_without_a_cache(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_kept_splits(DataConfig(source=str(tmp_path / "none.parquet")), tmp_path)
    with pytest.raises(DataError, match="has no column 'body'"):
        load_kept_splits(DataConfig(source=str(source), text="body"), tmp_path)
    assert not cached(tmp_path)
