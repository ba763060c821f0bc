"""What is finished stays finished: how every file and folder that lasts is written, also through a power cut.

What is written stands beside its place until it is whole and on disk, and only then takes its name. The order is always
the same: the files are synced, then their folder, then the mark that says that it is whole, then the folder in which it
has its name. A log is synced before the result that relies on it (`sync_tree`).

What a process that was killed has left half written (`.<name>.<8 digits>.tmp`) is told from what a living one is
writing by a lock, which the system takes back from the dead: `remove_leftovers` is safe at any time, from any process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Container, Iterator
from functools import cache
from pathlib import Path
from typing import Any

_LEFTOVER = re.compile(r"\..+\.([0-9a-f]{8}|[0-9]+)\.tmp|\.(watch|train)-.+")
"""Names of what is being written: by this module, by `replace_json` (with its process), and of scratch folders."""
_CANNOT_BE_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)
"""Of folders: some network file systems sync entries by themselves, and know no call for it."""
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)
_SECONDS_OF_DOUBT = 600.0
"""Where locks may not be seen from other hosts, something of theirs that is this old is not being written any more."""
_AT_WORKING_FOLDER, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; what is written there becomes `path` on leaving.

    Readers see the old file or the new one, never a part of it, even after a power cut. The folder is made
    if it does not exist; an exception inside the block leaves `path` as it was.
    """
    make_folder(path.parent)
    temporary, lock = _begin(path, _new_file)
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def atomic_folder(target: Path, *, mark: str | None = None, keeps_existing: bool = False) -> Iterator[Path]:
    """Yield a new temporary folder beside `target`; what is written there becomes `target` on leaving.

    Where the file system can, old and new folder change places in one step. Else a process that is killed between two
    renames leaves the old one at `previous_folder`, where `current_folder` finds it. An exception inside the block
    leaves `target` as it was.

    Args:
        target: a folder, there already or not.
        mark: name of an empty file that is written last and says that the folder is whole.
        keeps_existing: a whole folder that is there already (another process was faster) stays, in place of being
            replaced.
    """
    make_folder(target.parent)
    temporary, lock = _begin(target, _new_folder)
    try:
        yield temporary
        _complete(temporary, mark)
        if keeps_existing:
            _move_unless_there(temporary, target, mark)
        else:
            _swap(temporary, target)
        sync_folder(target.parent)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)  # after an exchange, what was there before


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder for the length of a `with` block; `remove_leftovers` knows one whose process was killed.

    Args:
        parent: where it is made.
        prefix: of its name, such as `.watch-`.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = hold(folder)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def previous_folder(target: Path) -> Path:
    """Return where `atomic_folder` puts what it is about to replace, where it needs two renames for it."""
    return target.with_name(f".{target.name}.previous")


def current_folder(target: Path) -> Path:
    """Return where the folder of a name is: there, or, after a kill between two renames, where it was put aside."""
    previous = previous_folder(target)
    return previous if not target.exists() and previous.is_dir() else target


def restore_folder(target: Path) -> None:
    """Give a folder its name back after a kill between two renames; what is left of an older one is removed."""
    previous = previous_folder(target)
    if not previous.is_dir():
        return
    if target.exists():
        remove_folder(previous)
    else:
        previous.rename(target)
        sync_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder, there or not; its name goes first, so that after a kill no reader takes the rest for the whole.

    What cannot be removed stays: under its name, or as what `remove_leftovers` removes. Of a link only the link goes.
    """
    gone = _temporary_name(folder)
    try:
        folder.rename(gone)
    except OSError:  # it is not there, or must not be changed
        return
    if gone.is_symlink():
        gone.unlink()
    else:
        shutil.rmtree(gone, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that a power cut does not take their names away; it may be there."""
    if folder.is_dir():
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def sync_tree(folder: Path, without: Container[str] = ()) -> None:
    """Wait until everything in a folder is on disk: files first, then the folders that they are in, then this one.

    Args:
        folder: what links in it lead to is left alone.
        without: names in the folder that are left out: what is on disk already, or may be lost.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in without:
                continue
            with contextlib.suppress(FileNotFoundError):  # a heartbeat, say, has been replaced meanwhile
                if entry.is_dir(follow_symlinks=False):
                    sync_tree(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    sync_file(Path(entry.path))
    sync_folder(folder)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where its file system has a call for that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _CANNOT_BE_SYNCED:  # one that may be written, but not read
            raise
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_BE_SYNCED:
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, *, is_shared: bool = False) -> None:
    """Remove what dead processes have left half written in a folder and those below; links are not followed.

    Args:
        folder: there or not.
        is_shared: other hosts may write in it, whose locks this one may not see.
    """
    now = _clock_of(folder) if is_shared else None
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if _LEFTOVER.fullmatch(name) and not (is_shared and _may_be_of_another_host(Path(place, name), now)):
                remove_unless_held(Path(place, name))
        previous = [name for name in folders if re.fullmatch(r"\..+\.previous", name)]
        for name in previous:
            with contextlib.suppress(OSError):
                restore_folder(Path(place, name.removeprefix(".").removesuffix(".previous")))
        folders[:] = [name for name in folders if not _LEFTOVER.fullmatch(name) and name not in previous]


def remove_unless_held(path: Path, mark: str | None = None) -> bool:
    """Remove a file or folder that no living process writes or holds by `hold`; return whether it is gone.

    Args:
        path: of it.
        mark: name of the file that says that a folder is whole, which goes first: no reader takes the rest for it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # a link, another user's, or gone meanwhile
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held; or the file system knows no locks, and nobody can tell
        return False
    else:
        with contextlib.suppress(OSError):
            if mark is not None:
                (path / mark).unlink(missing_ok=True)
                sync_folder(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return not path.exists()
    finally:
        os.close(descriptor)


def hold(path: Path) -> int:
    """Show, as long as this process lives or until the descriptor that is returned is closed, that it uses a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    _lock(descriptor)
    return descriptor


def claim(folder: Path) -> int | None:
    """Return a descriptor by which this process alone uses a folder, made if need be, until it is closed.

    None: another process uses it, or the file system knows no locks.
    """
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return descriptor
    except OSError:  # also: it has just been given another name, or removed
        pass
    os.close(descriptor)
    return None


def publish_folder(folder: Path, target: Path, mark: str) -> None:
    """Give a folder that is written the name that readers look for; a whole one that is there already stays.

    Args:
        folder: beside `target`.
        target: its name.
        mark: name of an empty file that is written last and says that the folder is whole.
    """
    _complete(folder, mark)
    _move_unless_there(folder, target, mark)
    sync_folder(target.parent)
    shutil.rmtree(folder, ignore_errors=True)  # where another process was faster


def is_leftover(name: str) -> bool:
    """Tell whether a name is one of what is being written, or was when its process was killed."""
    return _LEFTOVER.fullmatch(name) is not None or re.fullmatch(r"\..+\.previous", name) is not None


def _clock_of(folder: Path) -> float | None:
    """Return the time of the file system, whose clock dates what other hosts write; None: it cannot be asked."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return None


def _may_be_of_another_host(path: Path, now: float | None) -> bool:
    """Tell whether something is written on another host, as far as its name and its age say."""
    if f".{_of_this_host()}" in path.name:
        return False
    try:
        return now is None or now - path.stat(follow_symlinks=False).st_mtime < _SECONDS_OF_DOUBT
    except OSError:
        return True


def _begin(target: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make a temporary file or folder beside a target; return it with the descriptor that holds it."""
    while True:
        temporary = _temporary_name(target)
        try:
            descriptor = make(temporary)
        except FileExistsError:  # two numbers that are the same
            continue
        _lock(descriptor)
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)  # somebody has taken it for a leftover before it was locked


def _temporary_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{_of_this_host()}{uuid.uuid4().hex[:4]}.tmp")


@cache
def _of_this_host() -> str:
    """Return four hex digits that stand for this host in the names of what it is writing."""
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:4]


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def _lock(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: what is left there, stays
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def _complete(folder: Path, mark: str | None) -> None:
    """Wait until a folder is on disk, and then its mark."""
    sync_tree(folder)
    if mark is not None:
        (folder / mark).touch()
        sync_file(folder / mark)
        sync_folder(folder)


def _swap(fresh: Path, target: Path) -> None:
    """Put a folder into the place of another one, in one step where the file system can; of a link, of the link."""
    restore_folder(target)
    if target.is_symlink():
        target.unlink()
    if not target.exists():
        fresh.rename(target)
    elif not _exchange(fresh, target):
        previous = previous_folder(target)
        target.rename(previous)
        fresh.rename(target)
        sync_folder(target.parent)
        remove_folder(previous)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change their places in one step; return whether system and file system can do that.

    Raises:
        OSError: they can, but it failed.
    """
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_WORKING_FOLDER, os.fsencode(one), _AT_WORKING_FOLDER, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


@cache
def _renameat2() -> Any:
    """Return the call of the C library; None: there is none, as on systems other than Linux."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


def _move_unless_there(fresh: Path, target: Path, mark: str | None) -> None:
    def is_whole() -> bool:
        return target.is_dir() if mark is None else (target / mark).exists()

    if target.is_symlink():
        target.unlink()
    if target.exists() and not is_whole():
        shutil.rmtree(target)
    try:
        fresh.rename(target)
    except OSError:  # not empty: another process was faster
        if not is_whole():
            raise
