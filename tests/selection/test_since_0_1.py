"""What raybert 0.1 made of entries of a sweep file: ids of finished trials, tables and messages hang on it.

`strategies_0_1.json` was written by raybert 0.1 (commit b251203): for valid entries label, identity (a part of every
trial id), what is stored of them, signals and budget kind; for invalid ones the message; and `raybert ls strategies`.
"""

import json
from pathlib import Path

import pytest

from raybert.config import StrategyConfig
from raybert.errors import ConfigError
from raybert.selection import build_strategy, describe_strategies
from raybert.selection.catalogue import strategy_entry, strategy_identity, strategy_label

HERE = Path(__file__).parent
RECORD = json.loads((HERE / "strategies_0_1.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _beside_the_users_module(monkeypatch):
    monkeypatch.chdir(HERE / "user_0_1")


def build(entry):
    return build_strategy(StrategyConfig.model_validate(entry), "sweep.strategies[0]")


@pytest.mark.parametrize("old", RECORD["valid"], ids=lambda old: json.dumps(old["entry"]))
def test_a_valid_entry_means_what_it_meant(old):
    strategy = build(old["entry"])
    assert strategy_label(strategy) == old["label"]
    assert strategy_identity(strategy) == old["identity"]
    assert strategy_entry(strategy) == old["stored"]
    assert strategy_identity(build(old["stored"])) == old["identity"]
    assert sorted(strategy.all_signals()) == old["signals"]
    assert strategy.spends() == old["spends"]
    assert strategy.null_inputs() == old["null"]


@pytest.mark.parametrize("old", RECORD["invalid"], ids=lambda old: json.dumps(old["entry"]))
def test_an_invalid_entry_is_refused_in_the_same_words(old):
    with pytest.raises(ConfigError) as caught:
        build(old["entry"])
    assert str(caught.value) == old["message"]


def test_the_list_of_strategies_says_the_same():
    rows = {row["name"]: row for row in describe_strategies()}
    for old in RECORD["described"]:
        assert {key: rows[old["name"]][key] for key in old} == old
