"""A thread of the driver for each tracker: what is slow, or fails, there never holds up a trial."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from raybert.errors import RaybertError
from raybert.plain import cut_lines, hide, printable
from raybert.sweeping.folder.fence import Superseded
from raybert.tracking.delivery import Delivery
from raybert.tracking.remote import RemoteEnd, RemoteError

Task = Callable[[], None]
_SECONDS_BETWEEN_ATTEMPTS = (2.0, 10.0, 30.0)
"""A server that restarts is back within a minute; one that stays away longer has lost the command, not the results."""
_LONGEST_ERROR = 300
"""Letters of what a library says: whole pages of a proxy are among it."""


@dataclass
class Courier:
    """Hands what happens to one tracker, one thing after the other.

    What waits is a set of trials, each at most once: what of them is new is read when it is their turn.

    Attributes:
        delivery: sends it.
        note: told in one line what goes wrong.
        waits: seconds between attempts; after the last attempt nothing more is sent by this command.
    """

    delivery: Delivery
    note: Callable[[str], None]
    waits: Sequence[float] = _SECONDS_BETWEEN_ATTEMPTS
    is_dropped: bool = False
    _news: dict[str, None] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closing: threading.Event = field(default_factory=threading.Event)
    _abandoned: threading.Event = field(default_factory=threading.Event)
    _last: list[Task] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)
    _thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What it is called in lines for people."""
        return f"track.{self.delivery.name}"

    def start(self) -> None:
        """Begin to send, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
            self._thread.start()

    def hear(self, trial_id: str) -> None:
        """Learn that there is something new of a trial; never waits."""
        if not self.is_dropped:
            with self._changed:
                self._news[trial_id] = None
                self._changed.notify()

    def finish(self, *, has_results: bool) -> None:
        """Let the thread end once all is sent.

        Args:
            has_results: whether tables and plots are there to be sent, too.
        """
        with self._changed:
            self._last = [self.delivery.stop_trials, *([self.delivery.finish] if has_results else [])]
            self._closing.set()
            self._changed.notify()

    def is_at_work(self, seconds: float) -> bool:
        """Wait so long for all to be sent, and tell whether there is more."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is not None and self._thread.is_alive()

    def is_done(self, seconds: float | None) -> bool:
        """Wait so long (None: until the end) for all to be sent, and tell whether it was; else it is given up."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._abandoned.set()
                self.delivery.abandon()
        return not (self.is_dropped or self._abandoned.is_set())

    def _work(self) -> None:
        while (task := self._next()) is not None:
            if not self._try(task):
                return
        self._try(self.delivery.close)

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._news or self._closing.is_set())
            if self._abandoned.is_set():
                return None
            if self._news:
                trial_id = next(iter(self._news))
                del self._news[trial_id]
                return partial(self.delivery.send_trial, trial_id)
            return self._last.pop(0) if self._last else None

    def _try(self, task: Task) -> bool:
        """Do something, again if it fails, and tell whether it was done; if not, nothing is sent any more."""
        for wait in (*self.waits, None):
            try:
                self.delivery.folder.fence.check()
                task()
                return True
            except Superseded:  # the folder is another owner's now, who sends the rest
                break
            except RemoteEnd as error:
                self.delivery.begin_again()
                self._say(error, is_last=wait is None)
            except Exception as error:  # libraries, and servers behind them, raise whatever they like
                self._say(error, is_last=wait is None)
            if wait is None or self._abandoned.is_set():
                break
            self._closing.wait(wait)
        self.is_dropped = True
        return False

    def _say(self, error: Exception, *, is_last: bool) -> None:
        words = " ".join(str(error).split()) or type(error).__name__
        kind = "" if isinstance(error, (RaybertError, RemoteError)) else f"{type(error).__name__}: "
        words = printable(cut_lines(hide(words), _LONGEST_ERROR)).removeprefix(f"{self.name}: ")
        words = f"{self.name}: {kind}{words}"
        if self._abandoned.is_set() or (words in self._said and not is_last):
            return
        self._said.add(words)
        self.note(f"note: {words}; {'given up, the runs go on without' if is_last else 'tried again'}")
