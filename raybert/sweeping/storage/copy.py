"""Copies of results folders in object stores, for who reads: what is needed, brought up to date at each use.

A copy that is *followed* is brought up to date as long as somebody looks: its `owner.json` changes with the heartbeat
of who works there, and a request (`control.json`) that is left in it goes there. So what reads a results folder on
this machine reads one in an object store, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from raybert.durable import claim
from raybert.errors import SweepError
from raybert.files import read_json, replace_json, write_json
from raybert.plain import show_as
from raybert.polling import repeating, wait_until
from raybert.storage import Found, Store, check_url, open_store
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.storage.fetch import get_all, wanted_by_readers
from raybert.sweeping.storage.lease import owner_of, read_claims
from raybert.sweeping.storage.parts import ATTEMPT, REQUEST, is_run, part_of
from raybert.sweeping.storage.publish import Publisher
from raybert.sweeping.storage.work import folder_of, home_of, work_at

_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_FOR_A_COPY = 300.0
"""How long another command of this machine may take to bring a copy up to date."""
_DEEPEST = 4
"""Folders from a results folder down to a model: trials/<id>/checkpoint/best."""


class Needs(IntEnum):
    """What of a results folder a command reads."""

    STATUS = 0
    RESULTS = 1
    SIGNALS = 2
    MODELS = 3


@dataclass
class Copy:
    """A copy of a results folder.

    Attributes:
        store: the folder in the object store.
        folder: of this machine.
        record: file that says which objects the copy has.
        needs: what it is to have.
        below: the part that matters; empty: all.
        known: name -> size and time of the object that was fetched.
    """

    store: Store
    folder: Path
    record: Path
    needs: Needs
    below: str = ""
    known: dict[str, tuple[int, float]] = field(default_factory=dict)
    _is_asked: bool = False
    _claims: object = None

    def update(self) -> None:
        """Fetch what has changed, and remove what is gone.

        Raises:
            StorageError: the store cannot be used.
        """
        found = self.store.list()
        if ATTEMPT not in found and self.below == "":
            raise SweepError(f"{self.store.url}: must be the results folder of a sweep, but holds none")
        wanted = [name for name in wanted_by_readers(found, self.needs) if self._matters(name)]
        for name in [name for name in self.known if name not in found]:
            (self.folder / name).unlink(missing_ok=True)
            del self.known[name]
        new = [name for name in wanted if self.known.get(name) != _sign(found[name])]
        for name in get_all(self.store, self.folder, new):
            self.known[name] = _sign(found[name])
        replace_json(self.record, self.known)

    def follow(self) -> bool:
        """Be told who works there, hand on a request, and see what has changed."""
        self.tell_owner()
        path = self.folder / REQUEST
        if path.exists() and not self._is_asked:
            self.store.put_file(REQUEST, path)
            self._is_asked = True
        elif self._is_asked and (not path.exists() or not self.store.has(REQUEST)):
            if not path.exists():  # taken back
                self.store.delete(REQUEST)
            path.unlink(missing_ok=True)
            self._is_asked = False
        self.update()
        return False

    def tell_owner(self) -> None:
        """Write `owner.json` as who works there would, where its heartbeat has changed."""
        claims = sorted(
            (claim for claim in read_claims(self.store).values() if claim.get("owns")),
            key=lambda claim: int(claim.get("attempt", 0)),
        )
        owner = owner_of(claims[-1]) if claims else None
        if owner is None:
            (self.folder / "owner.json").unlink(missing_ok=True)
        elif claims[-1] != self._claims:
            # Locks of this machine say nothing of who works with another cache: the heartbeat does, as of other hosts.
            host = f"{owner.host} (another cache)" if owner.is_here else owner.host
            write_json(self.folder / "owner.json", {**dataclasses.asdict(owner), "host": host})
        self._claims = claims[-1] if claims else None

    def publisher(self) -> Publisher:
        """Return what publishes the changes of a copy that are made from now on."""
        publisher = Publisher(self.folder, self.store, self.record.with_suffix(".given.json"))
        publisher.knows(self.known)
        return publisher

    def give_back(self, publisher: Publisher) -> None:
        """Publish what a command has written into the copy: tables, plots, reports, and the like.

        Args:
            publisher: made before.

        Raises:
            StorageError: it cannot be published.
        """
        parts = [entry.name for entry in os.scandir(self.folder) if entry.is_dir()]
        parts = [part for part in parts if part not in ("trials", "models", "signals")]
        publisher.publish(parts)
        if (self.folder / "report.html").exists():
            self.store.put_file("report.html", self.folder / "report.html")

    def _matters(self, name: str) -> bool:
        if not self.below:
            return True
        part = part_of(self.below) or self.below
        inside = f"{name}/".startswith(f"{self.below}/") or (is_run(part) and part_of(name) == part)
        return inside or "/" not in name


@contextlib.contextmanager
def copied(place: str | Path, needs: Needs, *, is_followed: bool = False, gives_back: bool = False) -> Iterator[Path]:
    """Yield a folder of this machine with what is needed of a place in an object store.

    Args:
        place: URL of a results folder, or of a folder in one.
        needs: what is read of it.
        is_followed: it is brought up to date as long as the `with` block lasts.
        gives_back: what is written there is published at the end of the block.

    Raises:
        ConfigError: the URL cannot be.
        SweepError: nothing is there.
        StorageError: the store cannot be used.
    """
    url, below = _results_folder_of(check_url(place, "folder"))
    show_as(str(Path(place)), check_url(place, "folder"))
    working = _at_work_here(url)
    if working is not None:
        show_as(str(working), url)
        yield working / below
        return
    home = home_of(url) / "copy"
    folder = home / folder_of(url).name
    show_as(str(folder), url)
    descriptor = _claimed(home, url)
    try:
        record = home / "copied.json"
        known = {name: (sign[0], sign[1]) for name, sign in (read_json(record) or {}).items()}
        copy = Copy(open_store(url), folder, record, needs, below, known)
        copy.update()
        if not folder.is_dir() or (below and not (folder / below).exists()):
            raise SweepError(f"{check_url(place, 'folder')}: must be a folder, but nothing is there")
        publisher = copy.publisher()
        if is_followed:
            copy.tell_owner()
            with repeating(copy.follow, _SECONDS_BETWEEN_LOOKS, "looking at the store", lambda _: None):
                yield folder / below
        else:
            (folder / "owner.json").unlink(missing_ok=True)
            yield folder / below
        if gives_back:
            copy.give_back(publisher)
    finally:
        os.close(descriptor)


def has_results(place: str | Path) -> bool:
    """Tell whether a results folder has been begun at a URL.

    Raises:
        StorageError: nobody knows.
    """
    return open_store(check_url(place)).has(ATTEMPT)


def results_folders(place: str | Path) -> list[str]:
    """Return the URLs of the results folders below one, or its own.

    Raises:
        StorageError: it cannot be listed.
    """
    url = check_url(place, "folder")
    head, question, query = url.partition("?")
    roots = [name.rpartition(ATTEMPT)[0].rstrip("/") for name in open_store(url).list() if _is_attempt(name)]
    outer = [root for root in roots if not any(root.startswith(f"{other}/") for other in roots if other != root)]
    return [f"{head}/{root}".rstrip("/") + question + query for root in sorted(outer)]


def _is_attempt(name: str) -> bool:
    return name == ATTEMPT or name.endswith(f"/{ATTEMPT}")


def _results_folder_of(url: str) -> tuple[str, str]:
    """Return the URL of the results folder that a place is in, and the way from there."""
    head, question, query = url.partition("?")
    parts = head.split("/")  # s3:, nothing, bucket, ...
    for depth in range(_DEEPEST + 1):
        outer = parts[: len(parts) - depth]
        if len(outer) < 4:
            break
        candidate = "/".join(outer) + question + query
        if open_store(candidate).has(ATTEMPT):
            return candidate, "/".join(parts[len(outer) :])
    return url, ""


def _at_work_here(url: str) -> Path | None:
    """Return the working folder of a URL, if a living process of this machine works in it."""
    folder = folder_of(url)
    if work_at(folder) is not None:
        return folder
    descriptor = claim(home_of(url))
    if descriptor is not None:
        os.close(descriptor)
        return None
    return folder if current_attempt(folder) and (folder / "lock").exists() else None


def _claimed(home: Path, url: str) -> int:
    """Return a descriptor by which this process alone brings a copy up to date.

    Raises:
        SweepError: another command of this machine does.
    """
    found: list[int] = []

    def take() -> bool:
        descriptor = claim(home)
        found.extend([] if descriptor is None else [descriptor])
        return bool(found)

    if not wait_until(take, 0.2, _SECONDS_FOR_A_COPY):
        raise SweepError(f"{url}: must be read by one command of this machine at a time; wait for the other one")
    return found[0]


def _sign(found: Found) -> tuple[int, float]:
    return found.size_bytes, found.written
