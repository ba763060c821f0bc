"""Looking again and again: from a thread, until something holds, or at most every so many seconds."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Found = TypeVar("Found")


@dataclass
class Guard:
    """Lets what looks again and again outlive its errors: each is noted once, and the next look is another try.

    A file server that is away for a moment gives ESTALE, EIO or ETIMEDOUT once; who watches must not end with that.

    Attributes:
        name: of what is done, for the note.
        note: told of every new error, in one line.
        outlives: kinds of errors; all others are raised.
        known: what has been noted.
    """

    name: str
    note: Callable[[str], None]
    outlives: type[Exception] = Exception
    known: set[str] = field(default_factory=set)

    def __call__(self, look: Callable[[], Found], otherwise: Found) -> Found:
        """Return what is found, or something else where looking fails."""
        try:
            return look()
        except self.outlives as error:
            self._say(error)
            return otherwise

    def _say(self, error: Exception) -> None:
        number = getattr(error, "errno", None)
        key = f"{type(error).__name__} {number if number is not None else error}"
        if key in self.known:
            return
        self.known.add(key)
        words = (str(error).splitlines() or [""])[0] or type(error).__name__
        with contextlib.suppress(Exception):  # who hears notes failed as well: there is nobody left to tell
            self.note(f"note: {self.name}: {words}; it is tried again")


@contextlib.contextmanager
def repeating(call: Callable[[], bool], seconds: float, name: str, note: Callable[[str], None]) -> Iterator[None]:
    """Call a function every so often from a thread of its own, for the length of a `with` block.

    Only the end of the block ends it, or the function itself: what it raises is noted once, and it goes on.

    Args:
        call: returns whether that was the last time.
        seconds: between two calls, and before the first.
        name: of the thread, which stacks and debuggers show, and of what is done, in notes.
        note: told of errors.
    """
    left, guard = threading.Event(), Guard(name, note)

    def repeat() -> None:
        while not left.wait(seconds) and not guard(call, otherwise=False):
            pass

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def wait_until(
    holds: Callable[[], bool],
    seconds: float,
    limit: float = math.inf,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Look until something holds, and return True; False: it did not within the limit.

    Sleeping takes no locks, so signal handlers may change what is looked at.

    Args:
        holds: told again and again; may raise to give up.
        seconds: between two looks.
        limit: seconds after which it is not waited for any more.
        now: the clock.
        sleep: waits so many seconds.
    """
    deadline = now() + limit
    while not holds():
        if now() > deadline:
            return False
        sleep(seconds)
    return True


@dataclass
class Throttle:
    """Says when something is due again: the first time at once, then at most every so many seconds.

    Attributes:
        seconds: between two times.
        now: the clock.
        last: when it was last due.
    """

    seconds: float
    now: Callable[[], float] = time.monotonic
    last: float = -math.inf

    def is_due(self, *, force: bool = False) -> bool:
        """Tell whether it is due, or wanted all the same; if so, the seconds count from now."""
        now = self.now()
        if not force and now - self.last < self.seconds:
            return False
        self.last = now
        return True

    def seconds_since(self) -> float:
        """Return how long ago it was last due."""
        return self.now() - self.last
