"""Signals to the driver, a second one on its folder, and shapes that nothing can hold."""

import json
import os
import signal

import psutil
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


def only_the_driver(driver, trial):
    return [driver.pid]


def everyone(driver, trial):
    """All processes of a sweep, in the order in which the kernel may tell them: Ray's, the trials, the driver."""
    begun = psutil.Process(driver.pid).children(recursive=True)
    scratch = {word for one in begun for word in one.cmdline() if word.startswith("--session-dir=")}
    workers = [one for one in psutil.process_iter(["cmdline"]) if scratch & set(one.info["cmdline"] or ())]
    assert {"raylet", "gcs_server"} <= {one.name() for one in begun}
    return list(dict.fromkeys([*(one.pid for one in (*begun, *workers)), trial, driver.pid]))


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        pytest.param(signal.SIGINT, only_the_driver, marks=pytest.mark.fault("Ctrl-C once")),
        pytest.param(signal.SIGTERM, only_the_driver, marks=pytest.mark.fault("SIGTERM")),
        pytest.param(signal.SIGTERM, everyone, marks=pytest.mark.fault("SIGTERM to every process")),
        pytest.param(signal.SIGHUP, everyone, marks=pytest.mark.fault("SIGHUP to every process")),
    ],
)
def test_a_signal_lets_running_trials_save_and_leaves_a_resumable_folder(
    ground, file, undisturbed, tmp_path, fault, number, whom
):
    ground.traps.lay("gate")
    with fault.once(), started(file, tmp_path) as driver:
        trial = ground.traps.wait_for_trial()
        for pid in whom(driver, trial):
            os.kill(pid, number)
        wait_until((tmp_path / "stop-requested").exists, "the request to stop")
        ground.traps.open()
        code, said = driver.end()
        assert code == 3, said
        assert "Traceback" not in said
        assert not psutil.pid_exists(trial) or psutil.Process(trial).status() == "zombie"
        assert "are left; continue with:  raybert sweep" in said
        assert not list(tmp_path.glob("trials/*/attempts.jsonl"))
        assert list(tmp_path.glob("trials/*/checkpoint/last/COMPLETE"))
        assert_resumes(file, tmp_path, undisturbed, fault)


@pytest.mark.parametrize(
    ("name", "saves"),
    [
        pytest.param("raylet", False, marks=pytest.mark.fault("SIGKILL of the raylet")),
        pytest.param("gcs_server", True, marks=pytest.mark.fault("SIGKILL of the GCS")),
    ],
)
def test_a_ray_that_loses_a_process_ends_the_sweep_in_one_line_and_it_is_continued(
    ground, file, undisturbed, tmp_path, fault, name, saves
):
    ground.traps.lay("gate")
    with fault.once(), started(file, tmp_path) as driver:
        ground.traps.wait_for_trial()
        (needed,) = [one for one in psutil.Process(driver.pid).children() if one.name() == name]
        needed.kill()
        wait_until((tmp_path / "stop-requested").exists, "the request to stop")
        ground.traps.open()
        code, said = driver.end()
        assert code == 3, said
        assert "Traceback" not in said
        assert "has ended in the middle of the sweep" in said
        assert bool(list(tmp_path.glob("trials/*/checkpoint/last/COMPLETE"))) or not saves
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
