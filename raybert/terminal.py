"""What raybert prints: progress, results, failures and plans."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from raybert.config import RaybertConfig

if TYPE_CHECKING:
    from raybert.analysis import Sweep
    from raybert.sweep.progress import Progress
    from raybert.sweep.run_progress import RunProgress
    from raybert.sweep.runner import Outcome
    from raybert.sweep.specs import Plan


@contextlib.contextmanager
def sweep_progress() -> Iterator[Progress]:
    """Show a sweep on standard output: live where it is a terminal, else line by line."""
    from raybert.sweep.progress import LiveProgress, PlainProgress

    with _on_terminal(LiveProgress, PlainProgress) as progress:
        yield progress


@contextlib.contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Show a single run on standard output: a bar where it is a terminal, else line by line."""
    from raybert.sweep.run_progress import RunBar, RunLines

    with _on_terminal(RunBar, RunLines) as progress:
        yield progress


def _on_terminal(
    live: Callable[[Console], AbstractContextManager[Any]], plain: Callable[[Console], Any]
) -> AbstractContextManager[Any]:
    console = Console()
    return live(console) if console.is_terminal else contextlib.nullcontext(plain(console))


def print_notes(notes: Iterable[str]) -> None:
    """Print what a reader of the results should know."""
    for note in notes:
        typer.echo(f"note: {note}")


def print_run(outcome: Outcome) -> None:
    """Print what a run came to, where it is, and how to go on."""
    from raybert.analysis import publish_results
    from raybert.analysis.run_summary import run_lines

    results = publish_results(outcome.folder)
    if outcome.num_complete:
        for line in run_lines(results):
            typer.echo(line)
        typer.echo(f"model: {relative(outcome.folder / 'best')}")
        typer.echo(f"results: {relative(outcome.folder)}")
        typer.echo(f"all metrics and plots:  raybert evaluate {shlex.quote(relative(outcome.folder))}")
    _print_failures(outcome)
    if outcome.num_failed or outcome.num_pending:
        what = "try again" if outcome.num_failed else "stopped; continue with"
        typer.echo(f"{what}:  {command_again('--resume')}")


def print_comparison(results: Sweep, console: Console) -> None:
    """Print the table, and what a reader of it should know."""
    from raybert.analysis import selection_notes, summary_table

    console.print(summary_table(results))
    for note in selection_notes(results):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def print_results(outcome: Outcome) -> None:
    """Print the comparison, then where it is, then what went wrong and how to go on."""
    from raybert.analysis import publish_results

    console = Console()
    print_comparison(publish_results(outcome.folder), console)
    for name in ("accuracy.png", "cost.png", "overlap.png", "samples_per_epoch.png"):
        plot = outcome.folder / "plots" / name
        if plot.exists():
            console.print(f"plot: {relative(plot)}", highlight=False, soft_wrap=True)
    console.print(f"results: {relative(outcome.folder)}", highlight=False, soft_wrap=True)
    _print_failures(outcome)
    if outcome.num_failed:
        console.print(f"run the failed trials again:  {command_again()} --retry failed", markup=False, soft_wrap=True)
    if outcome.num_pending:
        console.print(
            f"{outcome.num_pending} trials are left; continue with:  {command_again()}",
            markup=False,
            soft_wrap=True,
        )


def _print_failures(outcome: Outcome) -> None:
    console = Console()
    for group in outcome.errors:
        first = outcome.folder / "trials" / group.trial_ids[0] / "error.txt"
        num_trials = len(group.trial_ids)
        console.print(
            f"failed ({num_trials} trial{'s' if num_trials > 1 else ''}): {group.message}\n"
            f"    traceback: {relative(first)}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def print_plan(config: RaybertConfig) -> None:
    """Print what a sweep file asks for."""
    from raybert.sweep.runner import prepare_plan

    planned, prepared = prepare_plan(config)
    Console().print(_plan_table(planned))
    for ready in prepared.values():
        fold = f", fold {ready.splits.details['fold']}" if "fold" in ready.splits.details else ""
        splits = (ready.data.train, ready.data.validation, ready.data.test)
        sizes = " / ".join(f"{len(split):,}" for split in splits)
        typer.echo(f"data{fold}: {sizes} train / validation / test, {ready.data.num_classes} classes")
    for note in dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes):
        typer.echo(f"note: {note}")


def _plan_table(planned: Plan) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("strategy", "budget", "steps", "trials", "examples trained on", "signals"):
        table.add_column(column, justify="left" if column in ("strategy", "signals") else "right")
    rows: dict[tuple[Any, ...], int] = {}
    for spec in planned.trials:
        if spec.fold > 0:  # the same trials as in fold 0, for the same steps
            continue
        signals = ", ".join(sorted(spec.strategy.all_signals()))
        seen = spec.total_steps * spec.config.train.batch_size
        row = (spec.label, spec.budget, spec.total_steps, seen, signals)
        rows[row] = rows.get(row, 0) + (spec.config.data.folds or 1)
    for (label, budget, steps, seen, signals), count in rows.items():
        table.add_row(label, f"{budget:,}", f"{steps:,}", str(count), f"{seen * count:,}", signals)
    total = sum(spec.total_steps * spec.config.train.batch_size for spec in planned.trials)
    table.add_row("total", "", "", str(len(planned.trials)), f"{total:,}", "", style="bold")
    return table


def relative(path: Path) -> str:
    """Return a path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def command_again(*further: str) -> str:
    """Return the command that was given, without `--retry failed`, and with further options once."""
    left_out = ("--retry", "failed", "--retry=failed", *further)
    arguments = [argument for argument in sys.argv[1:] if argument not in left_out]
    return shlex.join(["raybert", *arguments, *further])
