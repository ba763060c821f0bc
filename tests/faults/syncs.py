"""Which files and names are on disk for certain, and what a power cut may make of the rest; without a device.

Every process of a sweep that loads the strategy `Recorded` writes down what it syncs: of a file its inode, size and time
of change, of a folder the names in it. Whatever was written or named after that may be gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from raybert.selection.strategies.baselines import Random

_fsync = os.fsync


class Recorded(Random):
    """Chooses like `random`; a process that unpickles it records from then on what it syncs.

    Attributes:
        log: file of the records.
    """

    name: ClassVar[str] = "recorded"

    log: str

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        os.fsync = _recording(Path(self.log))


@contextlib.contextmanager
def recorded(log: Path) -> Iterator[None]:
    """Record what this process syncs, for the length of a `with` block."""
    os.fsync = _recording(log)
    try:
        yield
    finally:
        os.fsync = _fsync


def _recording(log: Path) -> Any:
    def fsync(descriptor: int) -> None:
        _fsync(descriptor)
        found = os.fstat(descriptor)
        line: dict[str, Any] = {"inode": found.st_ino, "changed": found.st_mtime_ns, "size": found.st_size}
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(descriptor) as entries:
                line["names"] = {entry.name: entry.inode() for entry in entries}
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:  # the test may be over
            file.write(json.dumps(line) + "\n")

    return fsync


@dataclass
class Synced:
    """What was synced in the end, by the records of all processes."""

    files: set[tuple[int, int, int]] = field(default_factory=set)
    folders: dict[int, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, log: Path) -> Synced:
        found = cls()
        for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
            found.files.add((line["inode"], line["changed"], line["size"]))
            if "names" in line:
                found.folders[line["inode"]] = line["names"]
        return found

    def has(self, path: Path) -> bool:
        """Tell whether the content of a file is on disk."""
        found = path.stat()
        return (found.st_ino, found.st_mtime_ns, found.st_size) in self.files

    def cut_power(self, folder: Path) -> list[Path]:
        """Empty every file of a folder whose content is not on disk, remove what has no name there; return both."""
        lost = []
        known = self.folders.get(folder.stat().st_ino, {})
        for path in sorted(folder.iterdir()):
            if known.get(path.name) != path.stat(follow_symlinks=False).st_ino:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                lost.append(path)
            elif path.is_dir():
                lost += self.cut_power(path)
            elif path.stat().st_size and not self.has(path):
                path.write_bytes(b"")
                lost.append(path)
        return lost
