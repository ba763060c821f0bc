"""What there is: strategies to choose from, and signals that have been computed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from raybert.selection.catalogue import COMPOSITION
from raybert.selection.store import StoreEntry
from raybert.terminal.console import Console, say, shorten, text

_MIB = 2**20
_SCORES = ("key", "scorer", "rows", "size", "seconds", "parameters")
_WHOLE_KEY = 20
_WORDS = 40
"""Characters of parameters that say something."""
_BETWEEN = 2


def print_strategies(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print every selection strategy: what it does, needs, costs and takes."""
    console = Console()
    _print_entries(console, rows, "summary")
    console.print()
    say(console, "Strategies of budget kind distinct that choose once or in rounds also take:")
    for key, words in COMPOSITION.items():
        say(console, f"    {key}: {words}")


def print_signals(rows: Iterable[Mapping[str, str]]) -> None:
    """Print every signal: what it is, the runs that train for it, its scorer, its price."""
    console = Console()
    _print_entries(console, rows, "description")
    console.print()
    say(console, "shapes: n examples, m proxies, t checkpoints, C classes, d numbers of an embedding")


def _print_entries(console: Console, rows: Iterable[Mapping[str, Any]], headline: str) -> None:
    for row in rows:
        console.print(Text.assemble(text(row["name"], "bold"), "  ", text(row[headline])), soft_wrap=True)
        for key, value in row.items():
            if key not in ("name", headline) and value:
                say(console, f"    {key}: {value}")


def print_scores(entries: Sequence[StoreEntry], size_bytes: int, folder: Path) -> None:
    """Print what a score store holds: key, scorer, rows, size, and what computing it took; a line a signal.

    A narrow terminal shows the beginnings of keys, which `scores rm` takes, and of parameters.
    """
    console = Console()
    rows = [_cells(entry) for entry in entries]
    key = _shortest_keys([entry.key for entry in entries])
    room = console.width - key - _BETWEEN * len(_SCORES) - sum(_widths(rows)[1:-1])
    if room >= _WHOLE_KEY - key + _WORDS:
        room, key = room - (_WHOLE_KEY - key), _WHOLE_KEY
    table = Table(box=None, padding=(0, _BETWEEN, 0, 0), pad_edge=False, header_style="bold")
    for column in _SCORES:
        table.add_column(column, justify="right" if column in ("rows", "size", "seconds") else "left")
    for cells in rows:
        table.add_row(*map(text, [cells[0][:key], *cells[1:-1], shorten(cells[-1], max(room, _WORDS // 2))]))
    console.print(table)
    say(console, f"{len(entries)} signals, {size_bytes / _MIB:,.1f} MiB in {folder}")


def print_cache(parts: Iterable[Mapping[str, Any]], size_bytes: int, folder: Path) -> None:
    """Print what the cache holds: a line for each part that is not empty."""
    console = Console()
    table = Table(box=None, padding=(0, _BETWEEN, 0, 0), pad_edge=False, header_style="bold")
    for column in ("part", "entries", "size", "last used", "holds"):
        table.add_column(column, justify="right" if column in ("entries", "size") else "left")
    for part in parts:
        if part["used"] is not None:
            day = time.strftime("%Y-%m-%d", time.localtime(part["used"]))
            size = f"{part['size_bytes'] / _MIB:,.1f} MiB"
            table.add_row(*map(text, (part["name"], f"{part['num_entries']:,}", size, day, part["holds"])))
    console.print(table)
    say(console, f"{size_bytes / _MIB:,.1f} MiB in {folder}")


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(_SCORES, *rows, strict=True)]


def _cells(entry: StoreEntry) -> list[str]:
    done = entry.completion
    identity = {key: value for key, value in entry.identity.items() if key not in ("scorer", "data")}
    return [
        entry.key,
        str(entry.identity.get("scorer", "?")),
        f"{done['num_rows']:,}" if done else "unfinished",
        f"{entry.size_bytes / _MIB:,.1f} MiB",
        f"{done['seconds']:,.1f}" if done else "",
        ", ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in identity.items()),
    ]


def _shortest_keys(keys: Sequence[str]) -> int:
    """Return how many characters of each key tell them all apart, eight at least."""
    return next((n for n in range(8, _WHOLE_KEY) if len({key[:n] for key in keys}) == len(keys)), _WHOLE_KEY)
