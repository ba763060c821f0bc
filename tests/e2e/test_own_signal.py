"""A signal and a strategy of a user's own, in modules beside the sweep file, with workers that have to find them."""

import pytest
import yaml

import raybert
from tests.e2e.commands import SHRUNK_OPTIONS, run_apart

pytestmark = [pytest.mark.slow, pytest.mark.ray]

SIGNAL = '''
import zlib
import raybert

@raybert.register_signal
class Compression(raybert.TextSignal):
    """How far a text can be compressed: low where it repeats itself."""

    name = "compression"
    level: int = 9

    def compute(self, texts, labels):
        raw = [text.encode() for text in texts]
        return [len(zlib.compress(text, self.level)) / max(1, len(text)) for text in raw]
'''
STRATEGY = '''
import raybert
import compression

class Dense(raybert.RankedStrategy):
    """The texts that repeat themselves least first."""

    name = "dense"
    needs = {"compression"}

    def scores(self, pool):
        return pool.signals["compression"]
'''


def write_inputs(folder):
    (folder / "compression.py").write_text(SIGNAL)
    (folder / "dense.py").write_text(STRATEGY)
    document = {
        "sweep": {"strategies": ["random", {"name": "dense:Dense", "balance": "none", "label": "dense"}]},
        "selection": {
            "budget": 20,
            "signals": [{"name": "compression", "level": 1}],
            "store": str(folder / "store"),
        },
        "resources": {"concurrent_trials": 1},
    }
    (folder / "own.yaml").write_text("# Do dense texts teach more?\n" + yaml.safe_dump(document))


def chosen(folder, label="dense"):
    results = raybert.load_sweep(folder)
    trials = results.trials[results.trials["strategy"] == label]
    assert (trials["status"] == "complete").all()
    return trials, [results.selection(trial) for trial in trials["trial_id"]]


def test_a_sweep_with_a_signal_of_ones_own(tmp_path):
    write_inputs(tmp_path)
    options = [option for option in SHRUNK_OPTIONS if "sweep.strategies" not in option]
    options = [
        option
        for pair in zip(*[iter(SHRUNK_OPTIONS)] * 2, strict=True)
        if "strategies" not in pair[1]
        for option in pair
    ]
    command = ["sweep", "own.yaml", "--output", "run", *options]
    done = run_apart(*command, cwd=tmp_path)
    print(done.said)
    assert done.code == 0, done.said
