"""What there is: strategies to choose from, and signals that have been computed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from raybert.selection.catalogue import COMPOSITION
from raybert.selection.store import StoreEntry
from raybert.terminal.console import say

_MIB = 2**20


def print_strategies(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print every selection strategy: what it does, needs and takes."""
    console = Console()
    for row in rows:
        console.print(f"[bold]{row['name']}[/bold]  {row['summary']}", highlight=False, soft_wrap=True)
        for key, value in row.items():
            if key not in ("name", "summary") and value:
                say(console, f"    {key}: {value}")
    console.print("\nStrategies of budget kind distinct that choose once or in rounds also take:", highlight=False)
    for key, text in COMPOSITION.items():
        say(console, f"    {key}: {text}")


def print_signals(entries: Sequence[StoreEntry], size_bytes: int, folder: Path) -> None:
    """Print what a score store holds: key, scorer, rows, size, and what computing it took."""
    console = Console()
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("key", "scorer", "rows", "size", "seconds", "parameters"):
        table.add_column(column, justify="right" if column in ("rows", "size", "seconds") else "left")
    for entry in entries:
        table.add_row(*_cells(entry))
    console.print(table)
    say(console, f"{len(entries)} signals, {size_bytes / _MIB:,.1f} MiB in {folder}")


def _cells(entry: StoreEntry) -> list[str]:
    done = entry.completion
    identity = {key: value for key, value in entry.identity.items() if key not in ("scorer", "data")}
    return [
        entry.key,
        str(entry.identity.get("scorer", "?")),
        f"{done['num_rows']:,}" if done else "unfinished",
        f"{entry.size_bytes / _MIB:,.1f} MiB",
        f"{done['seconds']:,.1f}" if done else "",
        json.dumps(identity),
    ]
