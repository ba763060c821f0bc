"""Results written anew while another process runs the sweep."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from raybert.analysis.publish import publish_results
from raybert.analysis.results.load import load_sweep
from raybert.analysis.results.sweep import Sweep
from raybert.polling import Guard
from raybert.sweeping.driver.follow_logs import OwnerEnd
from raybert.sweeping.driver.status import check_holds_sweep
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import is_alive, read_owner

_MARKS = ("result.json", "failure.json", "pruned.json")
"""Files of a run that has ended."""
_REST = 3
"""How many times as long as writing took nothing is written."""


@dataclass
class ReportWatch:
    """Publishes the results of a sweep whenever some of its runs have ended, until nobody runs it.

    Attributes:
        path: of the results folder.
        has_ended: whether nobody owns it any more.
        note: told of errors that are outlived.
        seconds: between two looks.
        publish: writes the results.
        sleep: waits so many seconds.
        now: a clock, in seconds; writing takes at most a quarter of the time, since the sweep has the same machine.
    """

    path: Path
    has_ended: Callable[[], bool]
    note: Callable[[str], None]
    seconds: float
    publish: Callable[[Path], Sweep] = publish_results
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    def results(self) -> Iterator[Sweep]:
        """Yield the results each time that they are written; last of all as they are in the end.

        Who ran the sweep writes them when it ends; only what a process has left that was killed is written here.
        """
        guard, seen = Guard("watching", self.note, OSError), frozenset[str]({"nothing was looked at"})
        nothing: Sweep | None = None
        rested = -math.inf
        while True:
            is_end = guard(self.has_ended, otherwise=False)
            ended = guard(self._ended, otherwise=seen)
            if is_end:
                is_published = read_owner(self.path) is None
                yield load_sweep(self.path) if is_published else self.publish(self.path)
                return
            if ended != seen and self.now() >= rested and SweepFolder(self.path).plan() is not None:
                begun = self.now()
                found = guard(partial(self.publish, self.path), nothing)
                rested = self.now() + _REST * (self.now() - begun)
                if found is not None:
                    seen = ended
                    yield found
            self.sleep(self.seconds)

    def _ended(self) -> frozenset[str]:
        """Return the marks of the runs that have ended."""
        return frozenset(str(path) for mark in _MARKS for path in (self.path / "trials").glob(f"*/{mark}"))


def watch_results(path: Path, seconds: float, note: Callable[[str], None]) -> Iterator[Sweep]:
    """Return the results of a sweep each time that they are written; where nobody runs it, once.

    Args:
        path: of the results folder.
        seconds: between two looks at what has ended.
        note: told of errors that are outlived.

    Raises:
        SweepError: it is no results folder.
    """
    check_holds_sweep(path)
    if is_alive(path):
        return ReportWatch(path, OwnerEnd(path), note, seconds).results()
    return iter((publish_results(path),))
