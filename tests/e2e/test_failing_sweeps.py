"""Sweeps in which something fails."""

import pytest

import raybert
from tests.e2e.commands import FILE, SHRUNK_OPTIONS, run, run_forked, sweep

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster", "no_pixels")]


def test_a_failing_strategy_does_not_stop_the_others(address, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import numpy as np, os, raybert\n"
        "class Wrong(raybert.Strategy):\n    name = 'wrong'\n"
        "    def choose(self, pool, budget):\n"
        "        return raybert.Selection(np.zeros(budget, np.int64), np.zeros(budget))\n"
        "class Dies(raybert.Strategy):\n    name = 'dies'\n"
        "    def choose(self, pool, budget):\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    strategies = "sweep.strategies=[random, 'mine:Wrong', 'mine:Dies']"
    folder, once = tmp_path / "run", ["--set", "limits.retries=0"]  # the fault suite tries again
    options = [*SHRUNK_OPTIONS, *once, "--set", strategies]
    done = run_forked("sweep", FILE, "--output", folder, "--address", address, *options, cwd=tmp_path)
    assert done.code == 4, done.said
    assert "failed: 4 trials, 2 distinct errors" in done.out
    assert "SelectionError: strategy 'wrong': positions must be distinct" in done.out
    assert "TrialError: the trial's process died" in done.out
    assert done.out.count("    in 2 trials: ") == 2
    assert done.out.count("    again: raybert reproduce ") == 2
    trials = raybert.load_sweep(folder).trials.set_index("strategy")["status"]
    assert trials["random"].tolist() == ["complete"] * 2
    assert trials["wrong"].tolist() == trials["dies"].tolist() == ["failed"] * 2
    monkeypatch.syspath_prepend(tmp_path)
    assert run("sweep", FILE, "--output", folder, *options).code == 4


def test_a_sweep_in_which_everything_fails_has_an_exit_code_of_its_own(tmp_path):
    options = ["--set", "train.loss.name=tests.faults.traps:room_for_none", "--set", "sweep.strategies=[random]"]
    done = sweep(tmp_path / "run", *options, "--set", "sweep.seeds=1")
    assert done.code == 5, done.said
    assert "failed: 1 trial, 1 distinct error" in done.out


def test_a_signal_that_cannot_be_computed_fails_only_those_who_read_it(tmp_path):
    folder, one_seed = tmp_path / "run", ["--set", "sweep.seeds=1"]
    store = ["--set", f"selection.store={tmp_path / 'a'}", "--set", "sweep.strategies=[el2n]"]
    assert sweep(folder, *one_seed, *store).code == 0
    proxy = raybert.load_sweep(folder).trials.set_index("role").loc["proxy", "trial_id"]
    (folder / "trials" / proxy / "checkpoint" / "best" / "model.safetensors").write_bytes(b"torn")
    store = ["--set", f"selection.store={tmp_path / 'b'}", "--set", "sweep.strategies=[confidence, k_center]"]
    done = sweep(folder, *one_seed, *store)
    assert done.code == 4, done.said
    assert "TrialError: scoring proxy failed" in done.out
    status = raybert.load_sweep(folder).trials.set_index("strategy")["status"]
    assert status[["confidence", "k_center"]].tolist() == ["failed", "complete"]
