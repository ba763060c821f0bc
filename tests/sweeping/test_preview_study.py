"""`raybert plan` of a pretraining file: what it says is what `raybert pretrain` then does."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.config import CheckpointsConfig, ResourcesConfig
from raybert.config.pretrain import PretrainConfig
from raybert.errors import ExitCode
from raybert.sweeping.estimate.pretraining import (
    ModelLeft,
    PackedSize,
    PretrainingProbe,
    estimate_study,
    steps_planned,
)
from tests.e2e.commands import run
from tests.pretraining.packed import documents

TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
SIZE = PackedSize(sequences=96, tokens=2880, held_out=10, steps=40)
PROBE = PretrainingProbe(
    step_seconds=(0.5, 0.5, 0.5, 0.5),
    tokens=240.0,
    evaluation_seconds=0.01,
    build_seconds=2.0,
    save_seconds=0.1,
    best_bytes=1000,
    last_bytes=5000,
    parameters=250,
    seconds=1.0,
)
ONE = ResourcesConfig(gpus_per_worker=0)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A pretraining file of two corpora of different size."""
    monkeypatch.chdir(tmp_path)
    for number, (name, count) in enumerate((("north", 80), ("south", 160))):
        pd.DataFrame({"text": documents(count, number)}).to_csv(f"{name}.csv", index=False)
    return {
        "name": "study",
        "corpora": {"north": "north.csv", "south": "south.csv"},
        "tokenizer": {"vocabulary": 120},
        "model": {"kind": "bert", "config": TINY},
        "pretrain": {"length": {"epochs": 1.5}, "max_length": 32, "batch_size": 8, "precision": "fp32"},
        "resources": {"concurrent_trials": 1, "gpus_per_worker": 0},
    }


@pytest.mark.parametrize("length", [{"epochs": 1.5}, {"steps": 5}, {"tokens": 2000}])
def test_steps_and_word_pieces_are_those_of_the_models_and_nothing_is_left_behind(file, tmp_path, length):
    file["pretrain"] |= {"length": length, "early_stopping": None}
    planned = raybert.plan_study(file, probe=False)
    assert not (tmp_path / "runs").exists()
    assert planned.estimate is None
    rows = planned.models.set_index("model")
    found = raybert.pretrain(file)
    for model in found.models:
        row, summary = rows.loc[model.name], model.summary
        assert row["steps"] == summary["total_steps"] == summary["steps"]
        assert row["sequences"] == summary["train"]["sequences"]
        assert row["pass_tokens"] == summary["train"]["tokens"]
        assert row["words"] == summary["corpora"]["train"]["words"]
        assert row["tokens"] == pytest.approx(summary["tokens"], rel=0.05)  # batches are drawn
        assert row["status"] == "pending"


def test_what_is_finished_does_not_count_and_the_folder_stays_as_it_is(file, tmp_path):
    raybert.pretrain(file, corpora=["north"])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    planned = raybert.plan_study(file)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert planned.models["status"].tolist() == ["complete", "pending"]
    assert np.isnan(planned.models["seconds"]).tolist() == [True, False]
    assert list(planned.estimate.model_seconds) == ["south-s0"]
    weights = (tmp_path / "runs/study/models/north-s0/model/model.safetensors").stat().st_size
    assert planned.estimate.probe.best_bytes == pytest.approx(weights, rel=0.2)  # and a configuration beside them
    assert "estimate: 1 model, 1 at once" in str(planned)
    raybert.pretrain(file)
    assert "nothing is left to do" in str(raybert.plan_study(file))


def test_the_command_prints_a_table_and_json_of_a_pretraining_file(file, tmp_path):
    (tmp_path / "study.yaml").write_text(json.dumps(file), encoding="utf-8")  # JSON is YAML
    said = run("plan", "study.yaml")
    assert said.code == 0, said.said
    assert "2 models" in said.out
    assert "without cross-evaluation and probes" in said.out
    document = json.loads(run("plan", "study.yaml", "--json", "--no-probe").out)
    assert (document["document"], document["num_models"], document["estimate"]) == ("plan_study", 2, None)
    assert [row["seconds"] for row in document["models"]] == [None, None]
    probed = json.loads(run("plan", "study.yaml", "--json").out)["estimate"]
    whole = sum(span["expected"] for span in probed["phases"].values())
    assert probed["quantities"]["wall_seconds"]["expected"] == pytest.approx(whole)
    refused = run("plan", "study.yaml", "--set", "resources.cpus_per_worker=4096")
    assert refused.code == ExitCode.BAD_INPUT
    assert "problem" not in refused.out
    assert "must fit on the cluster" in refused.said


def config_of(**keys):
    return PretrainConfig(batch_size=8, **keys)


def test_a_model_takes_its_steps_evaluations_and_checkpoints():
    left = [ModelLeft("a", SIZE, 40, 1.0), ModelLeft("b", SIZE, 40, 0.25)]
    found = estimate_study(
        left, 3, config_of(), ONE, PROBE, slots=1, is_here=True, is_crowded=False, prepare_seconds=7.0
    )
    # A step of 240 pieces takes 0.5 s; ten evaluations of ten sequences and a checkpoint of 0.1 s each; 2 s to begin.
    steps, evaluations = 40 * 0.5, 10 * (10 * 0.01 + 0.1)
    expected = {"a": steps + evaluations + 2.0 + 0.3, "b": (steps + evaluations) / 4 + 2.0 + 0.3}
    assert {name: span.expected for name, span in found.model_seconds.items()} == pytest.approx(expected)
    assert found.wall_seconds.expected == pytest.approx(7.0 + sum(expected.values()))
    assert found.hours.expected == pytest.approx(sum(expected.values()) / 3600)
    assert found.disk_bytes.expected == 3000
    assert found.num_steps == 50
    assert found.disk_bytes.high == pytest.approx((3000 + 6000) * 1.05)


def test_workers_share_a_step_and_models_run_side_by_side():
    two = ResourcesConfig(workers_per_trial=2, gpus_per_worker=0)
    left = [ModelLeft(name, SIZE, 40, 1.0) for name in "abcd"]
    kept = config_of(checkpoints=CheckpointsConfig(every=10, keep_last=2), eval_every=5)
    found = estimate_study(left, 4, kept, two, PROBE, slots=2, is_here=False, is_crowded=False, prepare_seconds=0.0)
    (seconds,) = {span.expected for span in found.model_seconds.values()}
    assert seconds == pytest.approx(40 * 0.25 + 8 * 0.2 + 2.0 + 9.0)
    assert found.phases["pretrain"].expected == pytest.approx(2 * seconds + 4.0 + 5.0)
    assert found.hours.expected == pytest.approx(2 * 4 * seconds / 3600)
    assert found.disk_bytes.expected == 4 * 1000 + 4 * 3 * 5000


def test_hours_are_as_many_steps_as_fit_into_them():
    hours = config_of(length={"hours": 0.01})
    in_hours = PackedSize(96, 2880, 10, steps=0)
    assert steps_planned(hours, in_hours, None, ONE) == 0
    assert steps_planned(hours, in_hours, PROBE, ONE) == math.floor((36.0 - 11 * 0.1) / 0.5)
    assert steps_planned(config_of(), SIZE, PROBE, ONE) == 40
