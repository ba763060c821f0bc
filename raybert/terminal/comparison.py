"""The comparison of a sweep: the table, what a reader should know, what went wrong, how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group
from rich.table import Table
from rich.text import Text

from raybert.analysis.results.comparison import comparison_lines
from raybert.analysis.results.estimates import estimate_line
from raybert.analysis.results.sweep import Sweep
from raybert.display import TextTable
from raybert.terminal.console import command_again, relative, say
from raybert.terminal.failures import print_failures
from raybert.terminal.search import search_table

_NAME = 18
"""Letters below which names are not folded."""
_STYLES = {"": "", "good": "green", "bad": "red", "dim": "dim"}


@dataclass(frozen=True)
class _Shown:
    """A table of words in as many of its columns as the terminal is wide; names are folded before values are cut."""

    table: TextTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        fitting = self.table.within(options.max_width)
        fits = sum(fitting.widths()) + len(fitting.columns) - 1 <= options.max_width
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for number, column in enumerate(fitting.columns):
            if number in fitting.left:
                table.add_column(column, overflow="fold", min_width=min(_NAME, fitting.widths()[number]))
            else:
                table.add_column(column, justify="right", no_wrap=fits)
        for row in fitting.rows:
            styles = dict(row.styles)
            cells = (Text(cell, _STYLES[styles.get(number, "")]) for number, cell in enumerate(row.cells))
            table.add_row(*cells, style=_STYLES[row.style])
        yield table


def summary_table(sweep: Sweep) -> Group:
    """Return the comparison as `Sweep.comparison` has it, then what is to say of it."""
    lines = [*comparison_lines(sweep.summary, sweep.best()), *(f"note: {note}" for note in sweep.notes)]
    table = sweep.comparison()
    shown = [_Shown(table)] if table.rows else []  # no header over nothing
    return Group(*shown, *(Text(line, style="dim") for line in lines))


def print_comparison(results: Sweep) -> None:
    """Print the table, and what a reader of it should know."""
    console = Console()
    console.print(summary_table(results))
    if results.search is not None and not results.search.best.empty:
        console.print(search_table(results.search))
    for note in results.selection_notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def print_results(results: Sweep) -> None:
    """Print the comparison of what has just been run, then where it is, then what went wrong and how to go on."""
    console, outcome = Console(), results.outcome
    assert outcome is not None
    print_comparison(results)
    for name in ("accuracy.png", "cost.png", "overlap.png", "samples_per_pass.png"):
        plot = outcome.folder / "plots" / name
        if plot.exists():
            console.print(f"plot: {relative(plot)}", highlight=False, soft_wrap=True)
    console.print(f"results: {relative(outcome.folder)}", highlight=False, soft_wrap=True)
    line = estimate_line(results)
    if line is not None:
        say(console, line, None)
    print_failures(results)
    if outcome.num_failed:
        console.print(f"run the failed trials again:  {command_again()} --retry failed", markup=False, soft_wrap=True)
    if outcome.num_pending:
        console.print(
            f"{outcome.num_pending} trials are left; continue with:  {command_again()}",
            markup=False,
            soft_wrap=True,
        )
