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
    """Print every selection strategy: what it does, needs, costs and takes."""
    console = Console()
    _print_entries(console, rows, "summary")
    console.print("\nStrategies of budget kind distinct that choose once or in rounds also take:", highlight=False)
    for key, text in COMPOSITION.items():
        say(console, f"    {key}: {text}")


def print_signals(rows: Iterable[Mapping[str, str]]) -> None:
    """Print every signal: what it is, the runs that train for it, its scorer, its price."""
    console = Console()
    _print_entries(console, rows, "description")
    say(console, "\nshapes: n examples, m proxies, t checkpoints, C classes, d numbers of an embedding")


def _print_entries(console: Console, rows: Iterable[Mapping[str, Any]], headline: str) -> None:
    for row in rows:
        console.print(f"[bold]{row['name']}[/bold]  {row[headline]}", highlight=False, soft_wrap=True)
        for key, value in row.items():
            if key not in ("name", headline) and value:
                say(console, f"    {key}: {value}")


def print_scores(entries: Sequence[StoreEntry], size_bytes: int, folder: Path) -> None:
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
