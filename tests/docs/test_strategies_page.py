"""The page on strategies says what they read as they declare it."""

import re
from pathlib import Path

import pytest

from raybert.config import StrategyConfig
from raybert.selection import build_strategy, strategy_names

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "strategies.md"
PROXIES = {
    "probs",
    "null_probs",
    "heldout_probs",
    "irreducible_loss",
    "dynamics",
    "feature_norms",
    "dropout_probs",
    "influence",
}
GROUPS = {
    "a column of the data": lambda reads: reads and all(name.startswith("column:") for name in reads),
    "nothing": lambda reads: not reads,
    "proxies": lambda reads: reads & PROXIES and "embeddings" not in reads,
    "embeddings": lambda reads: len(reads) == 1 and reads <= {"embeddings", "knn_shapley", "data_oob"},
    "both": lambda reads: reads & PROXIES and "embeddings" in reads,
    "the text": lambda reads: reads & {"lexical", "readability", "perplexity", "tfidf_distance"},
    "the model in training": lambda reads: not reads,
}


def rows():
    """Return the table of what is read: first words of the first cell -> names of strategies."""
    table = PAGE.read_text(encoding="utf-8").split("| reads | strategies |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")][1:]
    return {key: re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", names)) for key, names in cells}


@pytest.mark.parametrize("group", GROUPS)
def test_strategies_are_listed_by_what_they_read(group):
    (names,) = [listed for key, listed in rows().items() if key.startswith(group)]
    assert names
    for name in names:
        assert GROUPS[group](set(build_strategy(StrategyConfig(name=name)).all_signals())), name


def test_every_strategy_is_listed_once():
    listed = [name for names in rows().values() for name in names]
    assert sorted(listed) == strategy_names()
