"""The process that runs a sweep, and whether it lives: by its lock, or else by a heartbeat that changes."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raybert.files import read_json
from raybert.locks import is_held
from raybert.sweeping.folder.signs import Watch, identity_of

SHORT_LOOK_SECONDS = 12.0
"""Without a change, after which an owner that no lock tells of is taken for dead by who only asks: two beats, and
something for the file system."""
_SECONDS_BETWEEN_LOOKS = 0.2
"""At a heartbeat of another process."""


@dataclass(frozen=True)
class Owner:
    """The process that runs a sweep (`owner.json`, which it touches again and again: its heartbeat).

    Attributes:
        pid: its process.
        host: where that is.
        since: when it began, for people.
        attempt: counts the owners of the folder; what an earlier one started must not write any more.
        process: tells it from a later process with the same number; None: unknown.
    """

    pid: int
    host: str
    since: str
    attempt: int
    process: str | None = None

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"

    @classmethod
    def of_this_process(cls, attempt: int) -> Owner:
        """Describe this process."""
        return cls(os.getpid(), os.uname().nodename, time.strftime("%F %T"), attempt, identity_of(os.getpid()))

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, on this host."""
        return self.host == os.uname().nodename

    @property
    def is_seen(self) -> bool:
        """Whether it lives on this host; one in another container may not be seen."""
        return self.is_here and self.process is not None and identity_of(self.pid) == self.process


def read_owner(folder: Path) -> Owner | None:
    """Return who owns a results folder, or ended without leaving it; None: nobody, or the file is damaged."""
    found = read_json(folder / "owner.json") or {}
    known = {field.name for field in dataclasses.fields(Owner)}
    try:
        return Owner(**{name: value for name, value in found.items() if name in known})
    except TypeError:
        return None


def current_attempt(folder: Path) -> int:
    """Return the number of the newest owner of a results folder; 0: unknown."""
    try:
        return int((folder / "attempt").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


class OwnerWatch:
    """Whether a living process owns a results folder: by its lock, or else by its heartbeat, while one looks.

    Args:
        folder: of the results.
        seconds: without a change, after which an owner that no lock tells of is taken for dead.
        now: the clock.
    """

    def __init__(
        self, folder: Path, seconds: float = SHORT_LOOK_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._seconds, self._now = folder, seconds, now
        self._beat: Watch | None = None

    def is_alive(self) -> bool | None:
        """Look; None: it is not known yet."""
        held, owner = is_held(self._folder / "lock"), read_owner(self._folder)
        if owner is None:
            return held is True
        if owner.is_here and held is not None:
            return held
        if owner.is_seen:
            return True
        return self.has_beaten()

    def has_beaten(self) -> bool | None:
        """Tell whether the heartbeat has changed while this looks; None: it is not known yet."""
        if self._beat is None:
            self._beat = Watch(self._folder / "owner.json", self._now)
        silent_seconds = self._beat.look()
        if self._beat.has_changed:
            return True
        return False if silent_seconds >= self._seconds else None


def is_alive(folder: Path) -> bool:
    """Tell whether a living process owns a results folder; takes seconds where its owner is on another host."""
    return as_soon_as_known(OwnerWatch(folder, SHORT_LOOK_SECONDS).is_alive)


def as_soon_as_known(look: Callable[[], bool | None]) -> bool:
    """Look until there is an answer, and return it."""
    while (answer := look()) is None:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return answer
