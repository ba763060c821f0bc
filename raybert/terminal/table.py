"""Tables of words and numbers, in as many of their columns as the terminal is wide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table

from raybert.display import TextTable
from raybert.terminal.console import text

_NAME = 18
"""Letters below which names are not folded."""
_STYLES = {"": "", "good": "green", "bad": "red", "dim": "dim", "strong": "bold"}


@dataclass(frozen=True)
class FittingTable:
    """A table that a narrow terminal shows without its spare columns; names are folded before values are cut.

    Attributes:
        table: what it says.
        gap: blanks left of every column.
    """

    table: TextTable
    gap: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        room = _room(self.table, options, self.gap)
        fitting = self.table.within(room)
        fits = sum(fitting.widths()) + len(fitting.columns) - 1 <= room
        table = Table(box=None, padding=(0, 1, 0, self.gap), pad_edge=self.gap > 0, header_style="bold")
        for number, column in enumerate(fitting.columns):
            if number in fitting.left:
                table.add_column(text(column), overflow="fold", min_width=min(_NAME, fitting.widths()[number]))
            else:
                table.add_column(text(column), justify="right", no_wrap=fits)
        for row in fitting.rows:
            styles = dict(row.styles)
            cells = (text(cell, _STYLES[styles.get(number, "")]) for number, cell in enumerate(row.cells))
            table.add_row(*cells, style=_STYLES[row.style])
        yield table


@dataclass(frozen=True)
class WhereShown:
    """What is said of a column of a table, where the terminal is wide enough for that.

    Attributes:
        table: above it.
        column: its name.
        said: of it.
    """

    table: TextTable
    column: str
    said: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if self.column in self.table.within(_room(self.table, options)).columns:
            yield self.said


def _room(table: TextTable, options: ConsoleOptions, gap: int = 0) -> int:
    return options.max_width - gap * len(table.columns)
