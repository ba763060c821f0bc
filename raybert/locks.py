"""Locks of files: between processes, and between machines where the file system passes them on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raybert.files import NOT_WRITABLE
from raybert.polling import wait_until

_HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})
_UNKNOWN = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF})
"""What `flock` says on a file system without locks, or whose server of locks is away; NFS says the last one of a file
that may only be read."""
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_SECONDS_BETWEEN_TRIES = 0.05
_open: set[int] = set()
"""Files of the locks of this process; a fork would hold them for as long as it lives."""


class NoLocks(Exception):
    """The file system knows no locks; says why."""


@dataclass
class Lock:
    """An exclusive lock of a file, which the system gives back when the process ends.

    Attributes:
        path: of the file, made by the first who takes it, and left there.
    """

    path: Path
    _file: int | None = field(default=None, init=False)

    def take(self, seconds: float = 0.0, now: Callable[[], float] = time.monotonic) -> bool:
        """Take the lock, and return True; False: another process holds it for as long as is waited.

        Raises:
            NoLocks: the file system has none.
            OSError: the file cannot be opened.
        """
        return wait_until(self._try, _SECONDS_BETWEEN_TRIES, seconds, now=now)

    def _try(self) -> bool:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        if not _is_taken(file, self.path):
            return False
        self._file = file
        _open.add(file)
        return True

    def replace(self) -> bool:
        """Take the lock by another file in the place of this one, whose holder is dead; return whether that came off.

        Raises:
            NoLocks: the file system has none.
            OSError: the file cannot be replaced.
        """
        fresh = Lock(self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp"))
        try:
            if not fresh.take():
                return False
            os.replace(fresh.path, self.path)
        finally:
            with contextlib.suppress(OSError):
                fresh.path.unlink(missing_ok=True)
        self._file, fresh._file = fresh._file, None
        return True

    def is_in_place(self) -> bool:
        """Tell whether it is held, and nobody has put another file in its place since."""
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._file is not None:
            _open.discard(self._file)
            with contextlib.suppress(OSError):  # its file server is away: closing gives it back, too
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None


def is_held(path: Path) -> bool | None:
    """Tell whether a living process holds the lock of a file, without a right to write it; None: there are no locks."""
    try:
        file = os.open(path, os.O_RDWR | _FLAGS)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        file = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        taken = _is_taken(file, path)
    except NoLocks:
        return None
    if taken:
        os.close(file)
    return not taken


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file for the length of a `with` block, however long others take.

    Where there are no locks, without one: for what may be done twice, such as a cache that is made.
    """
    lock = Lock(path)
    with contextlib.suppress(NoLocks):
        lock.take(float("inf"))
    try:
        yield
    finally:
        lock.release()


def _is_taken(file: int, path: Path) -> bool:
    """Lock an open file, and return whether that came off; it is closed where not.

    Raises:
        NoLocks: the file system has none.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have put another file in its place since it was opened.
        if os.path.samestat(os.fstat(file), os.stat(path)):
            return True
    except FileNotFoundError:
        pass
    except OSError as error:
        os.close(file)
        if error.errno in _HELD:
            return False
        if error.errno in _UNKNOWN:
            raise NoLocks(os.strerror(error.errno)) from None
        raise
    os.close(file)
    return False


def _close_in_fork() -> None:
    for file in _open:
        with contextlib.suppress(OSError):
            os.close(file)
    _open.clear()


os.register_at_fork(after_in_child=_close_in_fork)
