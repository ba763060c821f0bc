"""Signals to the driver, a second one on its folder, and shapes that nothing can hold."""

import json
import os
import signal

import pytest

from raybert.errors import ResourceError, SweepError
from tests.faults.sweeps import Finished, assert_same_end, run, started
from tests.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(autouse=True)
def _no_traps_left(ground):
    yield
    ground.traps.clear()


def assert_resumes(file, folder, undisturbed, fault):
    """The same command comes to the end of the undisturbed run, and repeats nothing."""
    finished = Finished.of(folder)
    ended = run(file, folder)
    assert ended.outcome.exit_code == 0, ended.said
    fault.lost += finished.num_lost()
    assert fault.lost == 0
    assert_same_end(folder, undisturbed)
    return ended


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.fault("Ctrl-C once")),
        pytest.param(signal.SIGTERM, marks=pytest.mark.fault("SIGTERM")),
    ],
)
def test_a_signal_lets_running_trials_save_and_leaves_a_resumable_folder(
    ground, file, undisturbed, tmp_path, fault, number
):
    ground.traps.lay("gate")
    with fault.once(), started(file, tmp_path) as driver:
        ground.traps.wait_for_trial()
        driver.send_signal(number)
        wait_until((tmp_path / "stop-requested").exists, "the request to stop")
        ground.traps.open()
        code, said = driver.end()
        assert code == 3, said
        assert "are left; continue with:  raybert sweep" in said
        assert not list(tmp_path.glob("trials/*/attempts.jsonl"))
        assert list(tmp_path.glob("trials/*/checkpoint/last/COMPLETE"))
        assert_resumes(file, tmp_path, undisturbed, fault)


@pytest.mark.fault("Ctrl-C twice")
def test_a_second_ctrl_c_ends_at_once_and_what_was_saved_is_continued(
    ground, file, undisturbed, address, tmp_path, fault
):
    ground.traps.lay("gate")
    with fault.once(), started(file, tmp_path, "--address", address) as driver:
        ground.traps.wait_for_trial()
        driver.send_signal(signal.SIGINT)
        wait_until((tmp_path / "stop-requested").exists, "the request to stop")
        driver.send_signal(signal.SIGINT)
        code, said = driver.end(30)  # though a trial waits at the gate
        assert code == 3, said
        assert "Traceback" not in said
        assert_resumes(file, tmp_path, undisturbed, fault)


@pytest.mark.fault("second process on the folder")
def test_a_second_process_is_refused_and_one_after_a_kill_takes_over(
    ground, file, undisturbed, address, tmp_path, fault
):
    ground.traps.lay("gate")
    with started(file, tmp_path, "--address", address) as driver:
        ground.traps.wait_for_trial()
        with (
            fault.once(),
            pytest.raises(SweepError, match=rf"in use by another raybert process \(pid {driver.pid} on"),
        ):
            run(file, tmp_path)
        with fault.once():
            driver.kill()
            owners = owners_of_trials(tmp_path)
            ended = assert_resumes(file, tmp_path, undisturbed, fault)
            assert f"note: taken over from pid {driver.pid}" in ended.said
    assert max(owners_of_trials(tmp_path)) > max(owners)


def owners_of_trials(folder):
    """Return the number of the owner that has started each trial last."""
    return [json.loads(path.read_text())["attempt"] for path in folder.glob("trials/*/heartbeat.json")]


@pytest.mark.fault("impossible resources")
@pytest.mark.parametrize("shape", [{"cpus_per_worker": 1000}, {"workers_per_trial": 3}, {"gpus_per_worker": 1}])
def test_what_no_node_can_hold_is_an_error_in_seconds(ground, ray_cluster, tmp_path, fault, shape):
    ((key, value),) = shape.items()
    file = ground.write(tmp_path / "sweep.yaml", **{f"resources__{key}": value})
    with fault.once(), pytest.raises(ResourceError, match=r"resources: .* must fit"):
        run(file, tmp_path / "run")
    assert not list((tmp_path / "run").glob("trials/*"))
    assert os.listdir(ground.traps.folder) == []
