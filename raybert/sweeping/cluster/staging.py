"""Runs on nodes that do not see the driver's disk: what a run reads is brought there, what it leaves is sent back.

Such a node works in a folder of its own at the same path, so nothing that runs knows of it. What a run writes goes to
the driver every second, in the order in which an object store gets it: the driver's folder is what it would be if all
nodes saw it, a moment later. Nothing here needs credentials, or a disk that is shared.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.durable import atomic_folder, make_folder, remove_folder
from raybert.errors import ResourceError
from raybert.files import write_text
from raybert.locks import Lock, NoLocks
from raybert.polling import repeating, wait_until
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster.file_server import DriverFiles
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.storage.fetch import get_all
from raybert.sweeping.storage.parts import ATTEMPT, LIVE, TAR
from raybert.sweeping.storage.publish import Publisher, sign_of
from raybert.sweeping.storage.work import STAGED

_SECONDS_BETWEEN_PASSES = 1.0
"""As often as a run sends heartbeats."""
_SECONDS_OF_A_FILE_SERVER = 10.0
"""A network file system may show what another host has written some seconds late."""
_SECONDS_FOR_ANOTHER = 600.0
"""How long another process of the node may take to bring an encoder."""
_CHECKPOINT = "checkpoint/last/COMPLETE"
_log = logging.getLogger(__name__)
_away: dict[str, bool] = {}
"""Sign of a driver -> whether this process is on a node that does not see it."""


@dataclass(frozen=True)
class Staging:
    """What processes elsewhere need to reach the driver's files; goes to them.

    Attributes:
        server: actor of a `FileServer`.
        folder: of the results, on the driver's machine.
        attempt: of its owner.
        sign: name of a file there, by which a node knows that it sees it.
        readable: folders besides, encoders for example, by what messages call them.
    """

    server: Any
    folder: Path
    attempt: int
    sign: str
    readable: Mapping[str, Path]

    @property
    def is_away(self) -> bool:
        """Whether this process is on a node that does not see the results folder."""
        if self.sign not in _away:
            _away[self.sign] = not self._is_seen()
        return _away[self.sign]

    def _is_seen(self) -> bool:
        sign = self.folder / self.sign
        if sign.exists() or (not (self.folder / "lock").exists() and not self.folder.exists()):
            return sign.exists()
        if wait_until(sign.exists, 0.5, 0.0 if (self.folder / STAGED).exists() else _SECONDS_OF_A_FILE_SERVER):
            return True
        # An older folder of this machine has an earlier owner; the driver's own may show the sign later still.
        return not (self.folder / STAGED).exists() and current_attempt(self.folder) == self.attempt

    @contextlib.contextmanager
    def run(self, part: str, signals: Iterable[str] = (), encoders: Iterable[Path] = ()) -> Iterator[None]:
        """Let a run work on this node, for the length of a `with` block.

        Args:
            part: of the results: `trials/<id>` or `models/<id>`.
            signals: keys of those that it reads of the score store of the results.
            encoders: folders that it loads.

        Raises:
            Superseded: another process is at the run.
            ResourceError: this node cannot have an encoder.
        """
        self.begin()
        for encoder in encoders:
            self.bring_folder(encoder)
        if not self.is_away:
            yield
            return
        self.bring_signals(signals)
        files = DriverFiles(self.server).begin(part)
        remove_folder(self.folder / part)
        publisher = self._fetched(files, part)
        make_folder(self.folder / part)

        def pass_on() -> bool:
            self._take_requests(files, part)
            publisher.publish([part])
            return False

        try:
            self._take_requests(files, part)
            with repeating(pass_on, _SECONDS_BETWEEN_PASSES, "sending a run to the driver", _log.warning):
                yield
        finally:
            with contextlib.suppress(Superseded):
                publisher.may_have(files.list(part))
                publisher.settled.clear()
                publisher.publish([part])
            remove_folder(self.folder / part)
            publisher.record.unlink(missing_ok=True)

    def begin(self) -> None:
        """Have a folder on this node, where it does not see the driver's."""
        if self.is_away:
            self._settle()

    def bring_signals(self, keys: Iterable[str]) -> None:
        """Bring signals of the results, where this node does not have them."""
        if not self.is_away:
            return
        store, files = ScoreStore(self.folder / "signals"), DriverFiles(self.server)
        for key in keys:
            if store.completion(key) is None:
                get_all(files, self.folder, files.list(f"signals/{key}"))

    def bring_run(self, run: str) -> None:
        """Bring a run that has ended, with its models, where this node does not have it."""
        if self.is_away and not (self.folder / "trials" / run / "result.json").exists():
            files = DriverFiles(self.server)
            get_all(files, self.folder, files.list(f"trials/{run}"))

    def bring_folder(self, folder: Path) -> None:
        """Bring a folder that is read, of an encoder for example, to the same path here, where it is not there.

        Raises:
            ResourceError: it cannot be written here.
        """
        if folder.exists():
            return
        files = DriverFiles(self.server)
        if folder.is_relative_to(self.folder):
            get_all(files, self.folder, files.list(folder.relative_to(self.folder).as_posix()))
            return
        try:
            make_folder(folder.parent)
            with _alone(folder.with_name(f".{folder.name}.lock")):
                if not folder.exists():
                    with atomic_folder(folder) as fresh:
                        for name in files.names_in(folder):
                            files.get_file(name, fresh / name, folder)
        except PermissionError as error:
            raise ResourceError(
                f"{folder}: must be seen by all nodes, or be a folder that can be made on them, but "
                f"{os.uname().nodename} refuses ({error.strerror}); let RAYBERT_CACHE (and "
                "HF_HOME) name a folder that all nodes may write"
            ) from None

    def _settle(self) -> None:
        """Make the folder of this node that of today's driver; what an earlier one left unpublished here is kept."""
        make_folder(self.folder.parent)
        with _alone(self.folder.parent / ".staging.lock"):
            mark = self.folder / STAGED
            if mark.exists() and mark.read_text(encoding="utf-8") == self.sign:
                return
            if mark.exists():
                remove_folder(self.folder)
            elif self.folder.exists():  # of a time when this machine drove; its next driver looks at it
                self.folder.rename(self.folder.parent.parent / f"older-{uuid.uuid4().hex[:8]}")
            make_folder(self.folder)
            write_text(self.folder / ATTEMPT, str(self.attempt))
            (self.folder / "lock").touch()
            write_text(mark, self.sign)

    def _fetched(self, files: DriverFiles, part: str) -> Publisher:
        """Bring what the driver has of a run, and return what sends back what is new."""
        names = get_all(files, self.folder, files.list(part))
        record = self.folder.parent / "staged" / f"{part.replace('/', '-')}.json"
        make_folder(record.parent)
        publisher = Publisher(self.folder, files, record)
        publisher.knows(name for name in names if name.removeprefix(f"{part}/") in LIVE)
        with contextlib.suppress(FileNotFoundError):
            publisher.known[f"{part}/{TAR}"] = sign_of((self.folder / part / _CHECKPOINT).stat())
        return publisher

    def _take_requests(self, files: DriverFiles, part: str) -> None:
        """Let the run find here what the driver wants of it."""
        wanted = files.requests()
        name = SweepFolder(self.folder).stop_request.name
        for path, is_asked in (
            (self.folder / name, wanted.stop),
            (self.folder / part / name, wanted.stop_run),
        ):
            if is_asked:
                path.touch()
            else:
                path.unlink(missing_ok=True)
        if wanted.attempt > current_attempt(self.folder):
            write_text(self.folder / ATTEMPT, str(wanted.attempt))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only process of this node in a `with` block, for as long as another one may take."""
    lock = Lock(path)
    with contextlib.suppress(NoLocks):
        lock.take(_SECONDS_FOR_ANOTHER)
    try:
        yield
    finally:
        lock.release()


def clear_staged(folder: Path) -> None:
    """Remove what nodes have sent in pieces to a driver that was killed."""
    shutil.rmtree(folder.parent / "staged", ignore_errors=True)
