"""A signal and strategies of a user's own, in modules beside the sweep file, with workers that have to find them."""

import re
import zlib

import numpy as np
import pandas as pd
import pytest
import yaml

import raybert
from tests.e2e.commands import run, run_apart, run_forked

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

SIGNAL = """
import zlib
import raybert

@raybert.register_signal
class Compression(raybert.TextSignal):
    '''How far a text can be compressed: low where it repeats itself.'''

    name = "compression"
    level: int = 9

    def compute(self, texts, labels):
        raw = [text.encode() for text in texts]
        return [len(zlib.compress(text, self.level)) / max(1, len(text)) for text in raw]
"""
STRATEGIES = """
import raybert
import compression

class Dense(raybert.RankedStrategy):
    '''The texts that repeat themselves least first.'''

    name = "dense"
    needs = {"compression"}

    def scores(self, pool):
        return pool.signals["compression"]

class Lossy(raybert.RankedStrategy):
    '''What a proxy had the highest loss on when it trained on it.'''

    name = "lossy"
    needs = {"loss"}

    def scores(self, pool):
        return pool.signals["loss"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the modules, the sweep file, and the results of a first sweep."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "compression.py").write_text(SIGNAL)
    (folder / "mine.py").write_text(STRATEGIES)
    strategies = [{"name": f"mine:{name}", "balance": "none", "label": name.lower()} for name in ("Dense", "Lossy")]
    document = {
        "data": {"train_examples": 240, "validation_examples": 60, "test_examples": 80, "max_length": 32},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": 12}},
        "selection": {"budget": 20, "signals": [{"name": "compression", "level": 1}], "store": str(folder / "store")},
        "sweep": {"strategies": ["random", *strategies], "seeds": 2},
        "resources": {"concurrent_trials": 1},
    }
    (folder / "own.yaml").write_text("# Do dense texts teach more?\n" + yaml.safe_dump(document))
    done = run_apart("sweep", "own.yaml", "--output", "run", cwd=folder)
    assert done.code == 0, done.said
    return folder


def trials_of(folder, label):
    results = raybert.load_sweep(folder)
    trials = results.trials[results.trials["strategy"] == label]
    assert (trials["status"] == "complete").all()
    return trials, [results.selection(trial) for trial in trials["trial_id"]]


def ratios(texts):
    return [len(zlib.compress(text.encode(), 1)) / max(1, len(text.encode())) for text in texts]


def test_a_sweep_chooses_by_a_signal_of_ones_own(place):
    trials, chosen = trials_of(place / "run", "dense")
    assert len(chosen) == 2
    assert (trials["signal_seconds"] > 0).all()
    done = run_forked("select", "own.yaml", "--strategy", "dense", "--output", "all.csv", "--budget", 240, cwd=place)
    assert done.code == 0, done.said
    pool = pd.read_csv(place / "all.csv")
    np.testing.assert_allclose(pool["score"], ratios(pool["text"]), rtol=1e-6)
    assert pool["score"].is_monotonic_decreasing
    values = dict(zip(pool["example_id"], pool["score"], strict=True))
    for selection in chosen:
        found = [values[example] for example in selection["example_id"]]
        assert found == pool["score"].tolist()[:20]
        np.testing.assert_allclose(selection["score"], found)


def test_the_training_losses_of_a_proxy_are_a_signal(place):
    trials, chosen = trials_of(place / "run", "lossy")
    results = raybert.load_sweep(place / "run")
    proxies = results.trials[results.trials["role"] == "proxy"].set_index("seed")["trial_id"]
    for seed, selection in zip(trials["seed"], chosen, strict=True):
        losses = np.load(place / "run" / "trials" / proxies[seed] / "losses.npz")["loss"]
        assert set(selection["position"]) == set(np.argsort(-losses)[:20])
        np.testing.assert_allclose(selection["score"], losses[selection["position"]])


def test_a_signal_is_kept_until_its_code_changes(place, address):
    again = run_forked("sweep", "own.yaml", "--output", "again", "--address", address, cwd=place)
    assert again.code == 0, again.said
    assert "rows/s" not in again.out
    first, _ = trials_of(place / "run", "dense")
    (place / "compression.py").write_text(SIGNAL.replace("max(1, len(text))", "max(2, len(text))"))
    changed = run_forked("sweep", "own.yaml", "--output", "changed", "--address", address, cwd=place)
    (place / "compression.py").write_text(SIGNAL)
    assert changed.code == 0, changed.said
    assert "rows/s" in changed.out
    second, _ = trials_of(place / "changed", "dense")
    assert not set(first["trial_id"]) & set(second["trial_id"])
    kept = [set(trials_of(place / folder, "random")[0]["trial_id"]) for folder in ("run", "changed")]
    assert kept[0] == kept[1]
    listed = run("scores", "ls", "--store", place / "store").out
    assert len(re.findall(r"compression +240", listed)) == 2


def test_a_signal_of_the_wrong_length_fails_those_who_read_it_in_one_line(place, address):
    (place / "compression.py").write_text(SIGNAL.replace("return [", "return [1.0] or ["))
    done = run_forked("sweep", "own.yaml", "--output", "wrong", "--address", address, cwd=place)
    (place / "compression.py").write_text(SIGNAL)
    assert done.code == 4, done.said
    assert "scoring compression failed: " in done.out
    assert "signal 'compression': must be one number for each of 240 texts, shape (240,), got shape (1,)" in done.out
    status = raybert.load_sweep(place / "wrong").trials.set_index("strategy")["status"]
    assert set(status["dense"]) == {"failed"}
    assert set(status["lossy"]) == set(status["random"]) == {"complete"}
