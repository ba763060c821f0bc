"""Files of the driver's machine, for nodes that do not see them: an actor beside the driver reads and writes."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert.durable import atomic_folder, atomic_path, make_folder
from raybert.errors import StorageAway
from raybert.storage import Found
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.storage.parts import TAR, local_files
from raybert.sweeping.storage.publish import unpack

_PIECE = 32 * 2**20
"""Bytes of a file that go at a time."""
_AT_ONCE = 8
"""Calls that the actor answers at a time."""
_CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Requests:
    """What the driver wants of a run elsewhere.

    Attributes:
        attempt: number of the owner of the results folder.
        stop: whether all runs are to save and stop.
        stop_run: whether this one is.
    """

    attempt: int
    stop: bool
    stop_run: bool


class FileServer:
    """Reads and writes a results folder, and reads other folders, such as encoders; an actor's class.

    A run has one writer at a time, the last that has begun: what a process sends that counts as dead is refused.

    Args:
        folder: of the results.
        readable: further folders, whose files may be read.
    """

    def __init__(self, folder: Path, readable: tuple[Path, ...]) -> None:
        self._folder, self._readable = folder, frozenset(readable)
        self._writers: dict[str, int] = {}
        self._tars: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, part: str) -> int:
        """Return the number of a new writer of a run."""
        with self._lock:
            self._writers[part] = self._writers.get(part, 0) + 1
            self._tars.pop(part, None)
            return self._writers[part]

    def requests(self, part: str) -> Requests:
        """Return what the driver wants of a run."""
        folder, run = SweepFolder(self._folder), self._folder / part
        return Requests(
            current_attempt(self._folder), folder.stop_request.exists(), (run / folder.stop_request.name).exists()
        )

    def sizes(self, part: str) -> dict[str, int]:
        """Return the sizes of the files of a part of the results, by name; an archive that was unpacked counts."""
        found = {name: stat.st_size for name, stat in local_files(self._folder, part).items()}
        return found | ({f"{part}/{TAR}": self._tars[part]} if part in self._tars else {})

    def sizes_of_readable(self, folder: Path) -> dict[str, int]:
        """Return the sizes of the files of another folder by name, links followed; folders inside are left out.

        Raises:
            PermissionError: it is none of those that may be read.
        """
        if folder not in self._readable:
            raise PermissionError(f"{folder}: is not served")
        return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}

    def read(self, folder: Path | None, name: str, start: int) -> bytes | None:
        """Return a piece of a file, from a byte on; None: there is no such file.

        Args:
            folder: that it is in; None: the results folder.
            name: in it.
            start: first byte.
        """
        if folder is not None and folder not in self._readable:
            raise PermissionError(f"{folder}: is not served")
        try:
            with (_inside(folder or self._folder, name)).open("rb") as file:
                file.seek(start)
                return file.read(_PIECE)
        except FileNotFoundError:
            return None

    def write(
        self, part: str, writer: int | None, name: str, pieces: Path | None, start: int, content: bytes, last: bool
    ) -> Path:
        """Take a piece of a file; with the last one it takes its name, or is unpacked, as the archive of a run.

        Args:
            part: of the results, that it is in.
            writer: its number; None: of what has no owner, because its name says what is in it.
            name: in the results folder.
            pieces: where earlier pieces are; None: this is the first one.
            start: first byte of this one.
            content: of the piece.
            last: whether there is no further one.

        Raises:
            Superseded: there is a later writer.
            PermissionError: the name, or the file of pieces, leads elsewhere.
        """
        self._check(part, writer)
        path, scratch = _inside(self._folder, name), self._folder.parent / "staged"
        if pieces is None:
            make_folder(scratch)
            number, given = tempfile.mkstemp(dir=scratch)
            os.close(number)
            pieces = Path(given)
        elif pieces.parent != scratch:
            raise PermissionError(f"{pieces}: is no file of pieces")
        with pieces.open("r+b") as file:
            file.seek(start)
            file.write(content)
        if last:
            self._take(part, name, path, pieces)
        return pieces

    def delete(self, part: str, writer: int | None, name: str) -> None:
        """Delete a file, or a folder; there or not.

        Raises:
            Superseded: there is a later writer.
        """
        self._check(part, writer)
        path = _inside(self._folder, name)
        if name == f"{part}/{TAR}":
            self._tars.pop(part, None)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, self._folder / part)

    def _check(self, part: str, writer: int | None) -> None:
        # An actor that was started anew knows of no writer: the first that comes is the one.
        if writer is not None and self._writers.setdefault(part, writer) != writer:
            raise Superseded(f"{part}: another process is at it")

    def _take(self, part: str, name: str, path: Path, pieces: Path) -> None:
        if name == f"{part}/{TAR}":
            self._tars[part] = pieces.stat().st_size
            unpack_run(pieces, self._folder / part)
            pieces.unlink()
            return
        with atomic_path(path) as temporary:
            pieces.replace(temporary)


def unpack_run(archive: Path, run: Path) -> None:
    """Put a run back as an archive of it says, its checkpoint last: at every moment a process may go on from it."""
    make_folder(run)
    with tempfile.TemporaryDirectory(dir=run, prefix=".train-") as scratch:
        if not unpack(archive, Path(scratch)):
            raise StorageAway(f"{run}: must have a whole archive, got another one; it is sent again")
        entries = [path for path in Path(scratch).iterdir() if path.name != _CHECKPOINT]
        entries += sorted(Path(scratch, _CHECKPOINT).glob("*"))  # best, then last
        for path in entries:
            target = run / path.relative_to(scratch)
            if path.is_dir():
                with atomic_folder(target) as fresh:
                    for inner in path.iterdir():
                        inner.rename(fresh / inner.name)
            else:
                make_folder(target.parent)
                path.replace(target)


def _inside(folder: Path, name: str) -> Path:
    """Return a path in a folder.

    Raises:
        PermissionError: the name would lead out of it.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise PermissionError(f"{name}: is no name in {folder}")
    return folder / name


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder that has lost its last file, and those around it, up to one that stays."""
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


@dataclass(frozen=True)
class DriverFiles:
    """The results folder on the driver's machine, as the store of objects that a publisher and a fetch want.

    Attributes:
        server: actor of a `FileServer`.
        part: that is written.
        writer: number of this process as its writer.
    """

    server: Any
    part: str = ""
    writer: int | None = None

    @property
    def url(self) -> str:
        """What messages call it."""
        return "the driver's machine"

    def begin(self, part: str) -> DriverFiles:
        """Return the same for a run that this process begins to write."""
        return DriverFiles(self.server, part, self._call("begin", part))

    def requests(self) -> Requests:
        """Return what the driver wants of the run."""
        found: Requests = self._call("requests", self.part)
        return found

    def put_file(self, name: str, path: Path) -> int:
        """Send a file, and return its size."""
        pieces: Path | None = None
        with path.open("rb") as file:
            start, content = 0, file.read(_PIECE)
            while True:
                further = file.read(_PIECE)
                pieces = self._call("write", self.part, self.writer, name, pieces, start, content, not further)
                start += len(content)
                if not further:
                    return start
                content = further

    def get_file(self, name: str, path: Path, folder: Path | None = None) -> bool:
        """Fetch a file, and return whether there is one.

        Args:
            name: in the folder.
            path: where it goes.
            folder: another one that is served; None: the results folder.
        """
        content = self._call("read", folder, name, 0)
        if content is None:
            return False
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            while content:
                file.write(content)
                content = self._call("read", folder, name, file.tell()) if len(content) == _PIECE else b""
        return True

    def list(self, prefix: str = "") -> dict[str, Found]:
        """Return the files of a part of the results."""
        return {name: Found(size, 0.0) for name, size in self._call("sizes", prefix).items()}

    def names_in(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the files of another folder that is served."""
        return tuple(self._call("sizes_of_readable", folder))

    def delete(self, name: str) -> None:
        """Delete a file, or a folder."""
        self._call("delete", self.part, self.writer, name)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the actor.

        Raises:
            Superseded: another process writes the run.
            OSError: of the driver's machine.
        """
        try:
            return ray.get(getattr(self.server, method).remote(*arguments))
        except RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, (Superseded, OSError, StorageAway)) else error) from None


def start_server(folder: Path, readable: Mapping[str, Path]) -> Any:
    """Start the actor beside this process, and return its handle; it ends with the handle, and with the driver.

    Args:
        folder: of the results.
        readable: further folders that nodes may read, by what messages call them.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    served = ray.remote(FileServer).options(
        num_cpus=0, max_restarts=-1, max_task_retries=3, max_concurrency=_AT_ONCE, scheduling_strategy=here
    )
    return served.remote(folder, tuple(readable.values()))
