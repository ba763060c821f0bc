"""What the driver of a sweep tells while it runs, and the counts behind every view of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybert.config import sign_of
from raybert.sweeping.plan.specs import RunSpec


class Progress:
    """Hears what happens and shows none of it: a view overrides what it shows. Calls are many and must be quick.

    Notes may come from a thread; all else comes from the driver.
    """

    def begin(self, trials: Sequence[RunSpec], done: Mapping[str, str]) -> None:
        """Learn all trials and the status of those that are finished already."""

    def phase(self, text: str) -> None:
        """A phase begins."""

    def started(self, spec: RunSpec) -> None:
        """A trial runs."""

    def stepped(self, spec: RunSpec, step: int) -> None:
        """An optimizer step is done, of a run in this process."""

    def evaluated(self, spec: RunSpec, row: Mapping[str, Any]) -> None:
        """A trial reported an evaluation."""

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
        """A trial is complete, failed or stopped."""

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Scoring advanced."""

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        """The search advanced; the message says how a suggestion ended, where one did."""

    def note(self, text: str) -> None:
        """Say something in one line."""


@dataclass
class SearchCounts:
    """How far the search of an arm is. Failed suggestions that were queued again do not count.

    Attributes:
        total: suggestions that it gets.
        counts: status -> suggestions; `running` among them.
        best: value of the best complete suggestion; None: there is none.
        num_retries: failed suggestions that wait to be tried again.
    """

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    best: float | None = None
    num_retries: int = 0

    @property
    def num_begun(self) -> int:
        """Suggestions made."""
        return self.counts.total() + self.num_retries

    @property
    def num_ended(self) -> int:
        """Suggestions with an outcome."""
        return self.counts.total() - self.counts["running"]

    @property
    def num_pending(self) -> int:
        """Suggestions without one."""
        return max(0, self.total - self.num_ended)


@dataclass
class Tally:
    """Counts behind both views.

    Remaining time is estimated from optimizer steps: trials of different budgets differ in length.
    """

    trials: dict[str, RunSpec] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    counted_from: float = field(default_factory=time.monotonic)
    resumed_steps: int = 0

    def begin(self, trials: Sequence[RunSpec], done: Mapping[str, str]) -> None:
        self.trials = {spec.trial_id: spec for spec in trials}
        self.status = {spec.trial_id: done.get(spec.trial_id, "pending") for spec in trials}
        self.steps.clear()  # of the trials of an earlier phase
        self.best.clear()
        self.counted_from = time.monotonic()
        self.resumed_steps = sum(spec.total_steps for spec in trials if self.status[spec.trial_id] != "pending")

    def evaluated(self, spec: RunSpec, row: Mapping[str, Any]) -> None:
        self.steps[spec.trial_id] = int(row["step"])
        metric = spec.config.train.best_metric
        value, sign = float(row[f"validation_{metric}"]), sign_of(metric)
        known = self.best.get(spec.label, math.nan)
        if math.isnan(known) or sign * value > sign * known:
            self.best[spec.label] = value

    @property
    def best_metric(self) -> str:
        """What `best` is of; empty where trials differ in it, or there are none."""
        metrics = {spec.config.train.best_metric for spec in self.trials.values()}
        return metrics.pop() if len(metrics) == 1 else ""

    @property
    def num_finished(self) -> int:
        """Trials with an outcome."""
        return sum(status in ("complete", "failed") for status in self.status.values())

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.began

    def remaining_seconds(self) -> float | None:
        """Return the estimate, or None before the first steps are done."""
        total = sum(spec.total_steps for spec in self.trials.values()) - self.resumed_steps
        done = sum(
            self.trials[trial_id].total_steps if self.status[trial_id] in ("complete", "failed") else steps
            for trial_id, steps in self.steps.items()
        )
        if not done:
            return None
        return max(0.0, (time.monotonic() - self.counted_from) * (total - done) / done)

    def counts(self, label: str) -> Counter[str]:
        return Counter(self.status[trial_id] for trial_id, spec in self.trials.items() if spec.label == label)


def clock(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"
