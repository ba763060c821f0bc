"""Where a Ray of a sweep's own keeps its files: a folder that goes with it, after a kill by the next sweep."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from raybert.durable import hold, remove_unless_held
from raybert.errors import ResourceError

_MARK = ".raybert-scratch"
"""Tells these folders from whatever else somebody has called so."""
_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path."""
_IN_SCRATCH = len("/raybert-12345678/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
_ROOM = _LONGEST_SOCKET - _IN_SCRATCH


@contextlib.contextmanager
def ray_scratch() -> Iterator[Path]:
    """Yield a new folder whose path is short enough for Ray's sockets, for the length of a `with` block.

    Those of processes that were killed, or of a machine that lost its power, are removed first.

    Raises:
        ResourceError: there is no such place that can be written.
    """
    places = _places()
    short = [place for place in places if len(os.fsencode(place)) <= _ROOM]
    _remove_dead(short)
    folder = _make(short, places)
    lock = hold(folder)
    try:
        (folder / _MARK).touch()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _places() -> list[str]:
    return [*dict.fromkeys(map(os.path.abspath, ("/tmp", os.environ.get("TMPDIR") or "/tmp", "/var/tmp", "/dev/shm")))]


def _make(short: Iterable[str], places: Iterable[str]) -> Path:
    for place in short:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="raybert-", dir=place))
    raise ResourceError(
        f"TMPDIR: Ray needs a folder that can be written and whose path has at most {_ROOM} characters, for its "
        f"sockets, and none of {', '.join(places)} is one; set TMPDIR=/short/path"
    )


def _remove_dead(places: Iterable[str]) -> None:
    for path in [path for place in places for path in Path(place).glob("raybert-????????")]:
        with contextlib.suppress(OSError):  # of another user
            is_ours = path.stat(follow_symlinks=False).st_uid == os.getuid()
            if is_ours and not path.is_symlink() and (path / _MARK).is_file():
                remove_unless_held(path)
