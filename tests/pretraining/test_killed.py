"""A pretraining whose process is killed: the command again ends with the weights that it would have had."""

from __future__ import annotations

import os
from functools import partial

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import raybert
from raybert.files import read_json_lines
from tests.pretraining.packed import documents
from tests.processes import forked, wait_until

TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
EVALUATIONS = "models/north-s0/evaluations.jsonl"


def file_in(folder) -> dict:
    return {
        "name": "study",
        "corpora": {"north": str(folder / "north.csv")},
        "tokenizer": {"vocabulary": 120},
        "model": {"config": TINY},
        "pretrain": {
            "length": {"steps": 400},
            "eval_every": 20,
            "max_length": 32,
            "batch_size": 8,
            "precision": "fp32",
            "checkpoint_seconds": 0,
            "early_stopping": None,
        },
    }


def _pretrain(file, folder) -> None:
    torch.set_num_threads(1)
    raybert.pretrain(file, output=folder)


def _has_evaluated(folder, times) -> bool:
    return _num_evaluations(folder) >= times


def _num_evaluations(folder) -> int:
    path = folder / EVALUATIONS
    return len(read_json_lines(path)) if path.exists() else 0


@pytest.mark.long
def test_a_killed_process_goes_on_bit_identically_after_every_kill(tmp_path):
    pd.DataFrame({"text": documents(300, 1)}).to_csv(tmp_path / "north.csv", index=False)
    file, whole, torn = file_in(tmp_path), tmp_path / "whole", tmp_path / "torn"
    threads = torch.get_num_threads()
    _pretrain(file, whole)
    seen = 0
    for _ in range(3):
        with forked(_pretrain, file, torn, environment=dict(os.environ)) as running:
            wait_until(partial(_has_evaluated, torn, seen + 3), "evaluations of a process to be killed")
            running.kill()
        seen = _num_evaluations(torn)
        assert 0 < seen < 20
    _pretrain(file, torn)
    torch.set_num_threads(threads)
    one, other = (load_file(place / "models/north-s0/model/model.safetensors") for place in (whole, torn))
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows, expected = (
        [{key: value for key, value in row.items() if key != "seconds"} for row in read_json_lines(place / EVALUATIONS)]
        for place in (torn, whole)
    )
    assert rows == expected
