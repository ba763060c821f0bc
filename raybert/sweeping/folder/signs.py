"""Signs of life: that a file changes while somebody looks, and which process is which, by no clock that people set.

Clocks of two machines differ, and any of them may be set while a sweep runs. So nobody asks how old a heartbeat is: who
looks, looks again, and counts by a clock of its own that only goes forward. And a process is told from a later one of
the same number by the ticks since its machine was started.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

from raybert.files import NOT_WRITABLE

Sign = tuple[int, ...]
"""Of a file: differs whenever it was written or touched."""
_DEAD = ("Z", "X")
"""States of processes that have ended, and that nobody has asked for their exit codes yet."""


def sign_of(path: Path) -> Sign | None:
    """Return what changes with every heartbeat; None: there is no file.

    The file is opened, because a network file system then asks its server; what it says of a name may be old.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


@dataclass
class Watch:
    """Whether a file changes while one looks.

    Attributes:
        path: of the file.
        now: the clock.
        since: when it was first seen as it is.
        has_changed: whether it has changed since the first look.
    """

    path: Path
    now: Callable[[], float] = time.monotonic
    since: float = field(init=False)
    has_changed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._sign, self.since = sign_of(self.path), self.now()

    def look(self) -> float:
        """Look again, and return for how many seconds it has been as it is."""
        sign = sign_of(self.path)
        if sign != self._sign:
            self._sign, self.since, self.has_changed = sign, self.now(), True
        return self.now() - self.since


def age_seconds(path: Path) -> float | None:
    """Return how long ago a file was written, by the clock of its file system, to be shown; None: there is no file.

    Nothing is decided by it: that clock may have been set meanwhile.
    """
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return None
    probe = path.with_name(f".now.{os.getpid()}.{threading.get_ident()}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        now = time.time()  # the clock of this host, which may differ from that of the file system
    finally:
        with contextlib.suppress(OSError):  # a file system that may only be read refuses even what is not there
            probe.unlink(missing_ok=True)
    return max(0.0, now - written)


def identity_of(pid: int) -> str | None:
    """Return what tells a process of this machine from a later one of the same number; None: it is not alive."""
    try:
        # After the name, which may hold blanks and brackets: the state is the third entry, the ticks the 22nd.
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if words[0] in _DEAD else f"{_boot()}/{words[19]}"
    except (OSError, IndexError):
        pass
    try:  # no Linux: there the time when a process began is written down once, when it begins
        return None if os.path.isdir("/proc/self") else repr(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


@cache
def _boot() -> str:
    """Return what tells this start of the machine from another one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def send_signal_to(pid: int, identity: str, number: int) -> bool:
    """Send a signal to a process of this machine, and return whether it was there; a later one is left alone."""
    if identity_of(pid) != identity:
        return False
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
