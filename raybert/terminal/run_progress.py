"""What `raybert train` tells the terminal: a bar over optimizer steps, or one plain line per evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from raybert.sweeping.driver.events import Event, EventProgress, describe_row
from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally, clock
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import PRETRAIN, TRIAL
from raybert.terminal.console import live_or_plain, redrawn, say_lines
from raybert.terminal.console import text as shown


@contextlib.contextmanager
def run_progress(*, to_stderr: bool = False) -> Iterator[Progress]:
    """Show a single run on standard output (or standard error): a bar where it is a terminal, else line by line."""
    with live_or_plain(RunBar, RunLines, to_stderr=to_stderr) as progress:
        yield progress


def _name(spec: PlannedRun) -> str:
    """Return what a line calls a run; the id of a pretraining is its name."""
    return spec.trial_id if spec.role == PRETRAIN else f"{spec.label} {spec.trial_id}"


class _Speed(bars.ProgressColumn):
    """Optimizer steps (or rows) per second."""

    def render(self, task: bars.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed:,.1f}/s" if speed < 100 else f"{speed:,.0f}/s")


class _TimeLeft(bars.ProgressColumn):
    """The time that is left, by the estimate that `raybert status` shows too."""

    def __init__(self, tally: Callable[[], Tally]) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: bars.Task) -> Text:
        remaining = self._tally().remaining_seconds()
        return Text("-:--" if remaining is None else clock(remaining), style="progress.remaining")


class RunBar(Progress):
    """A bar for every run that is going on, with its last evaluation; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._tally = Tally()
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            _Speed(),
            _TimeLeft(lambda: self._tally),
            bars.TextColumn("{task.fields[status]}", markup=False),
            console=console,
            transient=True,
            expand=True,
            auto_refresh=False,
        )
        self._stack = contextlib.ExitStack()
        self._tasks: dict[str, bars.TaskID] = {}

    def __enter__(self) -> RunBar:
        self._stack.enter_context(self._bar)
        self._stack.enter_context(redrawn(self._bar.refresh, self.note))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def follow(self, tally: Tally) -> None:
        """Show its estimate."""
        self._tally = tally

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        """Take away the bar of the preparation."""
        self._end("phase")

    def phase(self, text: str) -> None:
        """Show that something goes on, without an end in sight."""
        self._end("phase")
        self._tasks["phase"] = self._bar.add_task(shown(text).plain, total=None, status="")

    def started(self, spec: PlannedRun) -> None:
        """Begin a bar."""
        self._end("phase")
        name = "train" if spec.role == TRIAL else spec.trial_id if spec.role == PRETRAIN else spec.label
        self._tasks[spec.trial_id] = self._bar.add_task(shown(name).plain, total=spec.total_steps or None, status="")

    def stepped(self, spec: PlannedRun, step: int) -> None:
        """Advance it."""
        self._bar.update(self._tasks[spec.trial_id], completed=step, total=spec.total_steps or None)

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        """Advance it, and show loss and metric."""
        words = describe_row(spec, row, self._tally)
        self._bar.update(self._tasks[spec.trial_id], completed=spec.position_of(row), status=words)

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        """Take it away, and keep a failure visible."""
        self._end(spec.trial_id)
        if status == "failed":
            self.note(f"{_name(spec)}: failed {message}")

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        """Show the rows."""
        self._end("phase")
        if "scoring" not in self._tasks:
            self._tasks["scoring"] = self._bar.add_task("score", total=rows_total, status="rows")
        self._bar.update(self._tasks["scoring"], completed=rows_done, total=rows_total)
        if rows_done == rows_total:
            self._end("scoring")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        say_lines(self._bar.console, text)

    def leave(self) -> None:
        """Take the bars away, and show the cursor."""
        self._bar.stop()

    def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            self._bar.remove_task(task)


class RunLines(EventProgress):
    """One line per evaluation, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(self._print)
        self._console = console

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        """Say nothing: one run is one run."""

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        self.note(f"{_name(spec)}: {status}{' ' + message if message else ''}")

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        if rows_done == rows_total:
            self.note(f"scored {rows_done:,} rows")

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        """Say nothing: a single run is not searched for."""

    def _print(self, event: Event) -> None:
        if event.text:
            say_lines(self._console, f"{clock(self.tally.elapsed_seconds)} {event.text}")
