"""Who may write: one process a results folder, one process a trial's folder, and nobody whom a newer owner replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from raybert.durable import make_folder, sync_folder
from raybert.errors import SweepError, TrialError
from raybert.files import NOT_WRITABLE, check_writable, read_json, reason_of, write_json, write_text
from raybert.polling import repeating

SECONDS_BETWEEN_BEATS = 5.0
FRESH_SECONDS = 30.0
"""An owner on another host whose heartbeat is younger than this is alive, whatever the lock says. Six beats: a network
file system may show a change of time several seconds late."""
WAIT_FOR_WRITER_SECONDS = 60.0
"""A process that outlives its killed sweep ends within seconds: its stop takes one step and one checkpoint."""


class Superseded(Exception):
    """The sweep has a newer owner, or its folder is gone: this process must write nothing more."""


@dataclass(frozen=True)
class Owner:
    """The process that runs a sweep (`owner.json`, whose time of change is its heartbeat).

    Attributes:
        pid: its process.
        host: where that is.
        since: when it began.
        attempt: counts the owners of the folder; what an earlier one started must not write any more.
    """

    pid: int
    host: str
    since: str
    attempt: int

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"

    @classmethod
    def of_this_process(cls, attempt: int) -> Owner:
        """Describe this process."""
        return cls(os.getpid(), os.uname().nodename, time.strftime("%F %T"), attempt)


def read_owner(folder: Path) -> Owner | None:
    """Return who owns a results folder, or ended without leaving it; None: nobody, or the file is damaged."""
    found = read_json(folder / "owner.json")
    try:
        return None if found is None else Owner(**found)
    except TypeError:
        return None


def beat_age_seconds(folder: Path) -> float | None:
    """Return the age of the owner's heartbeat by the clock of the file system; None: there is none."""
    try:
        beat = (folder / "owner.json").stat().st_mtime
    except FileNotFoundError:
        return None
    probe = folder / f".now.{os.getpid()}.{threading.get_ident()}"
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
    return max(0.0, now - beat)


def is_held(folder: Path) -> bool:
    """Tell whether a living process holds the lock of a results folder."""
    path = folder / "lock"
    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        return _is_held_by_another(path)
    lock.release()
    return False


def _is_held_by_another(path: Path) -> bool:
    """Tell the same without a right to write: `filelock` locks by flock, which a reader may try as well."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back with the file
        except BlockingIOError:
            return True
    return False


def current_attempt(folder: Path) -> int:
    """Return the number of the newest owner of a results folder; 0: unknown."""
    try:
        return int((folder / "attempt").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


@contextlib.contextmanager
def own(folder: Path, note: Callable[[str], None], lost: Callable[[str], None] = lambda _: None) -> Iterator[int]:
    """Own a results folder for the length of a `with` block, and yield the number of this owner.

    Args:
        folder: of the results; made if it does not exist.
        note: told whose place is taken.
        lost: called once, from another thread, when another owner has taken this one's place meanwhile, or the folder
            has been deleted or moved away; says which.

    Raises:
        SweepError: another process owns it, or it cannot be written; says which.
    """
    lock = filelock.FileLock(folder / "lock")
    try:
        check_writable(folder)
        lock.acquire(timeout=1)  # `raybert status` holds it for a moment
    except filelock.Timeout:
        raise _in_use(folder) from None
    except (OSError, NotImplementedError) as error:
        reason = f"{folder} ({reason_of(error)})"
        raise SweepError(f"output: must be a folder that can be written, got {reason}; give another one") from None
    try:
        _take_over(folder, note)
        owner, place = Owner.of_this_process(_next_attempt(folder)), _place_of(folder)
        write_text(folder / "attempt", str(owner.attempt))
        _write(owner, folder)
        try:
            with _beating(folder, owner, place, lost):
                yield owner.attempt
        finally:
            if current_attempt(folder) <= owner.attempt and _place_of(folder) == place:
                (folder / "owner.json").unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # else a power cut would bring it back
                    sync_folder(folder)
    finally:
        lock.release()


def is_gone(folder: Path) -> bool:
    """Tell whether a results folder that somebody owned has been deleted or moved away.

    What writes into it still may make it anew; but not the lock, which its owner has open from the beginning, nor the
    number of the owner.
    """
    return not (folder / "lock").exists() and not (folder / "attempt").exists()


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
def sole_writer(
    folder: Path, fence: Fence, name: str = ".lock", wait_seconds: float = WAIT_FOR_WRITER_SECONDS
) -> Iterator[None]:
    """Be the only process that writes a trial's folder; one that a killed sweep left behind is waited for.

    Args:
        folder: of the trial.
        fence: of its sweep, checked once the folder is free.
        name: of the lock; a trial of several workers has a second one, for the worker that writes.
        wait_seconds: how long the other process may take.

    Raises:
        TrialError: it did not end in time.
        Superseded: a newer owner of the sweep came meanwhile.
    """
    make_folder(folder)
    lock = filelock.FileLock(folder / name)
    try:
        lock.acquire(timeout=wait_seconds)
    except filelock.Timeout:
        beat = read_json(folder / "heartbeat.json") or {}
        raise TrialError(
            f"{folder}: must be written by one process, but another (pid {beat.get('pid', 'unknown')} on "
            f"{beat.get('host', 'an unknown host')}) still does after {wait_seconds:g} s; end it, then try again "
            "with --retry lost (Python: `retry='lost'`)",
            kind="lost",
        ) from None
    try:
        fence.check()
        yield
    finally:
        lock.release()


def _in_use(folder: Path) -> SweepError:
    return SweepError(
        f"{folder}: in use by another raybert process ({read_owner(folder) or 'unknown'}); wait for it, end it with "
        f"`raybert stop {folder}`, or give `output` another folder"
    )


def _take_over(folder: Path, note: Callable[[str], None]) -> None:
    """Say whose place is taken; on another host the lock may not be seen, so a fresh heartbeat is believed.

    Raises:
        SweepError: that owner is alive.
    """
    before, age = read_owner(folder), beat_age_seconds(folder)
    if age is None:
        return
    if before is not None and before.host != os.uname().nodename and age < FRESH_SECONDS:
        raise SweepError(
            f"{folder}: in use by another raybert process ({before}; last heartbeat {age:.0f} s ago, and the file "
            f"system does not pass locks on); wait for it; if it is dead, try again in {FRESH_SECONDS:.0f} s"
        )
    note(
        f"note: taken over from {before or 'an unknown owner (owner.json is damaged)'}, which ended without leaving "
        f"(last heartbeat {age:.0f} s ago)"
    )


def _next_attempt(folder: Path) -> int:
    """Return a number above every earlier one, also where the file that counts was lost."""
    owner = read_owner(folder)
    known = [current_attempt(folder), owner.attempt if owner else 0]
    if known[0] == 0:
        beats = (read_json(path) for path in folder.glob("trials/*/heartbeat.json"))
        known += [int(beat.get("attempt") or 0) for beat in beats if beat]
    return max(known) + 1


def _write(owner: Owner, folder: Path) -> None:
    write_json(folder / "owner.json", dataclasses.asdict(owner))


@contextlib.contextmanager
def _beating(folder: Path, owner: Owner, place: tuple[int, int] | None, lost: Callable[[str], None]) -> Iterator[None]:
    """Touch `owner.json` again and again from a thread, and write it anew where it was lost."""

    def beat() -> bool:
        if current_attempt(folder) > owner.attempt:
            lost("another process has taken over the folder")
            return True
        if _place_of(folder) != place:
            lost("the results folder has been deleted or moved away")
            return True
        with contextlib.suppress(OSError):  # a full disk or a slow one must not end the sweep
            _beat_once(folder, owner)
        return False

    with repeating(beat, SECONDS_BETWEEN_BEATS, "raybert-heartbeat"):
        yield


def _place_of(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another one of the same name; None: it is not there."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _beat_once(folder: Path, owner: Owner) -> None:
    if read_owner(folder) == owner:
        os.utime(folder / "owner.json")
        return
    known = current_attempt(folder)
    if known > owner.attempt:  # another owner came since `beat` looked: its files are not lost
        return
    if known < owner.attempt:
        write_text(folder / "attempt", str(owner.attempt))
    _write(owner, folder)
