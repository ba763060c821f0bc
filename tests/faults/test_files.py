"""Files that are torn, emptied or gone: what can be had again is, what cannot is named, nothing finished is lost."""

import shutil

import pytest

from tests.faults.sweeps import Finished, assert_same_end, run

pytestmark = [pytest.mark.slow, pytest.mark.ray]

OF_THE_SWEEP = (
    "sweep.yaml",
    "resolved.yaml",
    "manifest.json",
    "plan.json",
    "held_out.parquet",
    "pool.parquet",
    "state.json",
    "attempt",
    "lock",
)
OF_A_TRIAL = (
    "result.json",
    "selection.parquet",
    "predictions.parquet",
    "epochs.jsonl",
    "config.yaml",
    "heartbeat.json",
    "log.txt",
)


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


DAMAGES = (halve, empty, delete)


@pytest.mark.fault("file of the sweep torn, empty, deleted")
@pytest.mark.parametrize("name", OF_THE_SWEEP)
def test_a_damaged_file_of_the_sweep_costs_no_trial(file, undisturbed, tmp_path, fault, name):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    finished = Finished.of(folder)
    for damage in DAMAGES:
        with fault.once():
            if (folder / name).exists():
                damage(folder / name)
            ended = run(file, folder)
            assert ended.outcome.exit_code == 0, ended.said
            fault.lost += finished.num_lost()
            assert fault.lost == 0
            assert_same_end(folder, undisturbed)


@pytest.mark.fault("file of a trial torn, empty, deleted")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_a_trial_costs_that_trial_at_most(file, undisturbed, tmp_path, fault, damage):
    shutil.copytree(undisturbed, tmp_path / "run")
    folder = tmp_path / "run"
    trials = sorted(path.parent for path in folder.glob("trials/*/result.json"))
    for number, name in enumerate(OF_A_TRIAL):  # in turn a file of another trial
        with fault.once():
            trial = trials[number % len(trials)]
            finished = Finished.of(folder)
            others = Finished(folder, {path: stamp for path, stamp in finished.results.items() if path.parent != trial})
            if (trial / name).exists():
                damage(trial / name)
            ended = run(file, folder)
            assert ended.outcome.exit_code == 0, ended.said
            fault.lost += others.num_lost()
            assert fault.lost == 0
            if name in ("epochs.jsonl",):
                continue
            assert_same_end(folder, undisturbed)
