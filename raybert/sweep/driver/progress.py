"""What a sweep tells the terminal: a live table per strategy, or one plain line per event."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from raybert.sweep.plan.specs import TrialSpec

if TYPE_CHECKING:
    from raybert.sweep.search.search import ArmTally


class Progress(Protocol):
    """Hears what happens; all calls come from the driver and must be quick."""

    def begin(self, trials: Sequence[TrialSpec], done: Mapping[str, str]) -> None:
        """Learn all trials and the status of those that are finished already."""

    def phase(self, text: str) -> None:
        """A phase begins."""

    def started(self, spec: TrialSpec) -> None:
        """A trial runs."""

    def evaluated(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """A trial reported an evaluation."""

    def ended(self, spec: TrialSpec, status: str, message: str = "") -> None:
        """A trial is complete, failed or stopped."""

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Scoring advanced."""

    def searching(self, tallies: Mapping[str, ArmTally], message: str = "") -> None:
        """The search advanced; the message says how a suggestion ended, where one did."""

    def note(self, text: str) -> None:
        """Say something in one line."""


@dataclass
class Tally:
    """Counts behind both views.

    Remaining time is estimated from optimizer steps: trials of different budgets differ in length.
    """

    trials: dict[str, TrialSpec] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    began: float = field(default_factory=time.monotonic)
    counted_from: float = field(default_factory=time.monotonic)
    resumed_steps: int = 0

    def begin(self, trials: Sequence[TrialSpec], done: Mapping[str, str]) -> None:
        self.trials = {spec.trial_id: spec for spec in trials}
        self.status = {spec.trial_id: done.get(spec.trial_id, "pending") for spec in trials}
        self.steps.clear()  # of the trials of an earlier phase
        self.best.clear()
        self.counted_from = time.monotonic()
        self.resumed_steps = sum(spec.total_steps for spec in trials if self.status[spec.trial_id] != "pending")

    def evaluated(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        self.steps[spec.trial_id] = int(row["step"])
        self.best[spec.label] = max(self.best[spec.label], float(row["validation_accuracy"]))

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


class PlainProgress:
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._scored_at = 0.0

    def begin(self, trials: Sequence[TrialSpec], done: Mapping[str, str]) -> None:
        """Say how many trials there are and how many are finished already."""
        self._tally.begin(trials, done)
        finished = sum(status == "complete" for status in self._tally.status.values())
        self._line(f"{len(trials)} trials" + (f", {finished} finished earlier" if finished else ""))

    def phase(self, text: str) -> None:
        """Print the phase."""
        self._line(text)

    def started(self, spec: TrialSpec) -> None:
        """Count."""
        self._tally.status[spec.trial_id] = "running"

    def evaluated(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """Count; a line per evaluation would drown the rest."""
        self._tally.evaluated(spec, row)

    def ended(self, spec: TrialSpec, status: str, message: str = "") -> None:
        """Print the trial's outcome."""
        tally = self._tally
        tally.status[spec.trial_id] = status
        finished = sum(state in ("complete", "failed") for state in tally.status.values())
        remaining = tally.remaining_seconds()
        left = f", about {clock(remaining)} left" if remaining and status == "complete" else ""
        self._line(
            f"[{finished}/{len(tally.trials)}] {spec.label} budget {spec.budget} {spec.replicate} "
            f"{spec.trial_id}: {status}{' ' + message if message else ''}{left}"
        )

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Print at most one line in five seconds."""
        now = time.monotonic()
        if rows_done and (rows_done == rows_total or now - self._scored_at > 5):
            self._scored_at = now
            left = f", {clock((rows_total - rows_done) / rows_per_second)} left" if rows_per_second else ""
            self._line(f"scored {rows_done:,} of {rows_total:,} rows, {rows_per_second:,.0f} rows/s{left}")

    def searching(self, tallies: Mapping[str, ArmTally], message: str = "") -> None:
        """Print how a suggestion ended."""
        if message:
            total, ended = (sum(getattr(tally, name) for tally in tallies.values()) for name in ("total", "num_ended"))
            self._line(f"[{ended}/{total}] {message}")

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def _line(self, text: str) -> None:
        self._console.print(
            f"{clock(self._tally.elapsed_seconds)} {text}", markup=False, highlight=False, soft_wrap=True
        )


class LiveProgress:
    """A table that is redrawn in place; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._tally = Tally()
        self._phase = ""
        self._scoring = ""
        self._tallies: Mapping[str, ArmTally] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._console = console

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, trials: Sequence[TrialSpec], done: Mapping[str, str]) -> None:
        """Fill the table."""
        self._tally.begin(trials, done)

    def phase(self, text: str) -> None:
        """Change the title."""
        self._phase, self._scoring, self._tallies = text, "", {}

    def started(self, spec: TrialSpec) -> None:
        """Count."""
        self._tally.status[spec.trial_id] = "running"

    def evaluated(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """Count."""
        self._tally.evaluated(spec, row)

    def ended(self, spec: TrialSpec, status: str, message: str = "") -> None:
        """Count, and keep a failure visible above the table."""
        self._tally.status[spec.trial_id] = status
        if status == "failed":
            self.note(f"{spec.label} {spec.replicate} {spec.trial_id}: failed {message}")

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Show rows, speed and time left."""
        left = (rows_total - rows_done) / rows_per_second if rows_per_second else None
        remaining = f", {clock(left)} left" if left is not None else ""
        self._scoring = f"{rows_done:,} of {rows_total:,} rows, {rows_per_second:,.0f} rows/s{remaining}"

    def searching(self, tallies: Mapping[str, ArmTally], message: str = "") -> None:
        """Show the table of the search in place of that of the trials."""
        self._tallies = tallies

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, markup=False, highlight=False)

    def _render(self) -> Group:
        if self._tallies:
            heading = f"{self._phase}  {clock(self._tally.elapsed_seconds)}"
            return Group(Text(heading, style="bold"), search_table(self._tallies))
        tally = self._tally
        table = Table(box=None, padding=(0, 1), header_style="bold")
        table.add_column("strategy", no_wrap=True)
        for column in ("done", "running", "failed", "of", "best validation"):
            table.add_column(column, justify="right")
        for label in dict.fromkeys(spec.label for spec in tally.trials.values()):
            counts = tally.counts(label)
            best = f"{tally.best[label]:.3f}" if label in tally.best else ""
            table.add_row(
                label,
                str(counts["complete"]),
                str(counts["running"] or ""),
                Text(str(counts["failed"] or ""), style="red"),
                str(sum(counts.values())),
                best,
            )
        remaining = tally.remaining_seconds()
        left = f", about {clock(remaining)} left" if remaining is not None else ""
        title = f"{self._phase}  {clock(tally.elapsed_seconds)}{left}"
        return Group(Text(title, style="bold"), *([Text(self._scoring)] if self._scoring else []), table)


def search_table(tallies: Mapping[str, ArmTally]) -> Table:
    """Return a row per arm: suggestions by status, and the best value."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("search", no_wrap=True)
    for column in ("done", "pruned", "failed", "running", "of", "best validation"):
        table.add_column(column, justify="right")
    for arm, tally in tallies.items():
        counts = [str(tally.counts.get(status) or "") for status in ("complete", "pruned", "failed", "running")]
        table.add_row(arm, *counts, str(tally.total), "" if tally.best is None else f"{tally.best:.3f}")
    return table


def clock(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"
