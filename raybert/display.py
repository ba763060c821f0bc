"""Tables as lines of text and as HTML: how values show themselves in a console and in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raybert.plain import printable

if TYPE_CHECKING:
    import pandas as pd

Style = Literal["", "good", "bad", "dim", "strong"]

_CSS = {"": "", "good": "color:#1a7f37", "bad": "color:#cf222e", "dim": "opacity:0.6", "strong": "font-weight:bold"}
_CELL = "padding:0.15em 0.7em 0.15em 0;border:none;background:none"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: may be fewer than there are columns.
        style: of the whole row.
        styles: of some cells, by column.
    """

    cells: tuple[str, ...]
    style: Style = ""
    styles: tuple[tuple[int, Style], ...] = ()


@dataclass(frozen=True)
class TextTable:
    """A table of words and numbers, ready to be shown.

    Attributes:
        columns: their names.
        rows: in the order to show them.
        left: columns of words, aligned at their left; numbers are aligned at their right.
        spare: columns that a narrow place does without, the first ones first.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left: frozenset[int] = frozenset({0})
    spare: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Let no name or value act on a terminal, before widths are counted."""
        rows = tuple(replace(row, cells=tuple(map(printable, row.cells))) for row in self.rows)
        object.__setattr__(self, "columns", tuple(map(printable, self.columns)))
        object.__setattr__(self, "rows", rows)

    def within(self, width: int, gap: int = 1) -> TextTable:
        """Return the table with as many of its columns as fit into so many letters, a gap between two of them."""
        table = self
        while table.spare and sum(table.widths()) + gap * (len(table.columns) - 1) > width:
            table = table.without(table.spare[0])
        return table

    def widths(self) -> list[int]:
        """Return how many letters each column takes."""
        return [max(map(len, column)) for column in zip(*self._lines(), strict=True)]

    def without(self, column: int) -> TextTable:
        """Return the table without a column, by its number."""

        def kept(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(value for number, value in enumerate(values) if number != column)

        rows = tuple(
            replace(
                row,
                cells=kept(row.cells),
                styles=tuple((n - (n > column), style) for n, style in row.styles if n != column),
            )
            for row in self.rows
        )
        left = frozenset(number - (number > column) for number in self.left if number != column)
        spare = tuple(number - (number > column) for number in self.spare if number != column)
        return replace(self, columns=kept(self.columns), rows=rows, left=left, spare=spare)

    def _lines(self) -> list[tuple[str, ...]]:
        return [self.columns, *((*row.cells, *[""] * (len(self.columns) - len(row.cells))) for row in self.rows)]

    def __str__(self) -> str:
        lines, widths = self._lines(), self.widths()
        return "\n".join(
            " ".join(
                cell.ljust(width) if number in self.left else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th style='{self._align(n)};{_CELL}'>{escape(name)}</th>" for n, name in enumerate(self.columns)
        )
        body = "".join(
            f"<tr style='{_CSS[row.style]};background:none'>{self._html_cells(row)}</tr>" for row in self.rows
        )
        return f"<table style='border:none'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _html_cells(self, row: Row) -> str:
        styles = dict(row.styles)
        return "".join(
            f"<td style='{self._align(n)};{_CSS[styles.get(n, '')]};{_CELL}'>{escape(cell)}</td>"
            for n, cell in enumerate(row.cells)
        )

    def _align(self, column: int) -> str:
        return "text-align:left" if column in self.left else "text-align:right;font-variant-numeric:tabular-nums"


def html_section(title: str, facts: Iterable[str] = (), *parts: str, notes: Iterable[str] = ()) -> str:
    """Return a value as HTML.

    Args:
        title: its name; escaped, like facts and notes.
        facts: what it is, behind the title.
        parts: HTML: tables and images.
        notes: what to know of it, a line each.
    """
    head = f"<div><b>{escape(title)}</b> <span style='opacity:0.7'>{escape(', '.join(facts))}</span></div>"
    lines = "".join(f"<div style='opacity:0.7;font-size:90%'>{escape(note)}</div>" for note in notes)
    return f"<div>{head}{''.join(parts)}{lines}</div>"


def html_frame(frame: pd.DataFrame, *, index: bool = False) -> str:
    """Return a table of data as HTML, its numbers short."""
    return frame.to_html(index=index, border=0, na_rep="", float_format="{:,.4g}".format, justify="right")


def html_image(path: Path, alt: str) -> str:
    """Return a PNG file as HTML that holds it; nothing where there is no such file."""
    if not path.is_file():
        return ""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"<img alt='{escape(alt)}' style='max-width:640px;width:100%' src='data:image/png;base64,{content}'>"
