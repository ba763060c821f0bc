"""What is said of pools whose signals are too large for memory."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raybert.config import StrategyConfig, validate_config
from raybert.models.encoder import Encoder, embedding_width
from raybert.selection import catalogue
from raybert.selection.compose import compose
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.memory_notes import comparison_notes, memory_notes
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


def compared(strategies, num_examples=1_000_000, width=128, **sections):
    facts = replace(FACTS, num_examples=num_examples, num_classes=4)
    config = validate_config(
        {"selection": {"budget": 0.01}, "sweep": {"strategies": strategies, "seeds": 2}, **sections}
    )
    pools = pools_of(read_design(config), facts)
    return comparison_notes(plan_of(config, facts).trials, pools, dict.fromkeys(pools, width))


def test_strategies_that_compare_too_many_pairs_are_said_with_time_and_memory():
    (note,) = compared(["random", "el2n", "k_center", "probcover", "d2"])
    assert note == (  # n (n + k) pairs, of 128 numbers; five copies of n d float32
        "'probcover' compares up to 1.0e+12 pairs of embeddings to choose from 1,000,000 examples, in every trial: 3.6 "
        "hours or less on one quick core and holds 2.6 GB beside its signals; `k_center`, `facility_location` and `d2` "
        "choose from large pools in parts, and data.train_examples makes the pool smaller"
    )
    assert compared(["probcover", "diversity", "cal"], num_examples=100_000) == []
    whole = {"name": "k_center", "num_parts": 1}
    assert [note.split("'")[1] for note in compared(["diversity", "cal", "semdedup", whole])] == ["diversity", "cal"]
    assert "'el2n(then=probcover)' compares up to 1.0e+12" in compared([{"name": "el2n", "then": "probcover"}])[0]


@pytest.mark.parametrize("name", sorted(catalogue.strategy_names()))
def test_whoever_says_that_it_compares_pairs_counts_them(name):
    rule = compose(catalogue.build_strategy(StrategyConfig(name=name))).inner
    says = rule.operations
    grows = "n^2" in says or "k d" in says or "n c d" in says or "k (C + d)" in says or "k^2 d" in says
    assert bool(rule.comparisons(300_000, 3_000, 4)) == grows, says


@pytest.mark.parametrize(("config", "width"), [({"hidden_size": 384}, 384), ({"dim": 768}, 768), ({}, 0), (None, 0)])
def test_the_width_of_an_embedding_is_what_the_encoder_says(config, width, tmp_path: Path):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert embedding_width(Encoder("x", tmp_path, "f")) == width
