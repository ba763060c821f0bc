"""How a sweep stands, as seen from another terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from raybert.sweeping.driver.status import SweepStatus, status_lines


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
        count = f"{len(group.failures)} trial{'s' if len(group.failures) > 1 else ''}"
        text = f"failed ({count}, {group.kind}): {group.message}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
