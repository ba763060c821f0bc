"""The working folder of a results folder in an object store: on this machine, with all that is not published yet.

Everything that runs works in a folder of this machine, as it does without an object store. What is finished there, and
the last checkpoint of what is not, is published every few seconds; the store is where a command goes on from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from raybert.durable import claim, make_folder
from raybert.errors import StorageAway, StorageError, SweepError
from raybert.files import writable_cache, write_text
from raybert.plain import show_as
from raybert.polling import repeating, wait_until
from raybert.storage import Store, check_url, open_store
from raybert.sweeping.folder.owner import current_attempt, read_owner
from raybert.sweeping.storage.fetch import check_names, fetch_to_go_on, merge_complete
from raybert.sweeping.storage.lease import Lease, LeaseLost, take
from raybert.sweeping.storage.parts import ATTEMPT, CLAIMS, REQUEST
from raybert.sweeping.storage.publish import Publisher

SECONDS_BETWEEN_PASSES = 5.0
"""What a machine that is lost takes with it of what is finished, at most, besides what is on its way."""
_SECONDS_BETWEEN_REQUESTS = 2.0
"""At `control.json` in the store: a person waits for the answer."""
_PATIENCE_SECONDS = 120.0
"""How long a command that has ended waits for a store that is away."""
_SECONDS_FOR_A_LOOK = 1.0
"""`raybert status` holds a working folder for a moment."""
STAGED = ".staged"
"""In a working folder that is none: of a node that works for a driver elsewhere (`cluster/staging`)."""
_at_work: dict[Path, Work] = {}
"""Working folders of this process."""


@dataclass
class Work:
    """A working folder that this process uses.

    Attributes:
        url: that it stands for.
        store: the folder there.
        folder: on this machine.
        lease: on the folder in the store.
        publisher: of the working folder.
        is_away: whether the store did not answer the last time.
    """

    url: str
    store: Store
    folder: Path
    lease: Lease
    publisher: Publisher
    is_away: bool = field(default=False)

    @contextlib.contextmanager
    def published(self, note: Callable[[str], None], lost: Callable[[str], None]) -> Iterator[None]:
        """Publish what is new again and again, and take requests, for the length of a `with` block.

        Args:
            note: told when the store is away, and when it is back.
            lost: told once why somebody else has the folder.
        """
        attempt = current_attempt(self.folder)
        if attempt > self.lease.owner.attempt:  # a command may own the folder several times
            self.lease.owner = replace(self.lease.owner, attempt=attempt)
            self.store.put_bytes(ATTEMPT, str(attempt).encode())

        def publish() -> bool:
            try:
                self.publisher.publish()
            except LeaseLost:
                return True  # `beating` says it
            except StorageAway as error:
                if not self.is_away:
                    note(f"note: {error}; what is finished is kept in {_of_this_machine(self.folder)} meanwhile")
                self.is_away = True
            else:
                if self.is_away:
                    note(f"note: {self.url} answers again; what was finished meanwhile is there")
                self.is_away = False
            return False

        with (
            repeating(publish, SECONDS_BETWEEN_PASSES, "publishing results", note),
            repeating(self._take_request, _SECONDS_BETWEEN_REQUESTS, "looking for requests", _quietly(note)),
            self.lease.beating(_quietly(note), lost),
        ):
            yield

    def _take_request(self) -> bool:
        """Hand a request of another machine on to who works here."""
        path = self.folder / REQUEST
        if path.exists():
            return False
        content = self.store.get_bytes(REQUEST)
        if content is not None:
            write_text(path, content.decode("utf-8", errors="replace"))
            self.store.delete(REQUEST)
        return False

    def publish_all(self, note: Callable[[str], None]) -> None:
        """Publish everything; a store that is away is waited for.

        Raises:
            StorageError: it refuses, or stays away; says where all of it is kept.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        has_said = False
        while True:
            try:
                self.publisher.publish(with_study=True)
                self.store.put_bytes(ATTEMPT, str(max(current_attempt(self.folder), self.lease.owner.attempt)).encode())
                return
            except LeaseLost:
                raise
            except StorageError as error:
                if not isinstance(error, StorageAway) or time.monotonic() > deadline:
                    raise type(error)(
                        f"{error} (not all of it is published; it is kept in {_of_this_machine(self.folder)}, and the "
                        "same command publishes it)"
                    ) from None
                if not has_said:
                    note(f"note: {error}; waiting for it")
                has_said = True
            time.sleep(1.0)


@contextlib.contextmanager
def working_folder(place: str | Path, note: Callable[[str], None]) -> Iterator[Path]:
    """Have a results folder in an object store on this machine, for the length of a `with` block, and publish it.

    Args:
        place: its URL.
        note: told what to know.

    Yields:
        The working folder.

    Raises:
        ConfigError: the URL cannot be.
        SweepError: another process uses it, or it holds other people's objects.
        StorageError: the store cannot be used.
    """
    url = check_url(place)
    home, folder = home_of(url), folder_of(url)
    taken: list[int] = []

    def is_taken() -> bool:
        descriptor = claim(home)
        taken.extend([] if descriptor is None else [descriptor])
        return bool(taken)

    if not wait_until(is_taken, 0.1, _SECONDS_FOR_A_LOOK):
        owner = read_owner(folder) or "of this machine"
        raise SweepError(
            f"{url}: in use by another raybert process ({owner}); wait for it, end it with `raybert stop {url}`, or "
            "give `output` another folder"
        )
    try:
        show_as(str(folder), url)
        with _working(url, open_store(url), home, folder, note) as work:
            yield work.folder
    finally:
        os.close(taken[0])


@contextlib.contextmanager
def _working(url: str, store: Store, home: Path, folder: Path, note: Callable[[str], None]) -> Iterator[Work]:
    check_names(store, store.list())  # and that it can be used at all
    known = 0 if (folder / STAGED).exists() else current_attempt(folder)
    lease = take(store, note, known)
    publisher = Publisher.going_on(folder, store, home / "published.json", lease.check)
    work = Work(url, store, folder, lease, publisher)
    try:
        with lease.beating(_quietly(note), lambda _: None):
            _bring(work, home, is_newest=0 < known == lease.previous)
        _at_work[folder.resolve()] = work
        try:
            yield work
        except BaseException:
            with contextlib.suppress(StorageError):  # what ended the command is to be told, not this
                publisher.publish(with_study=True)
            raise
        with lease.beating(_quietly(note), lambda _: None):
            work.publish_all(note)
    finally:
        _at_work.pop(folder.resolve(), None)
        with contextlib.suppress(StorageError):
            lease.leave()


def work_at(folder: Path) -> Work | None:
    """Return the work of this process in a folder that stands for one in an object store."""
    return _at_work.get(folder.resolve())


def home_of(url: str) -> Path:
    """Return where this machine keeps what belongs to a URL."""
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return writable_cache() / "remote" / key


def folder_of(url: str) -> Path:
    """Return the working folder of a URL."""
    name = url.partition("?")[0].rpartition("/")[2]
    return home_of(url) / "work" / name


def _bring(work: Work, home: Path, *, is_newest: bool) -> None:
    """Make the working folder what the store says, where somebody else has worked there since."""
    names = work.store.list()
    if not is_newest:
        if work.folder.exists():
            older = home / f"older-{uuid.uuid4().hex[:8]}"
            work.folder.rename(older)
        work.publisher.known.clear()
        work.publisher.knows(fetch_to_go_on(work.store, work.folder, names))
        for older in home.glob("older-*"):
            if work.lease.previous:  # else somebody has deleted the results, and wants none
                merge_complete(older, work.folder)
            shutil.rmtree(older, ignore_errors=True)
    work.publisher.may_have(name for name in names if not (name.startswith(CLAIMS) or name in (ATTEMPT, REQUEST)))
    make_folder(work.folder)
    if work.lease.owner.attempt > 1:
        write_text(work.folder / ATTEMPT, str(work.lease.owner.attempt - 1))


def _quietly(note: Callable[[str], None]) -> Callable[[str], None]:
    """Return who hears what goes wrong besides publishing: that the store is away is said once, there."""

    def told(words: str) -> None:
        if "must answer, but does not" not in words:
            note(words)

    return told


def _of_this_machine(folder: Path) -> Path:
    """Return a path that is shown as it is: the folder above the one that is called by its URL."""
    return folder.parent
