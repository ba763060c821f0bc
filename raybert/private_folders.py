"""Temporary folders that only this user may enter, and that are gone after a kill by the next start."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raybert.durable import hold, remove_unless_held

MARK = ".raybert-scratch"
"""Tells these folders from whatever else somebody has called so."""
PREFIX = "raybert-"


@dataclass
class PrivateFolder:
    """A folder of mode 0700, held by this process until it is removed.

    Attributes:
        path: of the folder, in the temporary folder of the system.
    """

    path: Path
    _held: int | None = None

    @classmethod
    def make(cls) -> PrivateFolder:
        """Return a new one; those of processes that were killed are removed first."""
        place = tempfile.gettempdir()
        remove_dead([place])
        return cls.hold(Path(tempfile.mkdtemp(prefix=PREFIX, dir=place)))

    @classmethod
    def hold(cls, path: Path) -> PrivateFolder:
        """Return a folder that was made just now, held: no other process removes it."""
        held = hold(path)
        (path / MARK).touch()  # last: without it nobody takes the folder for a dead one
        return cls(path, held)

    def remove(self) -> None:
        """Remove the folder; again: nothing."""
        if self._held is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._held)
            self._held = None


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder for the length of a `with` block."""
    folder = PrivateFolder.make()
    try:
        yield folder.path
    finally:
        folder.remove()


def remove_dead(places: Iterable[str]) -> None:
    """Remove what killed processes of this user have left in some places."""
    for path in [path for place in places for path in Path(place).glob(f"{PREFIX}????????")]:
        with contextlib.suppress(OSError):  # of another user
            is_ours = path.stat(follow_symlinks=False).st_uid == os.getuid()
            if is_ours and not path.is_symlink() and (path / MARK).is_file():
                remove_unless_held(path)
