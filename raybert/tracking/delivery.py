"""Sending to one tracker what is new in a results folder; every step of it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.roles import TRIAL
from raybert.tracking.book import Book, SentRun
from raybert.tracking.news import TRACKED_ROLES, best_trial, read_artifacts, read_news, read_sweep, read_trial
from raybert.tracking.tracker import TrackedTrial, Tracker

_ENDED = ("complete", "failed", "pruned")
STOPPED = "stopped"
"""How a run is said to have ended that the same command goes on with."""


@dataclass
class Delivery:
    """Sends what the book does not have yet.

    Attributes:
        name: of the tracker.
        place: where its runs are, without credentials: in another place they are begun anew.
        make: returns the tracker; its library is imported by the thread that sends.
        folder: of the results.
        wants_model: whether the best model is sent.
        book: what was sent.
    """

    name: str
    place: str
    make: Callable[[], Tracker]
    folder: SweepFolder
    wants_model: bool
    book: Book = field(init=False)
    _is_open: bool = False
    _begun: set[str] = field(default_factory=set)
    """Trials whose runs are open in this process."""

    def __post_init__(self) -> None:
        self.book = Book.read(self.folder.path, self.name, self.place)

    @cached_property
    def tracker(self) -> Tracker:
        """Where it goes."""
        return self.make()

    def send_trial(self, trial_id: str) -> None:
        """Send what is new of a trial: that it has begun, evaluations, how it ended."""
        trial = self._tracked(trial_id)
        if trial is None:
            return
        news = read_news(self.folder.trial(trial_id))
        has_ended = news.status in _ENDED
        sent = self.book.runs.get(trial_id)
        is_end = has_ended and (sent is None or sent.status != news.status)
        is_new = is_end or any(step > (sent.step if sent else -1) for step, _ in news.rows)
        if not is_new or not (has_ended or self.tracker.is_live):
            return
        sent = self._begin(trial)
        rows = [row for row in news.rows if row[0] > sent.step]
        if rows:
            self.tracker.log(sent.run, rows)
            sent.step = rows[-1][0]
            self.book.write()
        if has_ended:
            self._end(trial_id, sent, news.status)

    def stop_trials(self) -> None:
        """Say of the trials that are still open that they were stopped."""
        for trial_id in sorted(self._begun):
            self.send_trial(trial_id)
            if trial_id in self._begun:
                self._end(trial_id, self.book.runs[trial_id], STOPPED)

    def finish(self) -> None:
        """Send what the sweep leaves: tables, plots, the page, the best model if it is another one than before."""
        self._open()
        best = best_trial(self.folder.path)
        is_new = bool(best) and best != self.book.model
        self.book.sweep = self.tracker.finish(read_artifacts(self.folder.path, model=self.wants_model and is_new))
        if self.wants_model and is_new:
            self.book.model = best
        self.book.write()

    def pending(self, trial_ids: Iterable[str]) -> Iterator[str]:
        """Yield those of some trials of which not all was sent."""
        for trial_id in trial_ids:
            sent, status = self.book.runs.get(trial_id), self.folder.trial(trial_id).status()
            if status in _ENDED and (sent is None or sent.status != status):
                yield trial_id

    def close(self) -> None:
        """Let go of the tracker."""
        if "tracker" in vars(self):
            self.tracker.close()

    def begin_again(self) -> None:
        """Forget a tracker that is no more: another one goes on with the same runs."""
        vars(self).pop("tracker", None)
        self._is_open = False
        self._begun.clear()

    def abandon(self) -> None:
        """End a tracker that nobody waits for; called from another thread than all else."""
        kill = getattr(vars(self).get("tracker"), "kill", None)
        if kill is not None:
            kill()

    def _open(self) -> None:
        if not self._is_open:
            before = self.book.sweep
            self.book.sweep = self.tracker.open_sweep(read_sweep(self.folder.path, self.book.token), before or None)
            self._is_open = True
            if self.book.sweep != before:
                self.book.write()

    def _begin(self, trial: TrackedTrial) -> SentRun:
        self._open()
        sent = self.book.runs.get(trial.trial_id)
        if trial.trial_id not in self._begun:
            run = self.tracker.begin_trial(trial, None if sent is None else sent.run)
            self._begun.add(trial.trial_id)
            if sent is None or sent.run != run:  # its run was deleted there, say: all is sent again
                sent = self.book.runs[trial.trial_id] = SentRun(run)
            sent.status = ""
            self.book.write()
        return self.book.runs[trial.trial_id]

    def _end(self, trial_id: str, sent: SentRun, status: str) -> None:
        summary = read_news(self.folder.trial(trial_id)).summary
        self.tracker.end_trial(sent.run, status, summary)
        self._begun.discard(trial_id)
        sent.status = status
        self.book.write()
        if not self.tracker.is_live:  # a process has one run: the next one gets its own
            self.close()
            self.begin_again()

    def _tracked(self, trial_id: str) -> TrackedTrial | None:
        return read_trial(self.folder, trial_id, self.book.token)


def noun_of(folder: SweepFolder) -> str:
    """Return what a person calls a run of a results folder."""
    return "model" if folder.is_study else "trial"


def trial_ids(folder: Path) -> list[str]:
    """Return the trials that a results folder plans, its refit, and the models that it has pretrained."""
    results = SweepFolder(folder)
    lines = [line for line in (*results.planned(), *results.unplanned()) if line.get("role", TRIAL) in TRACKED_ROLES]
    return list(dict.fromkeys(str(line["trial_id"]) for line in lines))
