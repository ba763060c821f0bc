"""Trials that die or fail on the way: the others go on, and another attempt comes to the same end."""

import json
import os
import signal

import numpy as np
import psutil
import pytest

import raybert
from tests.faults.sweeps import Finished, assert_same_end, finish, kept_files, run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(autouse=True)
def _no_traps_left(ground):
    yield
    ground.traps.clear()


def rows_of(folder):
    (path,) = folder.glob("trials/*/evaluations.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def attempts_of(folder):
    lines = [line for path in folder.glob("trials/*/attempts.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


@pytest.mark.fault("SIGKILL of a trial's process")
def test_a_trial_whose_process_is_killed_continues_from_its_checkpoint(ground, file, undisturbed, tmp_path, fault):
    ground.traps.lay("gate")

    def kill():
        os.kill(ground.traps.wait_for_trial(), signal.SIGKILL)

    with fault.once():
        ended = run(file, tmp_path, meanwhile=kill)
        assert ended.outcome.exit_code == 0, ended.said
        assert_same_end(tmp_path, undisturbed)
        assert [attempt["kind"] for attempt in attempts_of(tmp_path)] == ["lost"]


@pytest.mark.fault("SIGKILL of one of a trial's workers")
def test_two_workers_one_of_which_is_killed_train_what_one_worker_trains(ground, ray_cluster, tmp_path, fault):
    (trapped, _) = ground.document()["sweep"]["strategies"]
    alone = {"sweep__strategies": [trapped], "sweep__seeds": 1, "model__dropout": 0.0}  # ranks draw their own
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(ground.write(tmp_path / "one.yaml", **alone), one).outcome.exit_code == 0
    file = ground.write(tmp_path / "two.yaml", **alone, resources__workers_per_trial=2)
    ground.traps.lay("gate")
    steps_at_the_gate = []

    def kill():
        pid = ground.traps.wait_for_trial()
        steps_at_the_gate.extend(row["step"] for row in rows_of(two))
        os.kill(pid, signal.SIGKILL)

    with fault.once():
        ended = run(file, two, meanwhile=kill)
        assert ended.outcome.exit_code == 0, ended.said
        assert steps_at_the_gate == [2, 4, 6, 8]
        assert [row["step"] for row in rows_of(two)] == [2, 4, 6, 8, 10, 12, 14, 16]  # none of them twice
        expected, found = (raybert.load_sweep(folder).evaluations for folder in (one, two))
        for column in ("train_loss", "validation_loss"):
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-4)


@pytest.mark.fault("NaN at a step")
def test_a_loss_that_is_not_finite_fails_one_trial_and_a_retry_goes_on_before_it(
    ground, file, undisturbed, tmp_path, fault
):
    ground.traps.lay("nan")
    with fault.once():
        ended = run(file, tmp_path)
        assert ended.outcome.exit_code == 4, ended.said
        assert (ended.outcome.num_complete, ended.outcome.num_failed) == (3, 1)
        assert [attempt["kind"] for attempt in attempts_of(tmp_path)] == ["nan"]
        (group,) = ended.outcome.errors
        assert "last checkpoint: step 8" in group.message
        finished = Finished.of(tmp_path)
        assert run(file, tmp_path).outcome.num_failed == 1  # not tried again unasked
        assert run(file, tmp_path, retry="nan").outcome.exit_code == 0
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        assert_same_end(tmp_path, undisturbed)


@pytest.mark.fault("exception in a trial")
def test_an_exception_fails_one_trial_and_a_retry_continues_it(ground, file, undisturbed, tmp_path, fault):
    ground.traps.lay("error")
    with fault.once():
        ended = run(file, tmp_path)
        assert ended.outcome.exit_code == 4, ended.said
        (group,) = ended.outcome.errors
        assert group.message == "RuntimeError: sprung on purpose"
        assert run(file, tmp_path, retry="failed").outcome.exit_code == 0
        assert_same_end(tmp_path, undisturbed)


@pytest.mark.fault("device memory: once, always")
def test_memory_that_runs_out_halves_the_micro_batch_and_fails_only_where_nothing_fits(
    ground, file, undisturbed, ray_cluster, tmp_path, fault
):
    losses = ["cross_entropy", "tests.faults.traps:room_for_four", "tests.faults.traps:room_for_none"]
    grid = {"train.loss.name": losses, "train.micro_batch_size": [None, 4]}
    several = ground.write(tmp_path / "sweep.yaml", sweep__grid=grid, sweep__strategies=["random"], sweep__seeds=1)
    folder = tmp_path / "run"
    fault.tried = 2
    ended = run(several, folder)
    assert ended.outcome.exit_code == 4, ended.said
    results = raybert.load_sweep(folder)
    trials = results.trials.set_index(["train.loss.name", "train.micro_batch_size"])
    status = trials["status"].groupby(level=0, sort=False).agg(list)
    assert status.to_dict() == {losses[0]: ["complete"] * 2, losses[1]: ["complete"] * 2, losses[2]: ["failed"] * 2}
    assert {attempt["kind"] for attempt in attempts_of(folder)} == {"oom"}
    # The same model whether micro-batches of four were asked for, or came of running out of memory.
    four = trials.loc[losses[1]]
    assert four["validation_loss"].iloc[0] == pytest.approx(
        four["validation_loss"].iloc[1], rel=1e-3
    )  # dropout draws differ
    assert four["optimizer_steps"].tolist() == [16, 16]
    assert four["examples_seen"].tolist() == [128, 128]
    # Who had room was not disturbed: trials are named by content.
    expected, here = kept_files(undisturbed), kept_files(folder)
    shared = expected.keys() & here.keys()
    assert len(shared) == 4  # weights, predictions, selection, losses
    assert {path: here[path] for path in shared} == {path: expected[path] for path in shared}
    fault.survived = 2


@pytest.mark.fault("worker ended for the host's memory")
def test_a_worker_that_ray_ends_for_memory_is_tried_again(ground, file, undisturbed, tmp_path, fault):
    memory = psutil.virtual_memory()
    if memory.available < 8 * 2**30:
        pytest.skip("needs 8 GiB of free memory")
    # Room for whatever else this machine does meanwhile, half of what the hog takes at most.
    threshold = 1 - 0.6 * memory.available / memory.total
    watchful = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    ground.traps.lay("hog")
    with fault.once():
        code, said = finish(file, tmp_path / "run", environment=watchful)
        assert code == 0, said
        assert {attempt["kind"] for attempt in attempts_of(tmp_path / "run")} == {"memory"}
        assert_same_end(tmp_path / "run", undisturbed)
