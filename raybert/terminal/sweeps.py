"""Results folders, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raybert.display import Row, Style, TextTable
from raybert.sweeping.driver.listing import STATES, ListedSweep
from raybert.terminal.console import Console, relative, say
from raybert.terminal.table import FittingTable

_STYLES: dict[str, Style] = {"running": "good", "unreadable": "bad"}


def print_sweeps(sweeps: Sequence[ListedSweep], folder: Path) -> None:
    """Print how each sweep stands, then what is wrong with some."""
    console = Console()
    if not sweeps:
        say(console, f"no results folders in {relative(folder)}")
        return
    rows = tuple(_row(sweep) for sweep in sweeps)
    columns = ("folder", "sweep", "state", *STATES)
    console.print(FittingTable(TextTable(columns, rows, left=frozenset({0, 1, 2}), spare=(6, 4, 5, 7, 1)), gap=1))
    for sweep in sweeps:
        if sweep.problem:
            say(console, f"note: {relative(sweep.folder)}: {sweep.problem}")


def _row(sweep: ListedSweep) -> Row:
    counts = (str(sweep.trials.get(state) or "") for state in STATES)
    styles: tuple[tuple[int, Style], ...] = ((2, _STYLES.get(sweep.state, "")), (5, "bad"))
    return Row((relative(sweep.folder), sweep.name, sweep.state, *counts), "", styles)
