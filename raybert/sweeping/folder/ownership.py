"""Who owns a results folder: one process, which takes the place of one that died.

A lock decides, where the file system passes locks on. Where it does not (another host, no locks at all), and where the
lock is held by nobody who is known to live, a heartbeat decides: whether it changes while one looks (`signs`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from raybert.durable import sync_folder
from raybert.errors import SweepError
from raybert.files import check_writable, reason_of, write_json, write_text
from raybert.locks import Lock, NoLocks
from raybert.polling import Guard, repeating
from raybert.sweeping.folder.heartbeat import folders_with_beats, read_beat
from raybert.sweeping.folder.owner import Owner, OwnerWatch, as_soon_as_known, current_attempt, read_owner

SECONDS_BETWEEN_BEATS = 5.0
FRESH_SECONDS = 30.0
"""An owner whose heartbeat does not change for so long is dead. Six beats: a network file system may show a change
several seconds late."""
SETTLE_SECONDS = 2.0
"""Without locks, two processes that begin at once have both written by then, and the first sees the second's name."""


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
    lock = Lock(folder / "lock")
    try:
        try:
            check_writable(folder)
            decides = _take(lock, folder, note)
        except OSError as error:
            reason = f"{folder} ({reason_of(error)})"
            raise SweepError(f"output: must be a folder that can be written, got {reason}; give another one") from None
        owner, place = Owner.of_this_process(_next_attempt(folder)), _place_of(folder)
        write_text(folder / "attempt", str(owner.attempt))
        _write(owner, folder)
        if not decides:
            _settle(owner, folder, lock)
        try:
            with _beating(folder, owner, place, lost, note):
                yield owner.attempt
        finally:
            Guard("leaving the results folder", note, OSError)(lambda: _leave(folder, owner, place), None)
    finally:
        lock.release()


def _take(lock: Lock, folder: Path, note: Callable[[str], None]) -> bool:
    """Take the place of whoever had the folder, and return whether a lock now keeps others out.

    Raises:
        SweepError: somebody alive has it.
    """
    try:
        is_mine, why_none = lock.take(1.0), ""  # `raybert status` holds it for a moment
    except NoLocks as error:
        is_mine, why_none = False, str(error)
    before, is_left = read_owner(folder), (folder / "owner.json").exists()
    if why_none:
        note(f"note: {folder} lies on a file system without locks ({why_none}): heartbeats decide who owns it")
    if is_mine and (not is_left or before is None or before.is_here):
        if is_left:
            note(_taken_over(before, "which ended without leaving"))
        return True
    if not is_mine and before is not None and before.is_seen:
        raise _in_use(folder)
    if is_left or not why_none:
        _wait_for_sign(folder, before, note)
        note(_taken_over(before, f"which has sent no heartbeat for {FRESH_SECONDS:.0f} s"))
    if is_mine:
        return True
    # A lock of a host that died may stay held for ever: a new file takes its place, which who comes later locks.
    if not why_none and not lock.replace():
        raise _in_use(folder)
    return False


def _wait_for_sign(folder: Path, before: Owner | None, note: Callable[[str], None]) -> None:
    """See that no heartbeat comes.

    Raises:
        SweepError: one came.
    """
    note(f"note: looking for {FRESH_SECONDS:.0f} s whether {before or 'an unknown owner'} is alive")
    if as_soon_as_known(OwnerWatch(folder, FRESH_SECONDS).has_beaten):
        raise _in_use(folder)


def _taken_over(before: Owner | None, why: str) -> str:
    return f"note: taken over from {before or 'an unknown owner (owner.json is damaged)'}, {why}"


def _settle(owner: Owner, folder: Path, lock: Lock) -> None:
    """Give way to a process that began at the same time, where no lock keeps it out: the last one stays.

    Raises:
        SweepError: there is one.
    """
    time.sleep(SETTLE_SECONDS)
    if read_owner(folder) not in (owner, None):
        raise _in_use(folder)
    if not lock.is_in_place():  # the one that gave way had put its own file there
        lock.release()
        with contextlib.suppress(NoLocks):
            lock.take(SETTLE_SECONDS)


def _leave(folder: Path, owner: Owner, place: tuple[int, int] | None) -> None:
    if read_owner(folder) in (owner, None) and _place_of(folder) == place:
        (folder / "owner.json").unlink(missing_ok=True)
        sync_folder(folder)  # else a power cut would bring it back


def _in_use(folder: Path) -> SweepError:
    return SweepError(
        f"{folder}: in use by another raybert process ({read_owner(folder) or 'unknown'}); wait for it, end it with "
        f"`raybert stop {folder}`, or give `output` another folder"
    )


def _next_attempt(folder: Path) -> int:
    """Return a number above every earlier one, also where the file that counts was lost."""
    owner = read_owner(folder)
    known = [current_attempt(folder), owner.attempt if owner else 0]
    if known[0] == 0:
        known += [int(read_beat(path).get("attempt") or 0) for path in folders_with_beats(folder)]
    return max(known) + 1


def _write(owner: Owner, folder: Path) -> None:
    write_json(folder / "owner.json", dataclasses.asdict(owner))


@contextlib.contextmanager
def _beating(
    folder: Path,
    owner: Owner,
    place: tuple[int, int] | None,
    lost: Callable[[str], None],
    note: Callable[[str], None],
) -> Iterator[None]:
    """Touch `owner.json` again and again from a thread, and write it anew where it was lost."""

    def beat() -> bool:
        if _is_replaced(folder, owner):
            lost("another process has taken over the folder")
            return True
        if _place_of(folder) != place:
            lost("the results folder has been deleted or moved away")
            return True
        _beat_once(folder, owner)
        return False

    with repeating(beat, SECONDS_BETWEEN_BEATS, "the heartbeat", note):
        yield


def _is_replaced(folder: Path, owner: Owner) -> bool:
    """Tell whether another owner has come; without locks two may have the same number, and the last one stays."""
    known, named = current_attempt(folder), read_owner(folder)
    return known > owner.attempt or (named not in (owner, None) and known == owner.attempt)


def _place_of(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another one of the same name; None: it is not there.

    Raises:
        OSError: nobody knows, because its file server does not answer, say.
    """
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
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
