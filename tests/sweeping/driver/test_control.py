"""Stop, pause, resume, cancel, signals and the limit of time, on a real process that owns a folder."""

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from raybert.errors import SweepError
from raybert.files import write_json
from raybert.sweeping.driver import control
from raybert.sweeping.driver.control import Interruption, send_command
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.terminal.sweep_progress import PlainProgress
from tests.processes import forked, wait_until

pytestmark = pytest.mark.slow


def own_until_told(folder: Path, seconds: float | None) -> None:
    """Own a folder as a sweep does, while trials that look at requests run."""
    with owned_folder(folder, PlainProgress(Console(width=200)), seconds) as (owned, interruption):

        def run_trials() -> None:
            interruption.progress.phase("running")
            print("has begun", flush=True)
            while not interruption():
                time.sleep(0.01)
            print("trials see it" if owned.stop_request.exists() else "trials see nothing", flush=True)

        interruption.run_unless_paused(run_trials)
        print("left in order", flush=True)


@contextlib.contextmanager
def owner(folder: Path, seconds: float | None = None):
    with forked(own_until_told, folder, seconds) as running:
        running.read_until("has begun")
        yield running


def phase(folder: Path) -> str:
    return json.loads((folder / "state.json").read_text())["phase"]


def test_stop_makes_trials_save_and_leaves_a_folder_that_nobody_owns(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "stop")
        lines = running.read_until("left in order")
        assert running.end()[0] == 0
    assert "trials see it" in lines
    assert any("stopping: running trials save" in line for line in lines)
    assert phase(tmp_path) == "stopped"
    assert not {"owner.json", "control.json", "stop-requested"} & {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SweepError, match="no sweep runs in it; see `raybert status"):
        send_command(tmp_path, "stop")


def test_pause_waits_and_resume_runs_what_is_left(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "pause")
        lines = running.read_until("paused; continue with:  raybert resume")
        assert "trials see it" in lines
        assert phase(tmp_path).startswith("paused")
        send_command(tmp_path, "resume")
        running.read_until("has begun")
        assert phase(tmp_path) == "running"
        assert not (tmp_path / "stop-requested").exists()
        send_command(tmp_path, "pause")
        running.read_until("paused; continue with")
        send_command(tmp_path, "stop")
        running.read_until("left in order")
        assert running.end()[0] == 0


def test_cancel_ends_at_once(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "cancel")
        code, said = running.end()
    assert code in (1, -signal.SIGINT)
    assert "left in order" not in said
    assert not (tmp_path / "owner.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_in_order_and_a_second_one_at_once(tmp_path, number):
    with owner(tmp_path / "once") as running:
        running.send_signal(number)
        running.read_until("left in order")
        assert running.end()[0] == 0
    with owner(tmp_path / "twice") as running:
        send_command(tmp_path / "twice", "pause")
        running.read_until("paused; continue with")
        running.send_signal(signal.SIGSTOP)  # so that both signals are there before it looks
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGCONT)
        code, said = running.end()
    assert code in (1, -signal.SIGINT)
    assert "left in order" not in said


def test_a_lost_terminal_may_be_told_of_twice(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "pause")
        running.read_until("paused; continue with")
        running.send_signal(signal.SIGSTOP)
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGHUP)
        running.send_signal(signal.SIGCONT)
        running.read_until("left in order")
        assert running.end()[0] == 0


@pytest.mark.fault("SIGTERM said twice")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_asks_twice_at_once_is_one_request(tmp_path, number, monkeypatch):
    """`timeout`, `srun` and slurmstepd send SIGTERM to a process and to its group; a person presses Ctrl-C again."""
    now = time.monotonic()
    with own_here(tmp_path) as interruption:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        for again in (number, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(again)
        assert interruption.requested
        monkeypatch.setattr(time, "monotonic", lambda: now + 60)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_the_system_asks_for_while_a_sweep_stops_already_does_not_end_it_at_once(tmp_path):
    with own_here(tmp_path) as interruption:
        interruption.obey("stop")
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_signal_counts_while_the_first_one_is_still_being_taken_down(tmp_path, monkeypatch):
    with own_here(tmp_path) as interruption:
        write = interruption._write_request_to_stop

        def interrupted() -> None:
            monkeypatch.setattr(interruption, "_write_request_to_stop", write)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(interruption, "_write_request_to_stop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def own_here(folder):
    with owned_folder(folder, PlainProgress(Console(file=io.StringIO()))) as (_, interruption):
        yield interruption


@pytest.mark.fault("disk full at the request to stop")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ESTALE, errno.EIO])
def test_a_request_that_cannot_be_written_is_written_later(tmp_path, monkeypatch, number):
    said, touch, failed = io.StringIO(), Path.touch, []

    def full(path, *arguments, **options):
        if path.name == "stop-requested" and len(failed) < 2:
            failed.append(1)
            raise OSError(number, os.strerror(number), str(path))
        touch(path, *arguments, **options)

    monkeypatch.setattr(Path, "touch", full)
    monkeypatch.setattr(control, "SECONDS_BETWEEN_POLLS", 0.01)
    with owned_folder(tmp_path, PlainProgress(Console(file=said, width=200))) as (folder, interruption):
        signal.raise_signal(signal.SIGTERM)
        wait_until(folder.stop_request.exists, "the request to stop")
        assert interruption.requested
    assert said.getvalue().count(os.strerror(number)) == 1
    assert len(failed) == 2


@pytest.mark.fault("file server away for a moment")
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_commands_and_limits_are_seen_after_a_file_server_was_away(tmp_path, monkeypatch, number):
    said, read, failed = io.StringIO(), control.read_json, []

    def away(path):
        if len(failed) < 3:
            failed.append(1)
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(control, "read_json", away)
    monkeypatch.setattr(control, "SECONDS_BETWEEN_POLLS", 0.01)
    with owned_folder(tmp_path, PlainProgress(Console(file=said, width=200)), sweep_seconds=0.5) as (_, interruption):
        send_command(tmp_path, "pause")
        assert interruption.is_paused
        wait_until(lambda: interruption.requested, "the limit of time")
    assert said.getvalue().count(os.strerror(number)) == 1


def own_without_hearing(folder: Path, number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    own_until_told(folder, None)


def test_what_nohup_ignores_stays_ignored(tmp_path):
    with forked(own_without_hearing, tmp_path, signal.SIGHUP) as running:
        running.read_until("has begun")
        running.send_signal(signal.SIGHUP)
        send_command(tmp_path, "stop")
        assert not any("once more" in line for line in running.read_until("left in order"))
        assert running.end()[0] == 0


def test_a_folder_that_is_deleted_ends_the_sweep_by_its_own_line(tmp_path):
    folder = tmp_path / "run"
    with owner(folder) as running:
        shutil.rmtree(folder)
        running.send_signal(signal.SIGINT)
        code, said = running.end()
    assert code == 1
    assert "SweepError: " in said
    assert "the results folder was deleted or moved away while a process worked in it" in said
    assert not folder.exists()


def test_the_limit_of_time_stops_in_order_and_says_so(tmp_path):
    with owner(tmp_path, 0.1) as running:
        lines = running.read_until("left in order")
        assert running.end()[0] == 0
    assert any(
        "limits.sweep_seconds (0.1) are used up" in line and "the same command continues" in line for line in lines
    )


def test_a_command_that_is_damaged_is_said_and_the_sweep_goes_on(tmp_path):
    with owner(tmp_path) as running:
        (tmp_path / "control.json").write_text("{")
        assert "control.json held no command" in running.read_until("note:")[-1]
        assert running.is_alive()


def test_a_command_to_an_owner_that_ends_meanwhile_is_said(tmp_path):
    with owner(tmp_path) as running:
        running.send_signal(signal.SIGSTOP)
        threading.Timer(0.5, running.send_signal, [signal.SIGKILL]).start()
        with pytest.raises(SweepError, match="ended before it took the command"):
            send_command(tmp_path, "pause")


def test_an_owner_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "PATIENCE_SECONDS", 0.3)
    with owner(tmp_path) as running:
        running.send_signal(signal.SIGSTOP)
        with pytest.raises(SweepError, match=rf"pid {running.pid} .* must take a command within 0.3 s"):
            send_command(tmp_path, "pause")
    assert not (tmp_path / "control.json").exists()


@pytest.mark.parametrize(("role", "runs"), [("trial", "trials"), ("pretrain", "models")])
def test_what_runs_is_called_by_its_name(tmp_path, role, runs):
    write_json(tmp_path / "plan.json", {"trials": [{"trial_id": "a", "strategy": "x", "role": role}]})
    said = []
    interruption = Interruption(SweepFolder(tmp_path), SimpleNamespace(note=said.append))
    interruption.say_that_it_stops()
    interruption.obey("pause")
    assert said[0] == f"stopping: running {runs} save; once more to stop at once"
    assert said[1] == f"pausing: running {runs} save and release their resources"
