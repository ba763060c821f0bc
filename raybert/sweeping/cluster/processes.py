"""Ray's own processes on this machine: SIGTERM passes them by, their death ends a sweep in order, and they end with it.

systemd, SLURM and a closing session send SIGTERM to *every* process of a sweep. Ray's would end at once, and with them
the trials, before anything is saved. So only the driver hears it: it asks the trials to save, and ends the rest itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import psutil
import ray
from ray._private import worker

from raybert.errors import ExitCode, Interrupted
from raybert.polling import Throttle, repeating
from raybert.sweeping.driver.control import Interruption
from raybert.sweeping.folder.heartbeat import folders_with_beats, read_beat
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.signs import identity_of

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_CALLS, _CALLS = 3.0, 3
"""To a GCS on another machine, before it counts as gone: Ray itself gives up after a minute, and ends the process."""
SECONDS_TO_SAVE = 10.0
"""How long trials may take to save where Ray has lost one of its processes; they look twice a second."""
_SECONDS_TO_HEAR = 20.0
"""How long the main thread may take to leave what it does: it may be writing tables, or in a call of Ray for good."""
_SECONDS_TO_DIE = 5.0
"""A process that was killed has its memory freed first."""
_NEEDED = {"raylet": "raylet", "gcs_server": "GCS"}
"""Names of processes without which nothing goes on -> what Ray calls them."""


@contextlib.contextmanager
def deaf_to_sigterm() -> Iterator[None]:
    """Keep SIGTERM from the processes that are begun in a `with` block, and from those that these begin.

    Ray's processes have handlers of their own, so to ignore the signal would not do; a mask is inherited, and stays.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_ray(scratch: Path) -> None:
    """Leave a Ray that was started here, and end its processes, with whatever they have begun.

    Args:
        scratch: folder of that Ray.
    """
    begun = _begun_by_ray(scratch)
    node = worker._global_node
    if node is not None and Path(node.get_session_dir_path()).is_relative_to(scratch):
        for info in chain.from_iterable(node.all_processes.values()):
            # Ray sends each SIGTERM and waits a second; there is no public call that ends them otherwise.
            info.process.terminate = info.process.kill
    ray.shutdown()
    for process in begun:
        with contextlib.suppress(psutil.Error):
            process.kill()  # psutil leaves a later process of the same number alone
    psutil.wait_procs(begun, timeout=_SECONDS_TO_DIE)


def _begun_by_ray(scratch: Path) -> list[psutil.Process]:
    """Return the processes that Ray has begun for this one in a folder, each before those that it has begun itself.

    Where Ray has not started in time, it has lost sight of them, and they would write into a folder that is removed.
    """
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name() in _NEEDED and any(str(scratch) in word for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


@dataclass
class _Needed:
    """A process without which nothing goes on.

    Attributes:
        name: as Ray calls it.
        pid: its number.
        identity: what tells it from a later one.
    """

    name: str
    pid: int
    identity: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.identity = identity_of(self.pid)

    @property
    def is_gone(self) -> bool:
        return identity_of(self.pid) != self.identity


@dataclass
class _Elsewhere:
    """A GCS on another machine, which is gone when nobody takes a connection several times in a row.

    Attributes:
        name: as Ray calls it.
        address: HOST:PORT.
        num_refused: in a row.
    """

    name: str
    address: str
    looks: Throttle = field(default_factory=lambda: Throttle(_SECONDS_BETWEEN_CALLS))
    num_refused: int = 0

    @property
    def is_gone(self) -> bool:
        if self.looks.is_due():
            host, _, port = self.address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), _SECONDS_BETWEEN_CALLS).close()
                self.num_refused = 0
            except OSError:
                self.num_refused += 1
        return self.num_refused >= _CALLS


def _needed_here() -> list[_Needed | _Elsewhere]:
    """Return the raylet of this node and the GCS of the cluster."""
    node = worker._global_node
    if node is None:
        return []
    # Whole words: the socket of another node on this machine begins with the name of ours.
    marks = {
        "raylet": f"--raylet_socket_name={node.raylet_socket_name}",
        "gcs_server": f"--session-dir={node.get_session_dir_path()}",
    }
    found: list[_Needed | _Elsewhere] = []
    for process in psutil.process_iter(["name", "cmdline"]):
        name, words = process.info["name"], process.info["cmdline"] or []
        if name in marks and marks[name] in words:
            found.append(_Needed(_NEEDED[name], process.pid))
    if not any(one.name == "GCS" for one in found):
        found.append(_Elsewhere("GCS", str(node.gcs_address)))
    return found


@contextlib.contextmanager
def ray_looked_after(interruption: Interruption) -> Iterator[None]:
    """End a sweep in order if a process that Ray needs dies, for the length of a `with` block.

    Without a raylet or a GCS nothing returns any more, or only after a minute, when Ray's C++ ends the process with 1.
    So the main thread is interrupted at once, before its next call, and trials that still live are waited for here.
    A main thread that is inside of such a call already hears nothing; then this process is ended from here, with 3.

    Raises:
        Interrupted: one has died; says which.
    """
    watch = _Watch(interruption, _needed_here())
    try:
        with repeating(watch.look, _SECONDS_BETWEEN_LOOKS, "looking after Ray", interruption.progress.note):
            yield
    except BaseException as error:
        if watch.lost and not isinstance(error, Interrupted):
            watch.wait_for_trials()
            raise Interrupted(watch.message) from error
        raise
    if watch.lost:
        watch.wait_for_trials()
        raise Interrupted(watch.message)


@dataclass
class _Watch:
    interruption: Interruption
    needed: list[_Needed | _Elsewhere]
    lost: str = ""
    lost_at: float = 0.0

    @property
    def message(self) -> str:
        runs = self.interruption.runs
        what = "sweep" if runs == "trials" else "pretraining"
        return (
            f"Ray's {self.lost} has ended in the middle of the {what} (killed, or this machine ran out of memory); "
            f"running {runs} have saved what they could, and the same command continues"
        )

    def look(self) -> bool:
        """Look once; return whether it is over."""
        if self.lost:
            if time.monotonic() - self.lost_at > _SECONDS_TO_HEAR:
                self._end_from_here()
            return False
        gone = [process.name for process in self.needed if process.is_gone]
        if not gone:
            return False
        self.lost, self.lost_at = gone[0], time.monotonic()
        self.interruption.progress.note(
            f"stopping: Ray's {self.lost} has ended; {self.interruption.runs} that still run save"
        )
        self.interruption.stop()
        if not self.interruption.takes_signals:
            return True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return False

    def wait_for_trials(self) -> None:
        """Wait until the trials of this owner have saved or died, or for as long as that may take."""
        folder = self.interruption.folder
        working = [path for path in folders_with_beats(folder.path) if _is_at_work(path, folder)]
        deadline = self.lost_at + SECONDS_TO_SAVE
        while any(_is_at_work(path, folder) for path in working) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _end_from_here(self) -> None:
        """End this process from a thread, and Ray's with it; locks go with it, and folders are as after a kill."""
        self.wait_for_trials()
        self.interruption.progress.note(f"error: {self.message}")
        with contextlib.suppress(OSError):
            self.interruption.progress.enter("stopped")
            self.interruption.folder.stop_request.unlink(missing_ok=True)
        begun = [child for child in psutil.Process().children() if child.name() in _NEEDED]
        for process in [*chain.from_iterable(child.children(recursive=True) for child in begun), *begun]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            self.interruption.progress.leave()
        finally:
            os._exit(ExitCode.INTERRUPTED)


def _is_at_work(trial: Path, folder: SweepFolder) -> bool:
    """Tell whether a process of this owner is in a trial, by its heartbeat; one on this machine must live, too."""
    beat = read_beat(trial)
    if beat.get("attempt") != folder.attempt or beat.get("ended"):
        return False
    return beat.get("host") != os.uname().nodename or identity_of(int(beat["pid"])) == beat.get("process")
