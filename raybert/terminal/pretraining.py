"""Pretraining on the screen: a bar over optimizer steps or a line per evaluation, and the models at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich import progress as bars
from rich.console import Console

from raybert.display import Row, TextTable
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.study import PretrainedModels
from raybert.sweeping.driver.progress import clock
from raybert.terminal.console import Console as QuietConsole
from raybert.terminal.console import live_or_plain, print_note, relative, say, say_lines
from raybert.terminal.console import text as shown
from raybert.terminal.table import FittingTable

_COLUMNS = ("model", "steps", "tokens", "train loss", "validation loss", "perplexity", "accuracy", "seconds")


@contextlib.contextmanager
def pretraining_progress(*, to_stderr: bool = False) -> Iterator[PretrainingProgress]:
    """Show a pretraining: a bar where the stream is a terminal, else line by line.

    Args:
        to_stderr: whether the stream is standard error; default: standard output.
    """
    with live_or_plain(PretrainingBar, PretrainingLines, to_stderr=to_stderr) as progress:
        yield progress


def row_in_words(row: Mapping[str, Any]) -> str:
    """Return an evaluation in words."""
    parts = [f"loss {row['validation_loss']:.3f}"]
    if "validation_perplexity" in row:
        parts += [f"perplexity {row['validation_perplexity']:.1f}", f"accuracy {row['validation_masked_accuracy']:.1%}"]
    if "validation_contrastive_loss" in row:
        parts.append(f"contrastive {row['validation_contrastive_loss']:.3f}")
    return ", ".join(parts)


class PretrainingLines(PretrainingProgress):
    """One line per evaluation, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console, self._name, self._total = console, "", 0
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        say_lines(self._console, f"{clock(time.monotonic() - self._began)} {text}")

    def phase(self, text: str) -> None:
        self.note(text)

    def found(self, name: str, summary: Mapping[str, Any]) -> None:
        self.note(f"{name}: there already")

    def started(self, name: str, total_steps: int, ran_on: str) -> None:
        self._name, self._total = name, total_steps
        self.note(f"{name}: {total_steps:,} steps {ran_on}")

    def evaluated(self, row: Mapping[str, Any]) -> None:
        self.note(f"{self._name}: step {row['step']:,} of {self._total:,}, {row_in_words(row)}")

    def failed(self, name: str, why: str) -> None:
        self.note(f"{name}: failed {why}")


class PretrainingBar(PretrainingProgress):
    """A bar of the model at work, with its last evaluation; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[status]}", markup=False),
            console=console,
            transient=True,
            expand=True,
            refresh_per_second=4,
        )
        self._task: bars.TaskID | None = None

    def __enter__(self) -> PretrainingBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        say_lines(self._bar.console, text)

    def phase(self, text: str) -> None:
        self._begin(text, None)

    def preparing(self, name: str) -> None:
        self._begin(f"{name}: packing", None)

    def found(self, name: str, summary: Mapping[str, Any]) -> None:
        self.note(f"{name}: there already")

    def started(self, name: str, total_steps: int, ran_on: str) -> None:
        self._begin(name, total_steps)

    def stepped(self, step: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=step)

    def evaluated(self, row: Mapping[str, Any]) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=row["step"], status=row_in_words(row))

    def failed(self, name: str, why: str) -> None:
        self.note(f"{name}: failed {why}")

    def _begin(self, text: str, total: int | None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(shown(text).plain, total=total, status="")


def print_pretrained(found: PretrainedModels) -> None:
    """Print the models of a pretraining file, and where they are."""
    console = QuietConsole()
    rows = []
    for model in found.models:
        if model.summary is None:
            continue
        best = model.summary["best"]
        rows.append(
            Row(
                (
                    model.name,
                    f"{best['step']:,}",
                    f"{best['tokens']:,}",
                    f"{best['train_loss']:.3f}",
                    f"{best['validation_loss']:.3f}",
                    _or_blank(best.get("validation_perplexity"), ".1f"),
                    _or_blank(best.get("validation_masked_accuracy"), ".1%"),
                    f"{model.summary['seconds']:,.0f}",
                )
            )
        )
    if rows:
        console.print(FittingTable(TextTable(_COLUMNS, tuple(rows), left=frozenset({0}), spare=(7, 2, 3))))
    notes = [f"{model.name}: {note}" for model in found.models if model.summary for note in model.summary["notes"]]
    for note in dict.fromkeys(notes):
        print_note(note)
    for name, why in found.failures.items():
        print_note(f"{name}: failed {why}")
    if found.num_left:
        say(console, f"{found.num_left} of {found.num_wanted} models are left; the same command continues")
    say(console, f"{len(rows)} models in {relative(found.folder)}")


def _or_blank(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
