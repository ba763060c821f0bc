"""How a sweep stands, as seen from another terminal."""

from __future__ import annotations

from raybert.display import Row, TextTable
from raybert.sweeping.driver.status import SweepStatus, status_lines
from raybert.terminal.console import Console, say
from raybert.terminal.table import FittingTable


def print_status(status: SweepStatus) -> None:
    """Print how a sweep stands, as seen from another terminal."""
    console = Console()
    for line in status_lines(status):
        say(console, line)
    if status.strategies:
        states = ("complete", "running", "failed", "pruned", "pending")
        counted = status.strategies.items()
        rows = tuple(Row((label, *(str(counts.get(state) or "") for state in states))) for label, counts in counted)
        head = "corpus" if status.is_study else "strategy"
        console.print(FittingTable(TextTable((head, *states), rows, spare=(4, 2, 5, 3)), gap=1))
    for group in status.errors:
        noun = "model" if status.is_study else "trial"
        count = f"{len(group.failures)} {noun}{'s' if len(group.failures) > 1 else ''}"
        text = f"failed ({count}, {group.kind}): {group.message}"
        say(console, text, "red")
