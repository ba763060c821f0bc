"""Ray's workers, forked from the warm parent too: one begins in a tenth of a second instead of five.

Ray begins a worker by the Python that the driver runs in. While Ray starts, `warm_workers` puts a script in its place
that asks a process, through a socket, to fork the worker; all else that Ray begins, the script begins as Ray would.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest.mock import patch

from tests.processes import WARM_PARENT, wait_until

_SCRIPT = """#!/bin/sh
case "$*" in *default_worker.py*) exec {python} -I -S {asking} {door} "$@" ;; esac
exec {python} "$@"
"""
_DISK = "RAYBERT_TESTS_DISK"
_NEW_MOUNTS, _PRIVATE, _BIND = 0x20000, 0x44000, 0x1000
"""`CLONE_NEWNS`, `MS_PRIVATE | MS_REC` and `MS_BIND` of Linux."""
_ASKING = """
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect(sys.argv[1])
    blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    ignored = [int(number) for number in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(number) == signal.SIG_IGN]
    door.sendall(json.dumps([sys.argv[2:], dict(os.environ), os.getcwd(), blocked, ignored]).encode())
    door.shutdown(socket.SHUT_WR)
    door.recv(1)  # until the worker has begun
"""


@contextlib.contextmanager
def warm_workers() -> Iterator[None]:
    """Let a Ray that is started in this block have its workers forked."""
    with patch.object(sys, "executable", warm_python()):
        yield


@cache
def warm_python() -> str:
    """Return the script that stands for Python, which works as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="warm-", dir="/tmp"))  # paths of sockets must be short
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    door, asking, script = folder / "door", folder / "asking.py", folder / "python"
    asking.write_text(_ASKING)
    script.write_text(_SCRIPT.format(python=sys.executable, asking=asking, door=door))
    script.chmod(0o755)
    # A process, because a thread of this one would wait for Ray: it starts while `ray.init` holds the interpreter.
    WARM_PARENT.Process(target=_fork_workers, args=(door,), daemon=True).start()
    wait_until(door.exists, "the door to the workers")
    return str(script)


def _fork_workers(door: Path) -> None:
    """Fork a worker for everyone who asks, as long as the process lives that began this one."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    beginner = os.getppid()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(door))
    listener.listen(64)
    listener.settimeout(5.0)
    while os.getppid() == beginner:
        with contextlib.suppress(TimeoutError):
            asking, _ = listener.accept()
            with asking, asking.makefile("rb") as file:
                request = json.loads(file.read())
                if os.fork() == 0:
                    listener.close()
                    asking.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _be_worker(*request)
                    os._exit(0)


def _be_worker(
    arguments: list[str], environment: dict[str, str], folder: str, blocked: list[int], ignored: list[int]
) -> None:
    """Do what `python ARGUMENTS` would do in a folder and an environment: the setup of a worker, and its work.

    It does not hear the signals that the process did not hear that asked for it.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    if _DISK in environment:
        _mount(*environment[_DISK].split(os.pathsep))
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    if Path(arguments[0]).name == "setup_worker.py":
        arguments = _after_setup(arguments[1:])
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def own_disk(disk: Path, place: Path) -> dict[str, str]:
    """Return variables of a node on whose workers a folder of this machine is another one: a disk of the node's own.

    Args:
        disk: what they see.
        place: in whose place.
    """
    return {_DISK: f"{disk}{os.pathsep}{place}"}


def lacks_namespaces() -> bool:
    """Tell whether this user may make no mount namespaces, which `own_disk` needs."""
    command = ("unshare", "--mount", "true")
    return shutil.which(command[0]) is None or subprocess.run(command, check=False).returncode != 0


def _mount(disk: str, place: str) -> None:
    """Let this process, and those that it begins, see one folder in the place of another."""
    system = ctypes.CDLL(None, use_errno=True)
    for number in (
        system.unshare(_NEW_MOUNTS),
        system.mount(b"none", b"/", None, _PRIVATE, None),
        system.mount(disk.encode(), place.encode(), None, _BIND, None),
    ):
        if number:
            raise OSError(ctypes.get_errno(), "a folder cannot be mounted")


def _after_setup(arguments: list[str]) -> list[str]:
    """Apply the environment that a worker was asked to have; return the rest of the command line."""
    from ray._private.runtime_env.context import RuntimeEnvContext, update_envs
    from ray._private.workers.setup_worker import parser

    known, rest = parser.parse_known_args(arguments)
    update_envs(RuntimeEnvContext.deserialize(known.serialized_runtime_env_context or "{}").env_vars)
    return rest
