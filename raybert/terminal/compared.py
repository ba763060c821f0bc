"""Several sweeps beside each other."""

from __future__ import annotations

from pathlib import Path

from raybert.analysis.results.beside import ComparedSweeps
from raybert.terminal.console import Console, print_notes, relative, say
from raybert.terminal.table import FittingTable


def print_compared(compared: ComparedSweeps, output: Path | None) -> None:
    """Print the table, what is to say of it and of its ranks, and where it was written."""
    console = Console()
    console.print(FittingTable(compared.table, gap=1))
    for line in compared.lines:
        say(console, line, "dim")
    print_notes(compared.notes)
    for plot in compared.plots:
        say(console, f"plot: {relative(plot)}")
    if output is not None:
        say(console, f"tables: {relative(output)}")
