"""Stop, pause, resume, cancel, signals and the limit of time, on a real process that owns a folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from raybert.errors import SweepError
from raybert.sweeping.driver import control
from raybert.sweeping.driver.control import send_command

OWNER = """
import sys, time
from pathlib import Path
from rich.console import Console
from raybert.sweeping.driver.session import owned_folder
from raybert.terminal.sweep_progress import PlainProgress

seconds = float(sys.argv[2]) if len(sys.argv) > 2 else None
with owned_folder(Path(sys.argv[1]), PlainProgress(Console(width=200)), seconds) as (folder, interruption):
    def run():
        interruption.progress.phase("running")
        print("has begun", flush=True)
        while not interruption():
            time.sleep(0.01)
        print("trials see it" if folder.stop_request.exists() else "trials see nothing", flush=True)
    interruption.run_unless_paused(run)
    print("left in order", flush=True)
"""


@contextlib.contextmanager
def owner(folder: Path, *arguments: str):
    running = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), *arguments], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        read_until(running, "has begun")
        yield running
    finally:
        running.kill()
        running.communicate()


def read_until(process: subprocess.Popen, words: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(f"never said {words!r}: {lines}")


def phase(folder: Path) -> str:
    return json.loads((folder / "state.json").read_text())["phase"]


def test_stop_makes_trials_save_and_leaves_a_folder_that_nobody_owns(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "stop")
        lines = read_until(running, "left in order")
        assert running.wait(30) == 0
    assert "trials see it" in lines
    assert any("stopping: running trials save" in line for line in lines)
    assert phase(tmp_path) == "stopped"
    assert not {"owner.json", "control.json", "stop-requested"} & {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SweepError, match="no sweep runs in it; see `raybert status"):
        send_command(tmp_path, "stop")


def test_pause_waits_and_resume_runs_what_is_left(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "pause")
        lines = read_until(running, "paused; continue with:  raybert resume")
        assert "trials see it" in lines
        assert phase(tmp_path).startswith("paused")
        send_command(tmp_path, "resume")
        read_until(running, "has begun")
        assert phase(tmp_path) == "running"
        assert not (tmp_path / "stop-requested").exists()
        send_command(tmp_path, "pause")
        read_until(running, "paused; continue with")
        send_command(tmp_path, "stop")
        read_until(running, "left in order")
        assert running.wait(30) == 0


def test_cancel_ends_at_once(tmp_path):
    with owner(tmp_path) as running:
        send_command(tmp_path, "cancel")
        rest, _ = running.communicate(timeout=30)
    assert running.returncode in (1, -signal.SIGINT)
    assert "left in order" not in rest
    assert not (tmp_path / "owner.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_in_order_and_a_second_one_at_once(tmp_path, number):
    with owner(tmp_path / "once") as running:
        running.send_signal(number)
        read_until(running, "left in order")
        assert running.wait(30) == 0
    with owner(tmp_path / "twice") as running:
        send_command(tmp_path / "twice", "pause")
        read_until(running, "paused; continue with")
        os.kill(running.pid, signal.SIGSTOP)  # so that both signals are there before it looks
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGTERM)
        os.kill(running.pid, signal.SIGCONT)
        rest, _ = running.communicate(timeout=30)
    assert running.returncode in (1, -signal.SIGINT)
    assert "left in order" not in rest


def test_the_limit_of_time_stops_in_order_and_says_so(tmp_path):
    with owner(tmp_path, "0.1") as running:
        lines = read_until(running, "left in order")
        assert running.wait(30) == 0
    assert any(
        "limits.sweep_seconds (0.1) are used up" in line and "the same command continues" in line for line in lines
    )


def test_a_command_that_is_damaged_is_said_and_the_sweep_goes_on(tmp_path):
    with owner(tmp_path) as running:
        (tmp_path / "control.json").write_text("{")
        assert "control.json held no command" in read_until(running, "note:")[-1]
        assert running.poll() is None


def test_a_command_to_an_owner_that_ends_meanwhile_is_said(tmp_path):
    with owner(tmp_path) as running:
        os.kill(running.pid, signal.SIGSTOP)
        threading.Timer(0.5, running.kill).start()
        with pytest.raises(SweepError, match="ended before it took the command"):
            send_command(tmp_path, "pause")


def test_an_owner_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "PATIENCE_SECONDS", 0.3)
    with owner(tmp_path) as running:
        os.kill(running.pid, signal.SIGSTOP)
        with pytest.raises(SweepError, match=rf"pid {running.pid} .* must take a command within 0.3 s"):
            send_command(tmp_path, "pause")
    assert not (tmp_path / "control.json").exists()
