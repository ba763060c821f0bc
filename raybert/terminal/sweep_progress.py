"""A sweep while it runs: a live table per strategy, or one plain line per event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from raybert.display import Row, TextTable
from raybert.sweeping.driver.events import Event, EventProgress
from raybert.sweeping.driver.progress import (
    Progress,
    SearchCounts,
    Tally,
    clock,
    is_model_of_study,
    left_words,
)
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import PRETRAIN
from raybert.terminal.console import live_or_plain, redrawn, say_lines
from raybert.terminal.console import text as shown
from raybert.terminal.table import FittingTable

_SECONDS_BETWEEN_SCORING_LINES = 5
_MOST_NEWS = 6
"""Trials whose newest evaluation is shown below the table."""


@contextlib.contextmanager
def sweep_progress(*, to_stderr: bool = False) -> Iterator[Progress]:
    """Show a sweep on standard output (or standard error): live where it is a terminal, else line by line."""
    with live_or_plain(LiveProgress, PlainProgress, to_stderr=to_stderr) as progress:
        yield progress


class PlainProgress(EventProgress):
    """One line per event, for logs and pipes; starts and evaluations of trials would drown the rest."""

    def __init__(self, console: Console) -> None:
        super().__init__(self._print)
        self._console = console
        self._scored_at = 0.0

    def started(self, spec: PlannedRun) -> None:
        """Say nothing."""

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        """Say nothing of trials; pretrainings are few, and long."""
        if spec.role == PRETRAIN:
            super().evaluated(spec, row)

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        now = time.monotonic()
        if rows_done and (rows_done == rows_total or now - self._scored_at > _SECONDS_BETWEEN_SCORING_LINES):
            self._scored_at = now
            super().scoring(rows_done, rows_total, rows_per_second)

    def _print(self, event: Event) -> None:
        if event.text:
            self._line(event.text)

    def _line(self, line: str) -> None:
        say_lines(self._console, f"{clock(self.tally.elapsed_seconds)} {line}")


class LiveProgress(Progress):
    """A table that is redrawn in place; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._tally = Tally()
        self._phase = ""
        self._scoring = ""
        self._tallies: Mapping[str, SearchCounts] = {}
        self._is_over = False
        self._live = Live(console=console, get_renderable=self._render, auto_refresh=False, transient=True)
        self._console = console
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LiveProgress:
        self._stack.enter_context(self._live)
        # It is drawn once more as it stops, in full length, and what has left the screen cannot be taken away.
        self._stack.callback(setattr, self, "_is_over", True)
        self._stack.enter_context(redrawn(self._live.refresh, self.note))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def follow(self, tally: Tally) -> None:
        self._tally = tally

    def phase(self, text: str) -> None:
        self._phase, self._scoring, self._tallies = text, "", {}

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        if status == "failed":
            self.note(f"{self._tally.run_in_words(spec)}: failed {message}")

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        self._scoring = f"{rows_done:,} of {rows_total:,} rows, {rows_per_second:,.0f} rows/s"

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        self._tallies = tallies

    def note(self, text: str) -> None:
        say_lines(self._console, text)

    def leave(self) -> None:
        self._is_over = True
        self._live.stop()  # shows the cursor

    def _render(self) -> Group:
        if self._is_over:
            return Group()
        title = shown(f"{self._phase}  {clock(self._tally.elapsed_seconds)}{left_words(self._tally)}", "bold")
        if self._tallies:
            news = [f"{arm}: {tally.last}" for arm, tally in self._tallies.items() if tally.last and not tally.is_over]
            return Group(title, search_counts_table(self._tallies), *map(_news_line, news[:_MOST_NEWS]))
        with self._tally.lock:
            tables = [_counts_table(self._tally)] if self._tally.trials else []  # no header over nothing
            news = list(_news(self._tally))
        scoring = [shown(self._scoring)] if self._scoring else []
        return Group(title, *scoring, *tables, *map(_news_line, news[:_MOST_NEWS]))


def _counts_table(tally: Tally) -> FittingTable:
    """Return a row per strategy: trials by status, and the best value."""
    is_pretraining = all(spec.role == PRETRAIN for spec in tally.trials.values())
    head = "corpus" if is_pretraining else "strategy"
    columns = (head, "done", "running", "failed", "of", f"best validation {tally.best_metric}".rstrip())
    rows = []
    for label in dict.fromkeys(spec.label for spec in tally.trials.values()):
        counts = tally.counts(label)
        best = f"{tally.best[label]:.3f}" if label in tally.best else ""
        numbers = (str(counts["complete"]), *(str(counts[state] or "") for state in ("running", "failed")))
        rows.append(Row((label, *numbers, str(sum(counts.values())), best), styles=((3, "bad"),)))
    return FittingTable(TextTable(columns, tuple(rows), spare=(5, 2, 3)), gap=1)


def _news(tally: Tally) -> Iterator[str]:
    """Yield how every trial at work is doing."""
    for trial_id in tally.running:
        spec, last = tally.trials[trial_id], tally.last.get(trial_id)
        if last is not None:
            name = spec.trial_id if is_model_of_study(spec) else f"{tally.name_of(spec)} {spec.replicate}"
            yield f"{name}: {last}"


def _news_line(line: str) -> Text:
    found = shown(line, "dim")
    found.no_wrap, found.overflow = True, "ellipsis"
    return found


def search_counts_table(tallies: Mapping[str, SearchCounts]) -> FittingTable:
    """Return a row per arm: suggestions by status, and the best value."""
    rows = []
    for arm, tally in tallies.items():
        counts = [str(tally.counts.get(status) or "") for status in ("complete", "pruned", "failed", "running")]
        best = "" if tally.best is None else f"{tally.best:.3f}"
        rows.append(Row((arm, *counts, str(tally.total), best)))
    metrics = {tally.metric for tally in tallies.values()}
    metric = metrics.pop() if len(metrics) == 1 else ""
    columns = ("search", "done", "pruned", "failed", "running", "of", f"best validation {metric}".rstrip())
    return FittingTable(TextTable(columns, tuple(rows), spare=(6, 4, 3, 2)), gap=1)
