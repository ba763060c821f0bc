"""What lists and the reference say that signals and strategies cost is what planning and scorers do."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from raybert.config import validate_config
from raybert.selection.catalogue import describe_strategies
from raybert.selection.declared_signals import TABLE
from raybert.selection.price import RUNS, describe_signals, price_in_words
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.signals import needed_signals
from tests.sweeping.planning import plan_of

SETTINGS = {
    "proxy": {"num_seeds": 3, "epochs": 2},
    "scorers": {
        "heldout": {"folds": 4},
        "dynamics": {"epochs": 5, "checkpoints": 7},
        "perplexity": {"mask_every": 9},
    },
}
STRATEGIES = ["grand", {"name": "ifd", "null_input": "empty"}, "label_errors", "rho_loss", "aum"]
CONFIG = validate_config({"selection": SETTINGS, "sweep": {"strategies": STRATEGIES, "seeds": 1}})
SELECTION = CONFIG.selection


def price(*names, selection=SELECTION):
    return price_in_words(needed_signals(names, selection), selection)


def test_what_several_signals_share_is_paid_once():
    one = "3 proxies trained on the whole pool (2 epochs each; `selection.proxy`); 3 forward passes over the pool"
    assert price("probs") == price("feature_norms") == price("probs", "feature_norms") == one
    assert price("probs", "null_probs", "embeddings").endswith("; 7 forward passes over the pool")
    assert price("loss") == "3 proxies trained on the whole pool (2 epochs each; `selection.proxy`)"
    assert price("aflite") == price("aflite", "embeddings")
    assert price("aflite").startswith("1 forward pass over the pool; 64 linear models on the embeddings")
    assert price("lexical", "readability") == "a pass over the texts, without a model"
    assert price("lengths") == "nothing"


def test_exact_perplexity_has_no_number_of_passes():
    exact = validate_config({"selection": {"scorers": {"perplexity": {"mask_every": None}}}}).selection
    assert price("perplexity", selection=exact) == "as many forward passes as a text has word pieces"
    assert price("perplexity", "embeddings", selection=exact) == (
        "1 forward pass over the pool and as many forward passes as a text has word pieces"
    )


@pytest.fixture(scope="module")
def planned():
    """The runs behind every kind of signal, as a sweep plans them, by kind and null."""
    trials = [spec for spec in plan_of(CONFIG).trials if spec.role == "trial"]
    return {(runs.kind, runs.null): runs for spec in trials for runs in spec.signal_runs}


def test_as_many_runs_are_planned_as_the_price_says(planned):
    counts = {kind: len(runs.runs) for (kind, null), runs in planned.items() if null is None}
    said = {kind: int(behind.in_words(SELECTION).split()[0]) for kind, behind in RUNS.items()}
    assert counts == said == {"proxy": 3, "heldout": 4, "irreducible": 2, "dynamics": 1}


def request(planned, null=None):
    runs = tuple(runs for (kind, with_null), runs in planned.items() if kind != "proxy" or with_null == null)
    model = SimpleNamespace(fingerprint="", trust_remote_code=False)
    return ScorerRequest(SELECTION, 64, model, model, False, 0, runs, Path, Path, Path)


def test_scorers_make_as_many_passes_as_the_price_says(planned):
    made = {signal.name: signal.make_scorer(request(planned)) for signal in TABLE if signal.name != "null_probs"}
    passes = {name: getattr(scorer, "passes", 0) for name, scorer in made.items()}
    passes["dynamics"] += SELECTION.scorers.dynamics.checkpoints - 1  # its run has made the earlier ones
    words = {name: re.search(r"(\d+) forward pass", price(name)) for name in passes}
    of_embeddings = dict.fromkeys(("aflite", "knn_shapley", "data_oob"), 1)  # which they read
    assert {name: int(found[1]) if found else 0 for name, found in words.items()} == passes | of_embeddings
    with_nulls = next(signal for signal in TABLE if signal.name == "null_probs").make_scorer(request(planned, "empty"))
    assert f"; {with_nulls.passes} forward passes" in price("probs", "null_probs")


def test_every_signal_and_every_strategy_has_a_price():
    assert Counter(bool(row["price"]) for row in describe_signals()) == {True: len(describe_signals())}
    rows = {row["name"]: row for row in describe_strategies()}
    assert [name for name, row in rows.items() if "choosing is O(" not in row["cost"]] == []
    assert rows["random"]["cost"] == "choosing is O(n log n)"
    assert rows["rho_loss"]["cost"] == (
        "1 proxy trained on the whole pool (1 epoch; `selection.proxy`); 2 twins trained on one half of the pool "
        "(3 epochs each; `selection.scorers.irreducible`); 2 forward passes over the pool; choosing is O(n log n)"
    )
    assert rows["loss_threshold"]["cost"].startswith(
        "0 (with `refresh: m` one every m passes) forward passes over the pool in training"
    )
