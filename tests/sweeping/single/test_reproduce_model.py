"""`raybert reproduce` of a model of a study: the same weights, or what is not as it was."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

import raybert
from raybert.errors import ExitCode, SweepError, UntrustedCode
from raybert.files import read_json, write_json
from tests.e2e.commands import run
from tests.pretraining.packed import documents


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The folder of a study with one finished model."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": documents(80, 0)}).to_csv("north.csv", index=False)
    file = {
        "name": "study",
        "corpora": {"north": "north.csv"},
        "tokenizer": {"vocabulary": 120},
        "model": {"kind": "bert", "config": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}},
        "pretrain": {"length": {"steps": 6}, "eval_every": 2, "max_length": 32, "batch_size": 8, "precision": "fp32"},
        "resources": {"gpus_per_worker": 0},
    }
    raybert.pretrain(file)
    return tmp_path / "runs" / "study"


def test_a_model_is_trained_again_to_the_same_bits(study):
    found = raybert.reproduce(study / "models" / "north-s0")
    assert found.is_identical
    assert [(part.what, part.differences) for part in found.comparisons] == [
        ("evaluations", ()),
        ("summary", ()),
        ("weights", ()),
    ]
    assert found.again.path == study / "reproductions" / "north-s0" / "models" / "north-s0"
    first, again = (load_file(folder.path / "model" / "model.safetensors") for folder in (found.first, found.again))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    # And once more, in place of that one, by the command.
    done = run("reproduce", str(study), "north")
    assert done.code == ExitCode.DONE, done.said
    assert "north-s0 (north, seed 0)" in done.out
    assert "weights" in done.out
    assert "bit-identical: " in done.out
    assert json.loads(run("reproduce", str(study), "north-s0", "--json").out)["is_identical"] is True


def test_another_weight_and_another_evaluation_are_found(study):
    weights = study / "models" / "north-s0" / "model" / "model.safetensors"
    tensors = {name: array.copy() for name, array in load_file(weights).items()}
    name = next(iter(tensors))
    tensors[name].flat[0] += 0.5
    save_file(tensors, weights, metadata={"format": "pt"})
    found = raybert.reproduce(study, "north-s0")
    assert found.exit_code == ExitCode.DIFFERENT
    (line,) = next(part.differences for part in found.comparisons if part.what == "weights")
    assert line.startswith(f"{name}: 1 of {tensors[name].size:,} differ, by at most 0.5")
    rows = (study / "models" / "north-s0" / "evaluations.jsonl").read_text().splitlines()
    row = json.loads(rows[1]) | {"validation_loss": 99.0}
    (study / "models" / "north-s0" / "evaluations.jsonl").write_text("\n".join([rows[0], json.dumps(row), *rows[2:]]))
    lines = raybert.reproduce(study, "north-s0").comparisons[0].differences
    assert lines[0] == "from evaluation 2 (step 4) on"


def test_a_model_that_was_stopped_is_compared_as_far_as_it_came(study):
    place = study / "models" / "north-s0"
    rows = (place / "evaluations.jsonl").read_text().splitlines()
    (place / "evaluations.jsonl").write_text(rows[0] + "\n")
    (place / "training_summary.json").unlink()
    found = raybert.reproduce(study, "north-s0")
    assert found.status in ("stopped", "complete")  # it is asked to stop, which a run of a moment does not hear
    assert [(part.what, part.size, part.differences) for part in found.comparisons] == [("evaluations", "1 rows", ())]


def test_what_is_not_as_it_was_is_said(study, tmp_path):
    pd.DataFrame({"text": documents(80, 1)}).to_csv("north.csv", index=False)
    with pytest.raises(SweepError, match=r"north-s0: corpus changed since the model was trained; bring the old"):
        raybert.reproduce(study, "north-s0")
    with pytest.raises(SweepError, match="must have one model whose name is or begins with 'south', got 0"):
        raybert.reproduce(study, "south")
    path = study / "models" / "north-s0" / "spec.json"
    spec = read_json(path)
    spec["spec"]["config"]["pretrain"]["optimizer"]["name"] = "evil:Class"
    write_json(path, spec)
    with pytest.raises(UntrustedCode, match="evil:Class"):
        raybert.reproduce(study, "north-s0")
    path.unlink()
    with pytest.raises(SweepError, match="it has none yet"):
        raybert.reproduce(study, "north-s0")
