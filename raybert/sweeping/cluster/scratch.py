"""Where a Ray of a sweep's own keeps its files: a folder that goes with it, after a kill by the next sweep."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from raybert.errors import ResourceError
from raybert.private_folders import PREFIX, PrivateFolder, remove_dead

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
    remove_dead(short)
    folder = PrivateFolder.hold(_make(short, places))
    try:
        yield folder.path
    finally:
        folder.remove()


def _places() -> list[str]:
    return [*dict.fromkeys(map(os.path.abspath, ("/tmp", os.environ.get("TMPDIR") or "/tmp", "/var/tmp", "/dev/shm")))]


def _make(short: Iterable[str], places: Iterable[str]) -> Path:
    for place in short:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    raise ResourceError(
        f"TMPDIR: Ray needs a folder that can be written and whose path has at most {_ROOM} characters, for its "
        f"sockets, and none of {', '.join(places)} is one; set TMPDIR=/short/path"
    )
