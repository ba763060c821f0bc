"""Several sweeps beside each other."""

from __future__ import annotations

from pathlib import Path

from raybert.analysis.results.beside import ComparedSweeps
from raybert.terminal.console import Console, print_notes, relative, say
from raybert.terminal.table import FittingTable

_NO_ROOM = "intervals are left out for want of room; a wider terminal, and every `--format`, has them"


def print_compared(compared: ComparedSweeps, output: Path | None) -> None:
    """Print the table, what is to say of it and of its ranks, and where it was written."""
    console = Console()
    shown, gaps = FittingTable(compared.table, gap=1), 2 * len(compared.table.columns)
    is_wide = sum(compared.table.widths()) + gaps <= console.width
    console.print(shown if is_wide else FittingTable(compared.narrow_table, gap=1))
    for line in compared.lines:
        say(console, line, "dim")
    print_notes(compared.notes if is_wide else [*compared.notes, _NO_ROOM])
    for plot in compared.plots:
        say(console, f"plot: {relative(plot)}")
    if output is not None:
        say(console, f"tables: {relative(output)}")
