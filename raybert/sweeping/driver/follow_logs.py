"""Logs as they grow, while another process (or host) runs the sweep: what starts next is followed too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from raybert.polling import Guard
from raybert.sweeping.driver.status import check_holds_sweep
from raybert.sweeping.driver.trial_logs import (
    LINES_OF_SEVERAL,
    PENDING,
    RUNNING,
    RunsInFolder,
    TrialLog,
    matching,
    read_logs,
)
from raybert.sweeping.folder.owner import OwnerWatch, is_alive
from raybert.sweeping.plan.roles import TUNE

_SECONDS_BETWEEN_LOOKS = 0.5
"""At files that may lie on a shared disk; people read no faster."""

_NEWLINE = ord("\n")


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        trial: whose.
        text: without its end.
    """

    trial: TrialLog
    text: str


def follow_logs(path: Path, trial: str | None, last: int | None, note: Callable[[str], None]) -> Iterator[LogLine]:
    """Return the lines of logs as they are written; those that are there, where no process owns the folder.

    Args:
        path: of the results folder.
        trial: which runs, as for `matching`; None: all.
        last: lines of each log to begin with; None: all of one, the last ten of several.
        note: told of errors that are outlived.

    Raises:
        SweepError: it is no results folder, or has no such run.
    """
    check_holds_sweep(path)
    if is_alive(path):
        return LogFollower(path, trial, last, OwnerEnd(path), note).lines()
    shown = read_logs(path, trial, last)
    return (LogLine(run, text) for run in shown.trials for text in run.lines(shown.last))


@dataclass
class Tail:
    """What a log has grown by.

    Attributes:
        path: of the log.
        offset: bytes that were read.
    """

    path: Path
    offset: int = 0

    def read(self) -> list[str]:
        """Return the whole lines since the last look; the file is opened, so that a file server is asked."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self.offset:  # another file of this name
                    self.offset = 0
                file.seek(self.offset)
                grown = file.read(size - self.offset)
        except FileNotFoundError:
            return []
        whole = grown[: grown.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole.decode("utf-8", "replace").splitlines()

    def ends_of_lines(self) -> list[int]:
        """Return where each whole line ends."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return [place + 1 for place, letter in enumerate(content) if letter == _NEWLINE]


class OwnerEnd:
    """Tells whether the process that owns a results folder has ended; asked again and again, it never waits.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._watch = path, OwnerWatch(path)

    def __call__(self) -> bool:
        alive = self._watch.is_alive()
        if alive:
            self._watch = OwnerWatch(self._path)  # one that has seen a heartbeat would say so for ever
        return alive is False


@dataclass
class LogFollower:
    """Follows the logs of a sweep at work until it ends, or of one run until that one ends.

    Attributes:
        path: of the results folder.
        trial: which runs, as for `matching`; None: all.
        last: lines of each log to begin with.
        has_ended: whether nobody owns the folder any more.
        note: told of errors that are outlived.
        sleep: waits so many seconds between two looks.
    """

    path: Path
    trial: str | None
    last: int | None
    has_ended: Callable[[], bool]
    note: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    tails: dict[str, Tail] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[LogLine]:
        """Yield lines as they are written."""
        runs, guard = RunsInFolder(self.path), Guard("following logs", self.note, OSError)
        nothing: list[TrialLog] = []
        no_lines: list[LogLine] = []
        self._begin(self._wanted(runs))
        while True:
            is_end = guard(self.has_ended, otherwise=False)  # first: what was written before the end is read below
            found = guard(partial(self._wanted, runs), nothing)
            for run in found:
                yield from guard(partial(self._news, run), no_lines)
            is_one = self.trial is not None and len(found) == 1 and found[0].role != TUNE  # of which others may come
            if is_end or (is_one and found[0].status not in (PENDING, RUNNING)):
                return
            self.sleep(_SECONDS_BETWEEN_LOOKS)

    def _wanted(self, runs: RunsInFolder) -> list[TrialLog]:
        found = runs.look(alive=True)
        return found if self.trial is None else matching(found, self.trial, self.path)

    def _begin(self, runs: Sequence[TrialLog]) -> None:
        """Stand at the last lines of what is at work, and at the end of all other logs."""
        at_work = [run for run in runs if run.status == RUNNING]
        last = LINES_OF_SEVERAL if self.last is None and len(at_work) > 1 else self.last
        for run in runs:
            tail = self.tails[run.trial_id] = Tail(run.path)
            ends = [0, *tail.ends_of_lines()]
            tail.offset = ends[-1]
            if run.status == RUNNING:
                tail.offset = ends[0 if last is None else max(0, len(ends) - 1 - last)]
            elif run.status != PENDING:
                self.over.add(run.trial_id)

    def _news(self, run: TrialLog) -> list[LogLine]:
        """Return what a run's log has grown by; that of a run that has ended is read once more, and then no more."""
        if run.trial_id in self.over:
            return []
        if run.status not in (PENDING, RUNNING):
            self.over.add(run.trial_id)
        tail = self.tails.setdefault(run.trial_id, Tail(run.path))
        return [LogLine(run, text) for text in tail.read()]
