"""What the driver of a sweep tells while it runs, and the counts behind every view of it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybert.config import sign_of
from raybert.sweeping.driver.time_left import Forecast, TimeLeft
from raybert.sweeping.folder.configurations import labels_of
from raybert.sweeping.folder.last_evaluation import LastEvaluation, last_evaluation
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import PRETRAIN


class Progress:
    """Hears what happens and shows none of it: a view overrides what it shows. Calls are many and must be quick.

    Notes may come from a thread; all else comes from the driver.
    """

    def follow(self, tally: Tally) -> None:
        """Learn where the driver counts, before all else; what is told below is counted there already."""

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        """Learn all trials and the status of those that are finished already."""

    def expect(self, forecast: Forecast) -> None:
        """It was estimated what is left to do will take."""

    def phase(self, text: str) -> None:
        """A phase begins."""

    def started(self, spec: PlannedRun) -> None:
        """A trial runs."""

    def stepped(self, spec: PlannedRun, step: int) -> None:
        """A step of T is done (of a run by passes: its share of T), in this process."""

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        """A trial reported an evaluation."""

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        """A trial is complete, failed or stopped."""

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Scoring advanced."""

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        """The search advanced; the message says how a suggestion ended, where one did."""

    def note(self, text: str) -> None:
        """Say something in one line."""

    def leave(self) -> None:
        """Give the terminal back as it was: this process ends at once, from a thread, and no `with` block does it."""


class NotedProgress(Progress):
    """Hands on what is said in lines, where no view is at work.

    Args:
        told: called with each.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def note(self, text: str) -> None:
        self._told(text)


@dataclass
class SearchCounts:
    """How far the search of an arm is. Failed suggestions that were queued again do not count.

    Attributes:
        total: suggestions that it gets.
        counts: status -> suggestions; `running` among them.
        best: value of the best complete suggestion; None: there is none.
        num_retries: failed suggestions that wait to be tried again.
        metric: of validation, that is searched by.
        last: the newest evaluation of one of its runs.
    """

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    best: float | None = None
    num_retries: int = 0
    metric: str = ""
    last: LastEvaluation | None = None

    @property
    def num_begun(self) -> int:
        """Suggestions made."""
        return self.counts.total() + self.num_retries

    @property
    def num_ended(self) -> int:
        """Suggestions with an outcome."""
        return self.counts.total() - self.counts["running"]

    @property
    def is_over(self) -> bool:
        """Whether all have one."""
        return self.num_pending == 0

    @property
    def num_pending(self) -> int:
        """Suggestions without one."""
        return max(0, self.total - self.num_ended)


@dataclass
class Tally:
    """Counts behind every view, and the time that is left: the driver keeps one, and all views show that one.

    Attributes:
        trials: id -> specification, of those that are run now.
        names: id -> what a line calls it: its strategy, and of the grid what varies.
        status: id -> pending, running, complete, failed or stopped.
        best: label -> best validation value of its trials.
        last: id -> the newest evaluation of a trial at work, as far as it is known.
        left: estimates the time that is left.
        began: when.
    """

    trials: dict[str, PlannedRun] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    last: dict[str, LastEvaluation] = field(default_factory=dict)
    left: TimeLeft = field(default_factory=TimeLeft)
    began: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Views draw, and heartbeats are read, in threads of their own."""
    _rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        """Count other trials from now on."""
        with self.lock:
            self.trials = {spec.trial_id: spec for spec in trials}
            self.names = labels_of(trials)
            self.status = {spec.trial_id: done.get(spec.trial_id, "pending") for spec in trials}
            self.best.clear()  # of the trials of an earlier phase
            self.last.clear()
            self._rows.clear()
            self.left.begin(trials, done)

    def expect(self, forecast: Forecast) -> None:
        """Learn what the sweep was expected to take."""
        with self.lock:
            self.left.expect(forecast)

    def goes_on_from(self, trial_id: str, step: int) -> None:
        """Learn where an earlier attempt left a trial."""
        with self.lock:
            self.left.goes_on_from(trial_id, step)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time pass that counts, for the length of a `with` block."""
        with self.lock:
            self.left.pause()
        try:
            yield
        finally:
            with self.lock:
                self.left.go_on()

    def started(self, spec: PlannedRun) -> None:
        """Count a trial as running."""
        with self.lock:
            self.status[spec.trial_id] = "running"
            self.left.started(spec.trial_id)

    def stepped(self, trial_id: str, step: int, total_steps: int = 0) -> None:
        """Learn how far a trial is, and its T where that was not known before."""
        with self.lock:
            self.left.stepped(trial_id, step, total_steps)

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        """Learn an evaluation of a trial."""
        self.stepped(spec.trial_id, spec.position_of(row))
        with self.lock:
            rows = [before for before in (self._rows.get(spec.trial_id),) if before is not None] + [row]
            self._rows[spec.trial_id] = row
            last = last_evaluation(rows, spec.best_metric)
            if last is not None:
                self.last[spec.trial_id] = last
        metric = self.best_metric
        if not metric:  # values of two metrics have no best
            return
        value, sign = float(row[f"validation_{metric}"]), sign_of(metric)
        known = self.best.get(spec.label, math.nan)
        if math.isnan(known) or sign * value > sign * known:
            self.best[spec.label] = value

    def ended(self, spec: PlannedRun, status: str) -> None:
        """Count a trial as what it has come to."""
        with self.lock:
            self.status[spec.trial_id] = status
            self.left.ended(spec.trial_id, status)
            self.last.pop(spec.trial_id, None)
            self._rows.pop(spec.trial_id, None)

    def scored(self, rows_done: int, rows_total: int) -> None:
        """Learn how far scoring is."""
        with self.lock:
            self.left.advanced("score", 1.0 - rows_done / max(1, rows_total))

    def searched(self, tallies: Mapping[str, SearchCounts]) -> None:
        """Learn how far the search is."""
        with self.lock:
            self.left.searched(sum(tally.num_pending for tally in tallies.values()))

    def name_of(self, spec: PlannedRun) -> str:
        """Return what a line calls a trial."""
        return self.names.get(spec.trial_id, spec.label)

    def run_in_words(self, spec: PlannedRun) -> str:
        """Return what a line calls a run of which there may be others like it; a model of a study has one name."""
        if is_model_of_study(spec):
            return spec.trial_id
        return " ".join(part for part in (self.name_of(spec), spec.size, spec.replicate, spec.trial_id) if part)

    @property
    def best_metric(self) -> str:
        """What `best` is of; empty where trials differ in it, or there are none."""
        metrics = {spec.best_metric for spec in self.trials.values()}
        return metrics.pop() if len(metrics) == 1 else ""

    @property
    def num_finished(self) -> int:
        """Trials with an outcome."""
        return sum(status in ("complete", "failed") for status in self.status.values())

    @property
    def running(self) -> list[str]:
        """Ids of the trials at work."""
        with self.lock:
            return [trial_id for trial_id, status in self.status.items() if status == "running"]

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.began

    def remaining_seconds(self) -> float | None:
        """Return the estimate of all that is left, pauses apart; None: nobody knows yet."""
        with self.lock:
            return self.left.seconds()

    def counts(self, label: str) -> Counter[str]:
        """Return the number of a strategy's trials by status."""
        return Counter(self.status[trial_id] for trial_id, spec in self.trials.items() if spec.label == label)


def is_model_of_study(spec: PlannedRun) -> bool:
    """Tell whether a run is a model of a pretraining file, whose id says corpus and seed."""
    return spec.role == PRETRAIN and spec.trial_id.startswith(f"{spec.label}-s")


def clock(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def left_words(tally: Tally) -> str:
    """Return what is left in words, to be put behind others; empty: nobody knows, or nothing is."""
    remaining = tally.remaining_seconds()
    return f", about {clock(remaining)} left" if remaining else ""
