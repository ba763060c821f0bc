"""Data that are pickled as places of files are what they were, and take no room; files that are gone are said."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import fields, replace
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from raybert.config import DataConfig
from raybert.data import kept_splits, tokenize_splits
from raybert.data.examples import without_test
from raybert.data.token_store import TokenStore
from raybert.errors import DataError
from raybert.models import load_tokenizer
from raybert.selection import by_path
from raybert.selection.by_path import ByPath, Place, place_of
from raybert.selection.scorers.scorer import ScoringData
from raybert.sweeping.phases.prepare import Prepared

SPLITS = ("train", "validation", "test")


@pytest.fixture
def kept(tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> ByPath:
    monkeypatch.setattr(kept_splits, "SMALLEST", 0)
    monkeypatch.setattr(by_path, "SMALLEST", 1)
    generator = np.random.default_rng(0)
    words = np.array(["alpha", "beta", "gamma", "é", "x  y"])
    rows = {
        "text": [" ".join(generator.choice(words, 4)) for _ in range(300)],
        "label": generator.choice(["no", "yes"], 300),
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    splits = kept_splits.load_kept_splits(DataConfig(source=str(tmp_path / "rows.parquet")), tmp_path)
    data = tokenize_splits(
        splits, load_tokenizer(prepared.encoder), 16, store=TokenStore(tmp_path / "tokens", smallest=0)
    )
    return ByPath(ScoringData(data, splits.train), splits.pool_file)


def test_what_is_opened_is_what_was_placed_and_little_is_pickled(kept: ByPath) -> None:
    pickled = cloudpickle.dumps(kept)
    found, expected = pickle.loads(pickled), kept.scoring_data
    assert isinstance(found, ScoringData)
    assert found.texts.equals(expected.texts)
    assert found.data.example_ids.tolist() == expected.texts["example_id"].to_pylist()
    for split in SPLITS:
        for column in fields(getattr(expected.data, split)):
            one, other = (getattr(getattr(data, split), column.name) for data in (found.data, expected.data))
            assert np.array_equal(one, other) if isinstance(other, np.ndarray) else one is other
    assert not found.data.train.ids.flags.writeable
    held = len(cloudpickle.dumps(expected)) - sum(getattr(expected.data, split).labels.nbytes for split in SPLITS)
    assert len(pickled) - sum(getattr(expected.data, split).labels.nbytes for split in SPLITS) < held / 4


def test_a_part_of_a_file_has_a_place_and_what_is_in_memory_has_none(kept: ByPath) -> None:
    ids = kept.scoring_data.data.train.ids
    part = place_of(ids[3:90])
    assert part is not None
    assert np.array_equal(part.opened(), ids[3:90])
    deeper = place_of(ids[3:90][10:20])
    assert deeper is not None
    assert np.array_equal(deeper.opened(), ids[13:23])
    assert place_of(ids[::2]) is None
    assert place_of(np.array(ids)) is None


def test_data_in_memory_travel_as_before(kept: ByPath, prepared: Prepared) -> None:
    plain = ByPath(ScoringData(without_test(prepared.data), prepared.splits.train))
    found = pickle.loads(cloudpickle.dumps(plain))
    assert np.array_equal(found.data.train.ids, prepared.data.train.ids)
    assert found.texts.equals(prepared.splits.train)
    with pytest.raises(DataError, match="must not be read while"):
        len(found.data.test)


def test_a_file_that_is_gone_or_another_one_is_said(kept: ByPath, tmp_path: Path) -> None:
    pickled = cloudpickle.dumps(kept)
    place = place_of(kept.scoring_data.data.train.ids)
    assert place is not None
    with pytest.raises(DataError, match=r"ids\.npy: must stay as it is while a sweep runs, and is gone or changed"):
        replace(place, inode=place.inode + 1).opened()
    with pytest.raises(DataError, match="no_such: must stay"):
        Place(str(tmp_path / "no_such"), 1).opened()
    shutil.rmtree(tmp_path / "tokens")
    with pytest.raises(DataError, match="is gone or changed; run it again"):
        pickle.loads(pickled)
