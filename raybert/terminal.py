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
from rich.text import Text

from raybert.config import RaybertConfig
from raybert.sweep.driver.status import SweepStatus, status_lines

if TYPE_CHECKING:
    from raybert.analysis import FailureGroup, Sweep
    from raybert.sweep.driver.progress import Progress
    from raybert.sweep.driver.run_progress import RunProgress
    from raybert.sweep.plan.arms import Arm
    from raybert.sweep.plan.comparison import Plan
    from raybert.sweep.runner import Outcome
    from raybert.sweep.single.reproduce import Reproduction

_LAST_LINES = 8
"""Of a traceback."""
_ERROR_LENGTH = 400
"""Most of an error that the first screen shows."""


@contextlib.contextmanager
def sweep_progress() -> Iterator[Progress]:
    """Show a sweep on standard output: live where it is a terminal, else line by line."""
    from raybert.sweep.driver.progress import LiveProgress, PlainProgress

    with _on_terminal(LiveProgress, PlainProgress) as progress:
        yield progress


@contextlib.contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Show a single run on standard output: a bar where it is a terminal, else line by line."""
    from raybert.sweep.driver.run_progress import RunBar, RunLines

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
    from raybert.analysis.results.run_summary import run_lines

    results = publish_results(outcome.folder)
    if outcome.num_complete:
        for line in run_lines(results):
            typer.echo(line)
        typer.echo(f"model: {relative(outcome.folder / 'best')}")
        typer.echo(f"results: {relative(outcome.folder)}")
        typer.echo(f"all metrics and plots:  raybert evaluate {shlex.quote(relative(outcome.folder))}")
    print_failures(results)
    if outcome.num_failed or outcome.num_pending:
        what = "try again" if outcome.num_failed else "stopped; continue with"
        typer.echo(f"{what}:  {command_again('--resume')}")


def print_comparison(results: Sweep, console: Console) -> None:
    """Print the table, and what a reader of it should know."""
    from raybert.analysis import search_table, selection_notes, summary_table

    console.print(summary_table(results))
    if results.search is not None and not results.search.best.empty:
        console.print(search_table(results.search))
    for note in selection_notes(results):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def print_results(outcome: Outcome) -> None:
    """Print the comparison, then where it is, then what went wrong and how to go on."""
    from raybert.analysis import estimate_line, publish_results

    console = Console()
    results = publish_results(outcome.folder)
    print_comparison(results, console)
    for name in ("accuracy.png", "cost.png", "overlap.png", "samples_per_epoch.png"):
        plot = outcome.folder / "plots" / name
        if plot.exists():
            console.print(f"plot: {relative(plot)}", highlight=False, soft_wrap=True)
    console.print(f"results: {relative(outcome.folder)}", highlight=False, soft_wrap=True)
    line = estimate_line(results)
    if line is not None:
        _say(console, line, None)
    print_failures(results)
    if outcome.num_failed:
        console.print(f"run the failed trials again:  {command_again()} --retry failed", markup=False, soft_wrap=True)
    if outcome.num_pending:
        console.print(
            f"{outcome.num_pending} trials are left; continue with:  {command_again()}",
            markup=False,
            soft_wrap=True,
        )


def print_failures(results: Sweep) -> None:
    """Print the distinct errors of a sweep, at most a screenful: the most frequent first, the rest counted."""
    from raybert.analysis import find_failures

    groups = find_failures(results)
    if not groups:
        return
    console = Console()
    num_failed, distinct = sum(len(group.failures) for group in groups), f"{len(groups)} distinct error"
    title = f"failed: {num_failed} trial{'s' if num_failed > 1 else ''}, {distinct}{'s' if len(groups) > 1 else ''}"
    _say(console, title, "bold red")
    rows_left = console.height - 4  # the title, what is not shown, and the command that goes on
    for shown, group in enumerate(groups):
        lines = _failure_lines(group, results.folder)
        rows_left -= sum(-(-line.cell_len // console.width) or 1 for line in lines)
        if shown and rows_left < 0:
            rest = groups[shown:]
            num_trials = sum(len(other.failures) for other in rest)
            where = relative(results.folder / "results" / "errors.csv")
            _say(console, f"and {len(rest)} more distinct errors of {num_trials} trials: {where}", "red")
            return
        for line in lines:
            console.print(line, soft_wrap=True)


def _failure_lines(group: FailureGroup, folder: Path) -> list[Text]:
    first, number = group.first, len(group.failures)
    trials = f"{number} trial{'s' if number > 1 else ''}"
    if group.num_readers:
        trials += f" ({group.num_readers} of them because a run that they read failed)"
    strategies = [failure.strategy for failure in group.failures]
    labels = ", ".join(f"{label} x {strategies.count(label)}" for label in dict.fromkeys(strategies))
    fold = f" fold {first.fold}" if first.fold else ""
    facts = [f"kind {first.kind}" if first.kind != "error" else "", f"node {first.node}" if first.node else ""]
    facts.append(f"{first.attempts} attempts" if first.attempts > 1 else "")
    where = relative(folder / "trials" / first.trial_id)
    width = Console().width - 8
    return [
        Text(shorten(first.error, _ERROR_LENGTH), "red"),
        Text(f"    in {trials}: {shorten(labels, 2 * width)}"),
        Text(", ".join([f"    first: {first.strategy} seed {first.seed}{fold}, {where}", *filter(None, facts)])),
        *(Text(f"      | {shorten(line, width)}", "dim") for line in group.log),
        Text(f"    again: {group.command(relative(folder))}"),
    ]


def shorten(line: str, length: int) -> str:
    """Return a line of at most so many characters, cut at its end."""
    return line if len(line) <= length else line[: length - 3] + "..."


def print_reproduction(found: Reproduction) -> None:
    """Print whether two runs of a trial left the same bits, and what differs."""
    console = Console()
    spec = found.spec
    console.print(
        f"{spec.label} budget {spec.budget:,} {spec.replicate} {spec.trial_id}", style="bold", highlight=False
    )
    for part in found.comparisons:
        verdict = "; ".join(part.differences) if part.differences else "bit-identical"
        style = "red" if part.differences else None
        _say(console, f"{part.what:<12} {part.size:<14} {verdict}", style)
    if found.error or found.error_again:
        same = found.error == found.error_again
        _say(console, f"failed then: {found.error or 'no'}", None)
        _say(console, "failed now:  " + ("the same" if same else found.error_again or "no"), None if same else "red")
    if found.error_again:
        for line in found.again.error().strip().splitlines()[-_LAST_LINES:-1]:
            _say(console, f"    {line}", "dim")
    for note in found.notes:
        _say(console, f"note: {note}", None)
    identical = "the same error" if found.error else "bit-identical"
    verdict = identical if found.is_identical else "stopped" if found.exit_code == 3 else "different"
    _say(console, f"{verdict}: {relative(found.again.path)}", "bold")


def _say(console: Console, line: str, style: str | None) -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def print_plan(
    config: RaybertConfig, output: Path | None = None, *, address: str | None = None, probe: bool = False
) -> None:
    """Print what a sweep file asks for, and with `probe` what is left of it will take.

    Args:
        config: the sweep file.
        output: results folder, for what is finished already; default: runs/<name of the sweep>.
        address: of the cluster to look at.
        probe: run a few steps of every model shape.
    """
    from raybert.sweep.runner import prepare_plan

    planned, prepared = prepare_plan(config)
    Console().print(_plan_table(planned))
    if planned.arms:
        Console().print(_search_table(planned.arms))
    for ready in prepared.values():
        fold = f", fold {ready.splits.details['fold']}" if "fold" in ready.splits.details else ""
        splits = (ready.data.train, ready.data.validation, ready.data.test)
        sizes = " / ".join(f"{len(split):,}" for split in splits)
        typer.echo(f"data{fold}: {sizes} train / validation / test, {ready.data.num_classes} classes")
    for note in dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes):
        typer.echo(f"note: {note}")
    if not probe:
        return
    from raybert.sweep.estimate.describe import describe_estimate
    from raybert.sweep.estimate.planning import estimate_plan

    estimate = estimate_plan(config, planned, prepared, output or Path("runs") / config.name, address)
    for line in describe_estimate(estimate) if estimate is not None else ["nothing is left to do"]:
        _say(Console(), line, None)


def _search_table(arms: Iterable[Arm]) -> Table:
    """Return a row per arm: what is searched before the trials above, each run finished."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("search", "suggestions", "seeds", "steps", "examples trained on", "keys"):
        table.add_column(column, justify="left" if column in ("search", "keys") else "right")
    total = runs = 0
    for arm in arms:
        longest = max(arm.readers, key=lambda spec: spec.total_steps)
        seen = longest.total_steps * longest.config.train.batch_size * arm.num_suggestions * len(arm.seeds)
        counts = (arm.num_suggestions, len(arm.seeds), longest.total_steps, seen)
        table.add_row(arm.name, *(f"{count:,}" for count in counts), str(len(arm.space.domains)))
        total, runs = total + seen, runs + arm.num_suggestions
    table.add_row("at most", f"{runs:,}", "", "", f"{total:,}", "", style="bold")
    return table


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


def print_status(status: SweepStatus) -> None:
    """Print how a sweep stands, as seen from another terminal."""
    console = Console()
    for line in status_lines(status):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if status.strategies:
        table = Table(box=None, padding=(0, 1), header_style="bold")
        states = ("complete", "running", "failed", "pruned", "pending")
        for column in ("strategy", *states):
            table.add_column(column, justify="left" if column == "strategy" else "right")
        for label, counts in status.strategies.items():
            table.add_row(label, *(str(counts.get(state) or "") for state in states))
        console.print(table)
    for group in status.errors:
        count = f"{len(group['trials'])} trial{'s' if len(group['trials']) > 1 else ''}"
        text = f"failed ({count}, {group['kind']}): {group['message']}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def relative(path: Path) -> str:
    """Return a path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def command_again(*further: str) -> str:
    """Return the command that was given, without `--retry`, and with further options once."""
    given = sys.argv[1:]
    follows_retry = [before == "--retry" for before in ["", *given]]
    arguments = [
        argument
        for argument, is_value in zip(given, follows_retry, strict=False)
        if not (is_value or argument == "--retry" or argument.startswith("--retry=") or argument in further)
    ]
    return shlex.join(["raybert", *arguments, *further])
