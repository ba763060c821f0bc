"""A sweep as other users of the machine see it while it runs: its ports, its folders, its command lines; and after a kill."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.processes import wait_until

_OWN = {"127.0.0.1", "::1"}


def sweep_file(place, workers):
    rows = "".join(f"word{n % 7} and {'good' if n % 2 else 'bad'} {n},{n % 2}\n" for n in range(120))
    (place / "texts.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    path = place / "sweep.yaml"
    document = {
        "name": "seen",
        "data": {"source": str(place / "texts.csv"), "max_length": 16},
        "train": {"length": {"steps": 60}, "batch_size": 8},
        "selection": {"budget": 0.5},
        "sweep": {"strategies": ["random", "k_center"] if workers == 1 else ["random"], "seeds": 1, "plots": []},
        "resources": {"workers_per_trial": workers},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def processes_of(root):
    try:
        found = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    return {process.pid: process for process in found}


def public_sockets(pids):
    """What other machines could reach: ports that are listened at, and those of datagrams."""
    return {
        (one.laddr.ip, one.laddr.port)
        for one in psutil.net_connections("inet")
        if one.pid in pids
        and (one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr))
        and one.laddr.ip.removeprefix("::ffff:") not in _OWN
    }


def open_to_others(place):
    """Paths in the temporary folder that another user could read or write in."""
    found = []
    for path in place.iterdir():
        try:
            mode = path.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if mode & 0o077 and not stat.S_ISLNK(mode):
            found.append((path.name, oct(mode)))
    return found


def words_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.fault("ports and folders of a sweep")
@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_else_sees_a_sweep_that_runs(workers, tmp_path, fault):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        environment = {**os.environ, "TMPDIR": place, "RAYBERT_CACHE": str(tmp_path / "cache")}
        file, output = str(sweep_file(tmp_path, workers)), str(tmp_path / "out")
        command = [sys.executable, "-m", "raybert", "sweep", file, "--output", output]
        with fault.once(), open(tmp_path / "said.txt", "wb") as said:
            running = subprocess.Popen(command, env=environment, stdout=said, stderr=said, umask=0)
            root, names, seen = psutil.Process(running.pid), set(), set()
            try:
                while running.poll() is None:
                    begun = processes_of(root)
                    seen |= public_sockets(begun)
                    seen |= {name for name in open_to_others(Path(place)) if not name[0].startswith("torchinductor")}
                    names |= {words_of(process).partition(" ")[0] for process in begun.values()}
                    time.sleep(0.2)
            finally:
                running.terminate()
            assert running.wait() == 0, (tmp_path / "said.txt").read_text()
            assert seen == set()
            wanted = "ray::RayTrainWorker" if workers > 1 else "ray::ImplicitFunc.train"
            assert any(name.startswith(wanted) for name in names), names  # it was there to be seen
            assert [name for name in os.listdir(place) if name.startswith("raybert-")] == []


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes whose command line names a folder."""
    return [p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in word for word in p.info["cmdline"] or ())]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.fault("ports and folders of a sweep")
def test_the_next_start_removes_what_a_kill_leaves(tmp_path, fault):
    script = (
        "import json, os, sys, time\n"
        "from raybert.sweeping.cluster.connect import connected\n"
        "with connected(None):\n"
        "    print(json.dumps(os.environ['RAY_AUTH_TOKEN_PATH']), flush=True)\n"
        "    time.sleep(60 if sys.argv[1] == 'wait' else 0)\n"
    )
    # A Ray of the test session would give its token, and with it its folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    command = [sys.executable, "-c", script]
    started = subprocess.Popen([*command, "wait"], stdout=subprocess.PIPE, text=True, env=environment)
    left = Path(json.loads(started.stdout.readline())).parent
    begun = processes_of(psutil.Process(started.pid))
    started.send_signal(signal.SIGKILL)
    started.wait()
    for process in begun.values():  # as a machine does that loses its power
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(list(begun.values()), timeout=20)
    # What Ray had begun meanwhile ends by itself once it finds its parent gone.
    wait_until(lambda: not processes_in(left), "the end of what was begun in the folder")
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    with fault.once():
        subprocess.run([*command, "go"], check=True, capture_output=True, env=environment)
        assert not left.exists()
