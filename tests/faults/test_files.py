"""Files that are torn, emptied or gone: what can be had again is, what cannot is named, nothing finished is lost."""

import itertools
import shutil

import pytest

import raybert
from raybert.errors import SweepError
from tests.faults.sweeps import Finished, assert_same_end, assert_same_tables, kept_files, run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(autouse=True)
def _no_traps_left(ground):
    yield
    ground.traps.clear()


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
    "evaluations.jsonl",
    "config.yaml",
    "heartbeat.json",
    "losses.npz",
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
    damaged = list(zip(OF_A_TRIAL, itertools.cycle(trials), strict=False))  # in turn a file of another trial
    for part in (damaged[:3], damaged[3:]):
        fault.tried += len(part)
        for name, trial in part:
            if (trial / name).exists():
                damage(trial / name)
        finished = Finished.of(folder).without(trial for _, trial in part)
        ended = run(file, folder)
        assert ended.outcome.exit_code == 0, ended.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        if damage is delete:  # as a user may do to save space: what was in the file is not known any more, nothing else
            unknown = raybert.load_sweep(folder).trials["num_never_predicted"].isna()
            assert unknown.sum() == ("predictions.parquet" in dict(part))
            for name, trial in part:
                if name.endswith((".parquet", ".npz")):
                    shutil.copy(undisturbed / "trials" / trial.name / name, trial)
        assert_same_tables(folder, undisturbed)
        assert kept_files(folder) == kept_files(undisturbed)
        fault.survived += len(part)


def without_mark(path):
    (path / "COMPLETE").unlink()


def halved_weights(path):
    halve(path / "weights.safetensors")


def halved_state(path):
    halve(path / "state.pt")


def emptied(path):
    for part in path.iterdir():
        empty(part)


def deleted(path):
    shutil.rmtree(path)


@pytest.mark.fault("newest checkpoint torn, empty, unmarked, deleted")
@pytest.mark.parametrize("damages", [(without_mark, halved_weights), (halved_state, emptied), (deleted,)])
def test_a_damaged_checkpoint_is_passed_over(ground, file, undisturbed, tmp_path, fault, damages):
    ground.traps.lay("error", times=len(damages))
    assert run(file, tmp_path).outcome.num_failed == len(damages)
    newest = sorted(path.parent for path in tmp_path.glob("trials/*/checkpoint/last/COMPLETE"))
    assert len(newest) == len(damages)
    finished = Finished.of(tmp_path)
    fault.tried += len(damages)
    for damage, path in zip(damages, newest, strict=True):
        damage(path)
    ended = run(file, tmp_path, retry="failed")
    assert ended.outcome.exit_code == 0, ended.said
    fault.lost += finished.num_lost()
    assert fault.lost == 0
    assert_same_end(tmp_path, undisturbed)
    fault.survived += len(damages)


@pytest.mark.fault("changed file or data")
def test_a_file_that_changes_what_trials_mean_is_refused_and_costs_nothing(ground, file, undisturbed, tmp_path, fault):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with fault.once():
        changed = ground.write(tmp_path / "changed.yaml", train__batch_size=4)
        with pytest.raises(SweepError, match=r"train\.batch_size was 8, is 4; give `output` a new folder"):
            run(changed, folder)
    with fault.once():
        table = ground.data / "train.csv"
        content = table.read_text()
        table.write_text(content.replace("red", "green"))
        try:
            with pytest.raises(SweepError, match="content of data.source .* changed since this folder was begun"):
                run(file, folder)
        finally:
            table.write_text(content)
    ours = {"attempt", "lock", "state.json"}
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in ours}
    assert {path: content for path, content in before.items() if path.name not in ours} == after
    assert run(file, folder).outcome.exit_code == 0
    assert_same_end(folder, undisturbed)
