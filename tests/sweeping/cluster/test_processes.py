"""Ray's processes without Ray: what does not hear SIGTERM, and a sweep that ends because one of them is gone."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from raybert.errors import Interrupted
from raybert.sweeping.cluster import processes
from raybert.sweeping.cluster.processes import deaf_to_sigterm, ray_looked_after
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.signs import identity_of
from raybert.terminal.sweep_progress import LiveProgress, PlainProgress
from tests.processes import forked, wait_until

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_BLOCKED = "import signal; print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def hears_not() -> str:
    """What a process, and one that it has begun, say of SIGTERM."""
    both = (
        f"import subprocess, sys; {_BLOCKED}; sys.stdout.flush(); subprocess.run([sys.executable, '-c', '{_BLOCKED}'])"
    )
    return subprocess.run([sys.executable, "-c", both], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_sigterm_passes_by_what_is_begun_meanwhile_and_what_that_begins():
    with deaf_to_sigterm():
        assert hears_not() == "True\nTrue\n"
    assert hears_not() == "False\nFalse\n"


@pytest.mark.fault("loss of a process of Ray, while the driver waits")
@pytest.mark.parametrize("ends", ["by itself", "not in time"])
def test_a_process_of_ray_that_is_gone_lets_trials_save_then_interrupts_whatever_waits(ends, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(processes, "SECONDS_TO_SAVE", 30.0 if ends == "by itself" else 0.2)
    said, before = io.StringIO(), signal.getsignal(signal.SIGTERM)
    needed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(processes, "_needed_here", lambda: [processes._Needed("raylet", needed.pid)])
    beat = tmp_path / "run" / "trials" / "t" / "heartbeat.json"

    def wait_for_ray(folder):
        """Wait for what never comes, while a trial saves, or does not."""
        at_work = {"pid": os.getpid(), "process": identity_of(os.getpid()), "host": os.uname().nodename}
        beat.parent.mkdir(parents=True)
        beat.write_text(json.dumps({**at_work, "attempt": folder.attempt}))

        def save() -> None:
            wait_until(folder.stop_request.exists, "the request to stop")
            beat.write_text(json.dumps({**at_work, "attempt": folder.attempt, "ended": True}))

        if ends == "by itself":
            threading.Thread(target=save).start()
        needed.kill()
        time.sleep(600)

    with (
        pytest.raises(Interrupted, match="Ray's raylet has ended in the middle of the sweep"),
        owned_folder(tmp_path / "run", PlainProgress(Console(file=said, width=200))) as (folder, interruption),
        ray_looked_after(interruption),
    ):
        wait_for_ray(folder)
    needed.wait()
    assert json.loads(beat.read_text()).get("ended", False) == (ends == "by itself")
    assert "stopping: Ray's raylet has ended; trials that still run save" in said.getvalue()
    assert interruption.requested
    assert not (tmp_path / "run" / "stop-requested").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def wait_deaf(path, needed):
    """Own a folder, and wait as a call of Ray's C++ does that asks a dead GCS: no signal ends it."""
    processes._SECONDS_BETWEEN_LOOKS = processes._SECONDS_TO_HEAR = 0.01
    processes._needed_here = lambda: [processes._Needed("GCS", needed)]
    with (
        LiveProgress(Console(file=sys.stderr, width=200, force_terminal=True)) as view,
        owned_folder(path, view) as (_, interruption),
        ray_looked_after(interruption),
    ):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.kill(needed, signal.SIGKILL)
        time.sleep(600)


@pytest.mark.fault("loss of a process of Ray, while the driver is deaf")
def test_a_main_thread_that_hears_nothing_is_ended_with_one_line_and_3(tmp_path, fault):
    needed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with fault.once(), forked(wait_deaf, tmp_path, needed.pid) as driver:
        needed.wait()
        code, said = driver.end()
        assert code == 3, said
        assert "error: Ray's GCS has ended in the middle of the sweep" in said
        assert "Traceback" not in said
        assert said.rfind(SHOW_CURSOR) > said.rfind(HIDE_CURSOR) >= 0
        assert json.loads((tmp_path / "state.json").read_text())["phase"] == "stopped"
        assert not (tmp_path / "stop-requested").exists()
        with owned_folder(tmp_path, PlainProgress(Console(file=io.StringIO()))) as (folder, _):
            assert folder.attempt == 2


def test_a_gcs_elsewhere_is_gone_when_nobody_answers_again_and_again():
    with socket.create_server(("127.0.0.1", 0)) as server:
        gcs = processes._Elsewhere("GCS", f"127.0.0.1:{server.getsockname()[1]}")
        gcs.looks.seconds = 0.0
        assert not any(gcs.is_gone for _ in range(5))
    assert [gcs.is_gone for _ in range(3)] == [False, False, True]


def test_a_ray_that_lives_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_needed_here", lambda: [processes._Needed("raylet", os.getpid())])
    with owned_folder(tmp_path, PlainProgress(Console(file=io.StringIO()))) as (_, interruption):
        with ray_looked_after(interruption):
            assert processes._Watch(interruption, processes._needed_here()).look() is False
        with pytest.raises(KeyError), ray_looked_after(interruption):
            raise KeyError("of its own")
    assert not interruption.requested
