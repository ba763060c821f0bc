"""What is said of pools whose signals are too large for memory."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raybert.config import validate_config
from raybert.models.encoder import Encoder, embedding_width
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.memory_notes import memory_notes
from tests.sweeping.planning import FACTS, plan_of, pools_of

POOL = replace(FACTS, num_examples=10_000_000, num_classes=4)


def notes_of(strategies, *, memory, width=384, **sections):
    config = validate_config({"sweep": {"strategies": strategies, "seeds": 2}, **sections})
    pools = pools_of(read_design(config), POOL)
    return memory_notes(plan_of(config, POOL).trials, pools, dict.fromkeys(pools, width), memory)


def test_signals_beyond_half_of_the_memory_are_said_once_for_each_strategy():
    assert notes_of(["all", "random", "k_center", "diversity"], memory=25e9) == [
        f"'{label}' reads signals of 15.4 GB in every trial (most of it `embeddings`, 10,000,000 x 384), of 25.0 GB of "
        "memory here; set data.train_examples, or run it where there is more"
        for label in ("k_center", "diversity")
    ]
    assert notes_of(["all", "random", "k_center", "diversity"], memory=31e9) == []
    assert notes_of(["k_center"], memory=25e9, width=128) == []


def test_probabilities_grow_with_proxies_checkpoints_and_classes():
    (note,) = notes_of(["el2n"], memory=1e9, selection={"proxy": {"num_seeds": 5}})
    assert "signals of 0.8 GB in every trial (most of it `probs`, 10,000,000 x 5 x 4)" in note
    (note,) = notes_of(["aum"], memory=1e9)
    assert "signals of 1.0 GB in every trial (most of it `dynamics`, 10,000,000 x 6 x 4)" in note


@pytest.mark.parametrize(("config", "width"), [({"hidden_size": 384}, 384), ({"dim": 768}, 768), ({}, 0), (None, 0)])
def test_the_width_of_an_embedding_is_what_the_encoder_says(config, width, tmp_path: Path):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert embedding_width(Encoder("x", tmp_path, "f")) == width
