"""The score store is emptied, as a whole or in part, while a sweep uses it or afterwards: the same command repairs it."""

import shutil

import pytest

from raybert.selection.store import ScoreStore
from raybert.sweeping.phases import trial_runner
from raybert.sweeping.phases.trial_runner import TrialRunner
from tests.e2e.commands import run as command
from tests.faults.sweeps import Finished, assert_same_tables, run

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.ray, pytest.mark.usefixtures("no_pixels")]


def write(ground, path, store, **changes):
    changes = {"sweep__strategies": ["random", "el2n"], "sweep__seeds": 1, "train__length__steps": 4} | changes
    return ground.write(path, selection__store=str(store), **changes)


def blocks(store):
    return sorted(store.glob("*/block-*.parquet"))


@pytest.mark.fault("score store emptied while a sweep uses it")
def test_what_is_deleted_of_a_store_between_scoring_and_trials_is_computed_again(
    ground, ray_cluster, tmp_path, fault, monkeypatch
):
    store, whole = tmp_path / "store", tmp_path / "whole"
    assert run(write(ground, tmp_path / "whole.yaml", tmp_path / "other"), whole).outcome.exit_code == 0
    score, trials, finish, deleted = TrialRunner._score, trial_runner.run_trials, ScoreStore.finish, []

    def cut_while_scoring(self, key, num_blocks, num_rows):
        if not deleted:
            blocks(store)[0].unlink()
            deleted.append("block")
        finish(self, key, num_blocks, num_rows)

    def emptied_after_scoring(self, specs):
        found = score(self, specs)
        if deleted == ["block"]:
            shutil.rmtree(store)
            deleted.append("store")
        return found

    def cut_before_trials(specs, *arguments):
        if deleted == ["block", "store"] and blocks(store):
            blocks(store)[0].unlink()
            deleted.append("last")
        trials(specs, *arguments)

    monkeypatch.setattr(ScoreStore, "finish", cut_while_scoring)
    monkeypatch.setattr(TrialRunner, "_score", emptied_after_scoring)
    monkeypatch.setattr(trial_runner, "run_trials", cut_before_trials)
    with fault.once():
        ended = run(write(ground, tmp_path / "sweep.yaml", store), tmp_path / "run")
        assert deleted == ["block", "store", "last"]
        assert ended.outcome.exit_code == 0, ended.said
        assert f"note: the score store {store} lost what scoring reads or has written; it is computed" in ended.said
        assert ended.said.count(f"note: the score store {store} has lost signals that 1 runs read") == 2
        assert_same_tables(tmp_path / "run", whole)


@pytest.mark.fault("score store deleted after a sweep")
def test_a_store_that_is_deleted_after_a_sweep_costs_no_result(ground, ray_cluster, tmp_path, fault):
    store, folder = tmp_path / "store", tmp_path / "run"
    file = write(ground, tmp_path / "sweep.yaml", store)
    assert run(file, folder).outcome.exit_code == 0
    finished = Finished.of(folder)
    (reader,) = (
        path.parent.name for path in folder.glob("trials/*/spec.json") if '"label": "el2n"' in path.read_text()
    )
    shutil.rmtree(store)
    with fault.once():
        assert command("report", folder).code == 0
        done = command("reproduce", folder, reader)
        assert done.code == 2
        said = " ".join(done.err.split())
        assert "must be in the score store" in said
        again = said.partition("computes it again: raybert ")[2].split()
        assert command(*again).code == 0, again
        done = command("reproduce", folder, reader)
        assert done.code == 0, done.said
        shutil.rmtree(store)
        extended = write(ground, tmp_path / "more.yaml", store, sweep__seeds=2)
        ended = run(extended, folder)
        assert ended.outcome.exit_code == 0, ended.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
