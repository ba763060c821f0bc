"""Trials that hang or die: found, named, ended, tried again; on one Ray with real processes."""

import errno
import io
import json
import math
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from rich.console import Console

from raybert.config import validate_config
from raybert.sweeping.cluster import hang_detector
from raybert.sweeping.cluster.hang_detector import HangDetector, innermost_frame, signal_process
from raybert.sweeping.cluster.hung_trials import HungTrialsCallback
from raybert.sweeping.folder.heartbeat import Heart, send_signal, stack_on_request, take_stall, write_stall
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.signs import identity_of
from raybert.terminal.sweep_progress import PlainProgress
from tests.processes import forked, wait_until


def begin_and_hang(path: Path) -> None:
    """Send one heartbeat as a trial, and no other."""
    path.mkdir(parents=True, exist_ok=True)
    with stack_on_request(path):
        Heart.begin(path, 1, 10)
        print("mine", flush=True)
        hang()


def hang() -> None:
    while True:
        time.sleep(60)


class Lines(PlainProgress):
    """Progress that keeps its lines."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO()))
        self.lines = []

    def _line(self, text: str) -> None:
        self.lines.append(text)


class Clock:
    """A clock that the test turns."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


def hung_trials(folder, stall_seconds, progress):
    return HungTrialsCallback(folder, stall_seconds, progress, "1 CPU", lambda trial: (trial, trial))


def beat(path, number, **more):
    """Write a heartbeat of this process that differs from those before."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "heartbeat.json").write_text(json.dumps(more))
    os.utime(path / "heartbeat.json", ns=(number, number))


@pytest.mark.slow
def test_a_process_that_hangs_is_named_with_its_place_and_ended(tmp_path):
    folder, progress = SweepFolder(tmp_path, attempt=1), Lines()
    with forked(begin_and_hang, folder.trial("t").path) as child:
        child.read_until("mine")
        trials = hung_trials(folder, 0.2, progress)

        def is_ended() -> bool:
            trials.look({"t": "random seed 0 t"}, 0)
            return not child.is_alive()

        wait_until(is_ended, "the process that hangs is ended", 60)
        assert child.end()[0] == -9
    line = progress.lines[0]  # a busy machine may take longer than a stall to end it, which is another line
    assert line.startswith("random seed 0 t: no heartbeat for ")
    assert line.endswith("its process is ended")
    message, stack = take_stall(folder.trial("t").path)
    assert message in line
    assert "in hang" in stack
    assert take_stall(folder.trial("t").path) is None


def test_a_process_that_gives_signs_of_life_is_left_alone(tmp_path):
    clock = Clock()
    detector = HangDetector(10.0, 1, clock)
    for number in range(5):
        beat(tmp_path, number, attempt=1)
        assert list(detector.look({"t": tmp_path})) == []
        clock.time += 9.0


def test_a_process_is_asked_first_then_found_and_found_again_where_none_takes_its_place(tmp_path, monkeypatch):
    sent, clock = [], Clock()
    monkeypatch.setattr(hang_detector, "signal_process", lambda beat, number: sent.append((beat["pid"], number)))
    detector = HangDetector(10.0, 1, clock)
    beat(tmp_path, 1, attempt=1, pid=7)
    assert list(detector.look({"t": tmp_path})) == []
    assert look_for(detector, tmp_path, clock, 5.0, 5.0) == [[], []]
    assert sent == [(7, signal.SIGUSR2)]
    clock.time += hang_detector.SECONDS_FOR_STACK
    (hang,) = detector.look({"t": tmp_path})
    assert (hang.has_begun, hang.silent_seconds) == (True, 12.0)
    hang.end()
    assert sent[1:] == [(7, signal.SIGKILL)]
    assert list(detector.look({"t": tmp_path})) == []
    _, (again,) = look_for(detector, tmp_path, clock, 5.0, 5.0)
    assert (again.has_begun, again.was_ended) == (False, True)
    beat(tmp_path, 2, attempt=1, pid=8)
    assert look_for(detector, tmp_path, clock, 5.0, 4.0) == [[], []]
    assert len(sent) == 2


def look_for(detector, path, clock, *seconds):
    """Look after so many seconds each, and return what was found each time."""
    found = []
    for passed in seconds:
        clock.time += passed
        found.append(list(detector.look({"t": path})))
    return found


@pytest.mark.fault("suspended machine")
def test_a_machine_that_was_suspended_has_not_been_watched(tmp_path, monkeypatch):
    sent, clock = [], Clock()
    monkeypatch.setattr(hang_detector, "signal_process", lambda beat, number: sent.append(number))
    detector = HangDetector(600.0, 1, clock)
    beat(tmp_path, 1, attempt=1, pid=7)
    # A step of 200 s, an hour of sleep in its middle: by its clock, if it goes on, or not.
    assert look_for(detector, tmp_path, clock, 0.0, *[5.0] * 20, 3600.0, *[5.0] * 20) == [[]] * 42
    assert sent == []


@pytest.mark.fault("clock set while trials run")
@pytest.mark.parametrize("step", [-3600.0, 3600.0, -2.0])
def test_a_file_servers_clock_that_is_set_is_no_heartbeat_missed_and_none_come(step, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(hang_detector, "signal_process", lambda beat, number: None)
    detector = HangDetector(10.0, 1, clock)
    at = 10**9 * 10**6
    for number in range(8):  # every beat is seen, also where the second half is written earlier than the first
        beat(tmp_path, at + int((number + step * (number > 3)) * 10**9), attempt=1, pid=7)
        assert look_for(detector, tmp_path, clock, 4.0) == [[]]
    found = [hang for looked in look_for(detector, tmp_path, clock, 4.0, 4.0, 4.0, 2.0) for hang in looked]
    assert [hang.silent_seconds for hang in found] == [14.0]


@pytest.mark.fault("clock set while trials run")
@pytest.mark.slow
@pytest.mark.parametrize("step", [-3600.0, 3600.0, 2.0])
def test_a_process_that_hangs_is_ended_though_the_clock_was_set_meanwhile(step, tmp_path, monkeypatch):
    folder, progress = SweepFolder(tmp_path, attempt=1), Lines()
    with forked(begin_and_hang, folder.trial("t").path) as child:
        child.read_until("mine")
        now, boot = time.time, psutil.boot_time()
        monkeypatch.setattr(time, "time", lambda: now() + step)
        monkeypatch.setattr("psutil.boot_time", lambda: boot + step)
        monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot + step)
        trials = hung_trials(folder, 0.2, progress)
        wait_until(lambda: trials.look({"t": "t"}, 0) or not child.is_alive(), "the process that hangs is ended", 60)
        assert child.end()[0] == -9
    assert [line for line in progress.lines if "is ended" in line] == progress.lines[:1]


def test_a_process_of_the_same_number_is_left_alone():
    me = {"pid": os.getpid(), "process": identity_of(os.getpid())}
    assert send_signal(me, 0)
    for other in ({"process": "another boot/1"}, {"process": None}, {"pid": 2**22 + 1}):
        assert not send_signal({**me, **other}, 9)
    assert not send_signal({"pid": os.getpid(), "process_started": 1.0}, 9)  # of raybert 0.1


@pytest.mark.fault("disk full while a trial hangs")
def test_what_cannot_be_written_of_a_hang_does_not_save_its_process(tmp_path, monkeypatch):
    sent, clock, progress = [], Clock(), Lines()
    monkeypatch.setattr(hang_detector, "signal_process", lambda beat, number: sent.append(number))
    monkeypatch.setattr("raybert.sweeping.cluster.hung_trials.write_stall", full_disk)
    folder = SweepFolder(tmp_path, attempt=1)
    trials = hung_trials(folder, 4.0, progress)
    trials._detector.clock = clock
    beat(folder.trial("t").path, 1, attempt=1, pid=7)
    for _ in range(4):
        trials.look({"t": "random t"}, 0)
        clock.time += 2.0
    assert sent == [signal.SIGUSR2, signal.SIGKILL]
    assert any("No space left on device" in line for line in progress.lines)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.fault("file server away for a moment")
def test_a_file_server_that_is_away_ends_no_tune_run(tmp_path, monkeypatch):
    progress = Lines()
    trials = hung_trials(SweepFolder(tmp_path, attempt=1), 10.0, progress)

    def away(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(hang_detector, "last_beat", away)
    running = SimpleNamespace(status="RUNNING")
    for _ in range(3):
        trials._looks.last = -math.inf
        trials._identify = lambda trial: ("t", "t")
        trials.on_step_end(1, [running])
    assert [line for line in progress.lines if "Stale file handle" in line] == progress.lines
    assert len(progress.lines) == 1


def test_idleness_is_told_once_a_stall_and_ends_with_any_sign(tmp_path):
    clock = Clock()
    detector = HangDetector(10.0, None, clock)
    told = []
    for is_busy, sign in [
        (False, None),
        (False, None),
        (False, (1,)),
        (False, (1,)),
        (False, (1,)),
        (True, (1,)),
        (False, (1,)),
        (False, (1,)),
    ]:
        told.append(detector.idle_seconds(is_busy, sign))
        clock.time += 5.0
    assert told == [None, None, None, None, 10.0, None, None, None]


def test_a_process_that_never_began_is_said_and_nobody_is_hurt(tmp_path):
    folder, progress = SweepFolder(tmp_path, attempt=2), Lines()
    me = identity_of(os.getpid())
    # Of an earlier owner: whose number it now is.
    beat(folder.trial("t").path, 1, attempt=1, pid=os.getpid(), process=me, host=os.uname().nodename)
    trials = hung_trials(folder, 0.01, progress)

    def is_said() -> bool:
        trials.look({"t": "random t"}, 0)
        return bool(progress.lines)

    wait_until(is_said, "that it has not begun", 30)
    assert "random t: its process has not begun after" in progress.lines[0]


def test_without_a_limit_nothing_hangs(tmp_path):
    clock = Clock()
    detector = HangDetector(None, 1, clock)
    beat(tmp_path, 1, attempt=1)
    for _ in range(2):
        assert list(detector.look({"t": tmp_path})) == []
        assert detector.idle_seconds(False) is None
        clock.time += 10**6
    assert HangDetector(4.0, 1).seconds_between_looks == 1.0
    assert detector.seconds_between_looks == HangDetector(600.0, 1).seconds_between_looks == 5.0


STACK = """Thread 0x00007f0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "{package}/sweeping/folder/ownership.py", line 9 in beat

Current thread 0x00007f1 (most recent call first):
  File "{libraries}/torch/nn/functional.py", line 12 in linear
  File "/home/me/mine.py", line 7 in choose
  File "{package}/sweeping/trial/run.py", line 200 in run

Thread 0x00007f2 (most recent call first):
  File "{libraries}/ray/_private/worker.py", line 1 in main_loop
"""


def test_the_place_is_the_innermost_frame_of_the_trial_that_is_no_librarys():
    import sysconfig

    import raybert

    package = Path(raybert.__file__).parent
    stack = STACK.format(package=package, libraries=sysconfig.get_path("purelib"))
    assert innermost_frame(stack) == "in choose (/home/me/mine.py, line 7)"
    only_ours = stack.replace('  File "/home/me/mine.py", line 7 in choose\n', "")
    assert innermost_frame(only_ours) == f"in run ({package}/sweeping/trial/run.py, line 200)"
    assert innermost_frame("") == "and no stack could be had"


def test_a_trial_that_was_ended_for_hanging_is_told_from_one_that_died(tmp_path):
    write_stall(tmp_path, "no heartbeat", "stack")
    assert take_stall(tmp_path) == ("no heartbeat", "stack")


@pytest.mark.ray
def test_a_signal_reaches_a_process_by_way_of_a_task_on_its_node(ray_cluster):
    import ray

    node_id = ray.get_runtime_context().get_node_id()
    with forked(hang) as child:
        process = identity_of(child.pid)
        signal_process({"host": "elsewhere", "node_id": node_id, "pid": child.pid, "process": process}, 9)
        assert child.end(60)[0] == -9


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_trials_that_hang_or_die_are_tried_again_and_fail_with_their_kind(ray_cluster, tmp_path):
    from raybert.analysis import load_sweep
    from raybert.sweeping.plan.design import read_design
    from raybert.sweeping.runner import run_sweep

    hostile = "tests.sweeping.hostile:Hostile"
    config = validate_config(
        {
            "data": {"max_length": 32, "train_examples": 200, "validation_examples": 40, "test_examples": 40},
            "train": {"length": {"steps": 4}, "batch_size": 16},
            "sweep": {
                "seeds": 1,
                "strategies": [
                    "random",
                    {"name": hostile, "label": "hangs_once", "folder": str(tmp_path), "by": "hang", "times": 1},
                    {"name": hostile, "label": "dies_once", "folder": str(tmp_path), "by": "die", "times": 1},
                    {"name": hostile, "label": "hangs_always", "folder": str(tmp_path), "by": "hang", "times": 99},
                    {"name": hostile, "label": "dies_always", "folder": str(tmp_path), "by": "die", "times": 98},
                ],
            },
            "limits": {"stall_seconds": 4, "retries": 1},
        }
    )
    progress = Lines()
    outcome = run_sweep(read_design(config), tmp_path / "run", progress)
    assert (outcome.num_complete, outcome.num_failed, outcome.num_pending) == (3, 2, 0)
    trials = load_sweep(tmp_path / "run").trials.set_index("strategy")
    assert trials["status"].to_dict() == {
        "random": "complete",
        "hangs_once": "complete",
        "dies_once": "complete",
        "hangs_always": "failed",
        "dies_always": "failed",
    }
    assert trials.loc["hangs_always", "failure"] == "stalled"
    assert trials.loc["dies_always", "failure"] == "lost"
    assert pd.isna(trials.loc["dies_once", "failure"])
    folder = SweepFolder(tmp_path / "run")
    attempts = {
        label: [a["kind"] for a in folder.trial(row["trial_id"]).attempts()] for label, row in trials.iterrows()
    }
    assert attempts == {
        "random": [],
        "hangs_once": ["stalled"],
        "dies_once": ["lost"],
        "hangs_always": ["stalled"] * 2,
        "dies_always": ["lost"] * 2,
    }
    said = [line for line in progress.lines if "hangs_always" in line and "no heartbeat" in line]
    assert "in hang_on_purpose (" in said[0]
    assert "tests/sweeping/hostile.py" in said[0]
    assert any("retry 1 of 1" in line and "dies_once" in line for line in progress.lines)
    same = trials.loc[["random", "hangs_once", "dies_once"], "test_loss"]
    assert same.nunique() == 1, "an attempt that failed has left its mark on the next"
    again = run_sweep(read_design(config), tmp_path / "run", Lines(), retry="nan")
    assert (again.num_complete, again.num_failed) == (3, 2), "no trial failed for a value that is not finite"
