"""Who may write a trial's folder: one process, and nobody whom a newer owner of the sweep has replaced."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raybert.durable import make_folder
from raybert.errors import TrialError
from raybert.files import read_json
from raybert.locks import Lock, NoLocks
from raybert.polling import wait_until
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.folder.signs import Watch, identity_of

WAIT_FOR_WRITER_SECONDS = 60.0
"""A process that outlives its killed sweep ends within seconds: its stop takes one step and one checkpoint."""
SILENT_SECONDS = 30.0
"""After these without a heartbeat, of which there is one a second, a lock is what a dead process has left."""
_ENOUGH_SECONDS = 5.0
"""The same where there are no locks: fenced processes stop within a step."""
_SECONDS_BETWEEN_LOOKS = 0.2


class Superseded(Exception):
    """The sweep has a newer owner, or its folder is gone: this process must write nothing more."""


def is_gone(folder: Path) -> bool:
    """Tell whether a results folder that somebody owned has been deleted or moved away.

    What writes into it still may make it anew; but not the lock, which its owner has open from the beginning, nor the
    number of the owner.
    """
    return not _is_there(folder / "lock") and not _is_there(folder / "attempt")


def _is_there(path: Path) -> bool:
    """Tell whether there is a file; `Path.exists` of Python 3.14 says no as well where a file server does not answer.

    Raises:
        OSError: nobody knows.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@dataclass(frozen=True)
class Fence:
    """Keeps what an earlier owner of a sweep started from writing into it.

    Attributes:
        folder: of the results.
        attempt: the owner that started this process; None: nobody can replace it.
    """

    folder: Path
    attempt: int | None = None

    def check(self) -> None:
        """Pass, unless the sweep has a newer owner, or its folder is gone.

        Raises:
            Superseded: so it is.
        """
        if self.attempt is None:
            return
        if current_attempt(self.folder) > self.attempt:
            raise Superseded(f"{self.folder}: owner {self.attempt} was replaced")
        if is_gone(self.folder):
            raise Superseded(f"{self.folder}: deleted or moved away")


@contextlib.contextmanager
def sole_writer(folder: Path, fence: Fence, name: str = ".lock", wait_seconds: float | None = None) -> Iterator[None]:
    """Be the only process that writes a trial's folder; one that a killed sweep left behind is waited for.

    Args:
        folder: of the trial.
        fence: of its sweep, checked once the folder is free.
        name: of the lock; a trial of several workers has a second one, for the worker that writes.
        wait_seconds: how long the other process may take; default: a minute.

    Raises:
        TrialError: it did not end in time.
        Superseded: a newer owner of the sweep came meanwhile.
    """
    make_folder(folder)
    lock = Lock(folder / name)
    _take_pen(lock, folder, WAIT_FOR_WRITER_SECONDS if wait_seconds is None else wait_seconds)
    try:
        fence.check()
        yield
    finally:
        lock.release()


def _take_pen(lock: Lock, folder: Path, wait_seconds: float) -> None:
    """Take the lock of a trial's folder; without locks, or where the lock outlives its holder, heartbeats decide.

    Raises:
        TrialError: another process writes, and does not let go.
    """
    watch = Watch(folder / "heartbeat.json")
    beat = read_json(folder / "heartbeat.json") or {}
    try:
        if lock.take(wait_seconds):
            return
        # A living one beats once a second; one on this host is seen as well.
        if watch.look() >= SILENT_SECONDS and not _is_seen(beat) and lock.replace():
            return
    except NoLocks:
        is_left = not beat or bool(beat.get("ended"))
        if is_left or wait_until(lambda: watch.look() >= _ENOUGH_SECONDS, _SECONDS_BETWEEN_LOOKS, wait_seconds):
            return
    raise TrialError(
        f"{folder}: must be written by one process, but another (pid {beat.get('pid', 'unknown')} on "
        f"{beat.get('host', 'an unknown host')}) still does after {wait_seconds:g} s; end it, then try again "
        "with --retry lost (Python: `retry='lost'`)",
        kind="lost",
    )


def _is_seen(beat: dict[str, object]) -> bool:
    """Tell whether the process that sent a heartbeat lives on this host."""
    pid, is_here = beat.get("pid"), beat.get("host") == os.uname().nodename
    return is_here and isinstance(pid, int) and identity_of(pid) == beat.get("process")
