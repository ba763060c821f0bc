import json
from dataclasses import replace
from pathlib import Path

import pytest

from raybert.config import StrategyConfig, validate_config
from raybert.errors import SweepError
from raybert.models.embedded import FINGERPRINTS
from raybert.selection import Strategy
from raybert.selection.catalogue import build_strategy, strategy_names
from raybert.selection.compose import compose
from raybert.selection.identity import strategy_entry, strategy_identity
from raybert.selection.store import ScoreStore, SignalRef
from raybert.selection.strategies.baselines import AllButFold, SampleOf
from raybert.sweeping.folder.spec_file import (
    FILE_NAME,
    StoredSpec,
    read_spec,
    spec_document,
    spec_of,
    write_spec,
)
from raybert.sweeping.plan.specs import PoolFacts, identified
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", 1000, 4)
ENTRIES = [
    {"name": "el2n", "then": {"name": "k_center"}, "candidates": 2.5},
    {"name": "confidence", "measure": "margin", "schedule": "rounds", "rounds": 3},
    {"name": "random", "pre": [{"name": "semdedup"}, "label_errors"]},
    {"name": "curriculum", "of": {"name": "el2n", "direction": "easy"}},
    {"name": "ifd", "null_input": "mask"},
]


class Own(Strategy):
    """A strategy of a user's own."""

    strength: float = 1.0


def plan(**more):
    document = {"sweep": {"strategies": [*ENTRIES, "cartography", "rho_loss", "infobatch"], "seeds": [0, 3]}, **more}
    return plan_of(validate_config(document), FACTS)


def test_every_trial_of_a_plan_reads_back_as_it_was_whatever_its_role():
    trials = plan(train={"betas": [0.8, 0.99], "warmup_steps": 5}, selection={"proxy": {"folds": None}}).trials
    assert {spec.role for spec in trials} == {"trial", "proxy", "part"}
    for spec in trials:
        stored = spec_of(json.loads(json.dumps(spec_document(spec))))
        assert stored == spec
        assert identified(stored, FACTS).trial_id == spec.trial_id


@pytest.mark.parametrize("name", [name for name in strategy_names() if name not in ("curriculum", "drop_hardest")])
def test_every_registered_strategy_is_an_entry_that_builds_it_again(name):
    strategy = build_strategy(StrategyConfig(name=name))
    entry = json.loads(json.dumps(strategy_entry(strategy)))
    assert entry == {"name": name}
    assert strategy_identity(build_strategy(StrategyConfig(**entry))) == strategy_identity(strategy)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_given_parameters_and_strategies_inside_are_kept(entry):
    strategy = build_strategy(StrategyConfig(**entry))
    again = build_strategy(StrategyConfig(**strategy_entry(strategy)))
    assert strategy_identity(again) == strategy_identity(strategy)
    assert again == strategy
    assert strategy_entry(again) == strategy_entry(strategy)


@pytest.mark.parametrize("strategy", [AllButFold(num_folds=5, fold=2), SampleOf(examples=9), Own(strength=2.0)])
def test_a_strategy_without_a_registered_name_is_found_by_its_class(strategy):
    entry = strategy_entry(strategy)
    assert entry["name"].endswith(f":{type(strategy).__name__}")
    assert build_strategy(StrategyConfig(**entry)) == compose(strategy)


def test_a_file_reads_back_with_its_signals(tmp_path):
    (encoder,) = FINGERPRINTS
    stored = StoredSpec(
        plan().trials[-1], "d", encoder, (SignalRef(ScoreStore(Path("/store")), "0f" * 10, 2.5, 0.5, 2000),)
    )
    write_spec(tmp_path, stored)
    assert read_spec(tmp_path) == stored
    (signal,) = json.loads((tmp_path / FILE_NAME).read_text())["signals"]
    assert signal == {
        "store": "/store",
        "key": "0f" * 10,
        "seconds": 2.5,
        "shared_seconds": 0.5,
        "examples_scored": 2000,
    }


def test_a_missing_or_damaged_file_is_said(tmp_path):
    with pytest.raises(SweepError, match=r"spec\.json: no such file: the trial has never begun"):
        read_spec(tmp_path)
    write_spec(tmp_path, StoredSpec(replace(plan().trials[-1], trial_id="t"), "d", "e"))
    document = json.loads((tmp_path / FILE_NAME).read_text())
    document["spec"]["config"]["train"]["learning_rate"] = -1
    (tmp_path / FILE_NAME).write_text(json.dumps(document))
    with pytest.raises(SweepError, match=r"as this version of raybert writes it: train\.learning_rate: must be > 0"):
        read_spec(tmp_path)
    (tmp_path / FILE_NAME).write_text('{"spec": {}')
    with pytest.raises(SweepError, match=r"spec\.json: must be as this version"):
        read_spec(tmp_path)
