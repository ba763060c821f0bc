"""A part of validation scores suggestions, and chooses nothing: cut once, measured last, and said in what is saved."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score

from raybert.config import DataConfig, StrategyConfig, validate_config
from raybert.data.chunks import ChunkTable
from raybert.errors import ConfigError
from raybert.selection.catalogue import build_strategy
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import TUNE
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.plan.specs import identified
from raybert.sweeping.trial.run import run_trial
from raybert.sweeping.trial.scored_part import scored_rows, with_scored_part


def table(labels, groups=None):
    columns = {"example_id": [str(i) for i in range(len(labels))], "text": [f"text {i}" for i in range(len(labels))]}
    return pa.table({**columns, "label": labels, **({"group": groups} if groups else {})})


def test_the_cut_is_stratified_always_the_same_and_tears_no_group():
    labels = [0] * 60 + [1] * 20
    groups = [str(i // 4) for i in range(80)]
    rows = scored_rows(table(labels, groups), DataConfig(), 0.25)
    assert np.bincount(np.array(labels)[rows]).tolist() == [16, 4]  # whole groups of four, nearest to 15 and 5
    assert (rows == scored_rows(table(labels, groups), DataConfig(), 0.25)).all()
    assert (rows.reshape(-1, 4).sum(axis=1) % 4 == 0).all()
    assert (rows != scored_rows(table(labels, groups), DataConfig(split_seed=1), 0.25)).any()


def test_a_part_without_examples_is_refused():
    with pytest.raises(
        ConfigError, match=r"sweep\.tune\.validation: must leave examples for both parts, got 0\.5 of 4 "
    ):
        scored_rows(table([0, 0, 1, 1], ["a"] * 4), DataConfig(), 0.5)


def test_documents_in_chunks_are_taken_with_their_chunks():
    vectors = np.arange(6, dtype=np.float32)[:, None]
    whole = ChunkTable(vectors, np.array([0, 2, 3, 6]), np.array([0, 1, 2]), vectors[:3])
    taken = whole.take(np.array([2, 0]))
    assert taken.vectors[:, 0].tolist() == [3, 4, 5, 0, 1]
    assert (taken.offsets.tolist(), taken.labels.tolist()) == ([0, 3, 5], [2, 0])
    assert taken.companions[:, 0].tolist() == [2, 0]


def test_a_run_is_scored_on_what_chose_nothing_and_its_predictions_say_which(prepared, tmp_path):
    config = validate_config({"train": {"length": {"steps": 6}, "batch_size": 16, "eval_every": 2}})
    maker = RunMaker(Variant({}, config), prepared.facts, seed=1000)
    plain = maker.trial("random", build_strategy(StrategyConfig(name="random")), (), TUNE)
    spec = identified(replace(plain, scored_fraction=0.5), prepared.facts)
    assert spec.trial_id != plain.trial_id
    rows = scored_rows(prepared.splits.validation, config.data, 0.5)
    assert rows.sum() == 28
    folder = SweepFolder(tmp_path)
    ran = run_trial(
        spec, prepared.data, prepared.encoder, (), folder, report=lambda row: None, texts=None, scored_rows=rows
    )
    assert ran == "complete", folder.trial(spec.trial_id).error()
    saved = pd.read_parquet(folder.trial(spec.trial_id).path / "predictions.parquet")
    parts = dict(list(saved.groupby("split")))
    assert {split: part["row"].tolist() for split, part in parts.items()} == {
        "validation": np.flatnonzero(~rows).tolist(),
        "scoring": np.flatnonzero(rows).tolist(),
    }
    labels = np.asarray(prepared.data.validation.labels)
    result = folder.trial(spec.trial_id).result()
    for name, part in (("validation_accuracy", parts["validation"]), ("suggestion_value", parts["scoring"])):
        predicted = part.filter(like="prob_").to_numpy().argmax(axis=1)
        assert (part["label"] == labels[part["row"]]).all()
        assert result[name] == pytest.approx(accuracy_score(part["label"], predicted))
    assert not any(name.startswith("test_") for name in result)
    assert "on 28 validation examples that chose nothing" in (folder.trial(spec.trial_id).path / "log.txt").read_text()


def test_the_parts_are_whole_rows_of_validation(prepared):
    rows = np.arange(60) % 3 == 0
    cut = with_scored_part(prepared.data, rows)
    batch = cut.batch(cut.test, np.array([1]))
    whole = prepared.data.batch(prepared.data.validation, np.array([3]))
    assert batch["input_ids"].tolist() == whole["input_ids"].tolist()
    assert (len(cut.validation), len(cut.test)) == (40, 20)
