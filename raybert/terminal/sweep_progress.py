"""A sweep while it runs: a live table per strategy, or one plain line per event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally, clock
from raybert.sweeping.plan.specs import RunSpec
from raybert.terminal.console import live_or_plain


@contextlib.contextmanager
def sweep_progress() -> Iterator[Progress]:
    """Show a sweep on standard output: live where it is a terminal, else line by line."""
    with live_or_plain(LiveProgress, PlainProgress) as progress:
        yield progress


class PlainProgress:
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._scored_at = 0.0

    def begin(self, trials: Sequence[RunSpec], done: Mapping[str, str]) -> None:
        """Say how many trials there are and how many are finished already."""
        self._tally.begin(trials, done)
        finished = sum(status == "complete" for status in self._tally.status.values())
        self._line(f"{len(trials)} trials" + (f", {finished} finished earlier" if finished else ""))

    def phase(self, text: str) -> None:
        """Print the phase."""
        self._line(text)

    def started(self, spec: RunSpec) -> None:
        """Count."""
        self._tally.status[spec.trial_id] = "running"

    def evaluated(self, spec: RunSpec, row: Mapping[str, Any]) -> None:
        """Count; a line per evaluation would drown the rest."""
        self._tally.evaluated(spec, row)

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
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

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
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
        self._tallies: Mapping[str, SearchCounts] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._console = console

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, trials: Sequence[RunSpec], done: Mapping[str, str]) -> None:
        """Fill the table."""
        self._tally.begin(trials, done)

    def phase(self, text: str) -> None:
        """Change the title."""
        self._phase, self._scoring, self._tallies = text, "", {}

    def started(self, spec: RunSpec) -> None:
        """Count."""
        self._tally.status[spec.trial_id] = "running"

    def evaluated(self, spec: RunSpec, row: Mapping[str, Any]) -> None:
        """Count."""
        self._tally.evaluated(spec, row)

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
        """Count, and keep a failure visible above the table."""
        self._tally.status[spec.trial_id] = status
        if status == "failed":
            self.note(f"{spec.label} {spec.replicate} {spec.trial_id}: failed {message}")

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Show rows, speed and time left."""
        left = (rows_total - rows_done) / rows_per_second if rows_per_second else None
        remaining = f", {clock(left)} left" if left is not None else ""
        self._scoring = f"{rows_done:,} of {rows_total:,} rows, {rows_per_second:,.0f} rows/s{remaining}"

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        """Show the table of the search in place of that of the trials."""
        self._tallies = tallies

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, markup=False, highlight=False)

    def _render(self) -> Group:
        if self._tallies:
            heading = f"{self._phase}  {clock(self._tally.elapsed_seconds)}"
            return Group(Text(heading, style="bold"), search_counts_table(self._tallies))
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


def search_counts_table(tallies: Mapping[str, SearchCounts]) -> Table:
    """Return a row per arm: suggestions by status, and the best value."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("search", no_wrap=True)
    for column in ("done", "pruned", "failed", "running", "of", "best validation"):
        table.add_column(column, justify="right")
    for arm, tally in tallies.items():
        counts = [str(tally.counts.get(status) or "") for status in ("complete", "pruned", "failed", "running")]
        table.add_row(arm, *counts, str(tally.total), "" if tally.best is None else f"{tally.best:.3f}")
    return table
