"""What a page is made of, ready to be shown: sections, tables of cells with the values they sort by, pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from raybert.analysis.report.swatches import Swatch
from raybert.display import TextTable

Kind = Literal["words", "number", "text", "long"]
_NUMBER = re.compile(r"([+-]?[\d,]*\.?\d+)([kMG]?)(?=$|[\s%\[!]|, )")
_SMALL, _WIDE, _WIDE_RATIO = 1000, 1150, 2.2
"""Pixels of the width of a picture, of which an inch has 150 (and width by height): letters of a small one are read on
a phone, those of a wide one not in half of the page."""
_SIZES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Head:
    """A column.

    Attributes:
        title: its name on the page.
        kind: words and numbers sort and stand differently; a text is of the data, what is long is broken into lines.
    """

    title: str
    kind: Kind = "words"


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what is shown.
        value: what it sorts by, if it is a number; "" is a number that is not there; None: it sorts by its text.
        style: good, bad, dim or strong.
        swatch: the colour and marker of a strategy.
    """

    text: str
    value: float | str | None = None
    tone: str = ""
    style: Swatch | None = None

    def classes(self, column: Head) -> str:
        """Return the classes of the cell in its column."""
        kind = {"number": "n", "text": "text", "long": "long"}.get(column.kind, "")
        return " ".join(part for part in (kind, self.tone) if part)


@dataclass(frozen=True)
class PageRow:
    """A row.

    Attributes:
        cells: one for each column; the first one names the row.
        style: of the whole row.
        keys: name -> what the boxes above the table choose rows by.
    """

    cells: tuple[Cell, ...]
    style: str = ""
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PageTable:
    """A table.

    Attributes:
        id: of its caption on the page.
        caption: what it shows.
        columns: their heads.
        rows: in the order in which they stand before anybody sorts.
        filter: words of the box that finds rows; empty: there is none.
        left_out: what it does not show, and where that is.
        is_tall: whether it scrolls in a window of its own.
    """

    id: str
    caption: str
    columns: tuple[Head, ...]
    rows: tuple[PageRow, ...]
    filter: str = ""
    left_out: str = ""
    is_tall: bool = False


@dataclass(frozen=True)
class Picture:
    """A plot.

    Attributes:
        title: its name.
        caption: what it shows.
        alt: what somebody reads who does not see it.
        source: the picture itself, as a `data:` URL.
        width: in pixels.
        height: in pixels.
        file: where it is in the results folder.
    """

    title: str
    caption: str
    alt: str
    source: str
    width: int
    height: int
    file: str

    @property
    def size(self) -> str:
        """`small`: a phone shows it whole; `wide`: half of the page is too narrow for its panels; else nothing."""
        if self.width <= _SMALL:
            return "small"
        return "wide" if self.width > min(_WIDE, _WIDE_RATIO * self.height) else ""


@dataclass(frozen=True)
class Group:
    """The examples of a strategy: `table`, behind a line that opens it."""

    title: str
    words: str
    table: PageTable
    style: Swatch | None = None
    is_open: bool = False


@dataclass(frozen=True)
class Block:
    """A text or a table that most people skip, behind a line that opens it."""

    title: str
    text: str = ""
    table: PageTable | None = None
    is_open: bool = False


@dataclass(frozen=True)
class FailureWords:
    """A distinct error: what it was, how often, and how to see it again."""

    title: str
    message: str
    lines: tuple[str, ...]
    log: str
    command: str


@dataclass(frozen=True)
class Section:
    """A part of the page; what it has none of is left away."""

    id: str
    title: str
    words: tuple[str, ...] = ()
    first_pictures: tuple[Picture, ...] = ()
    tables: tuple[PageTable, ...] = ()
    below: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    failures: tuple[FailureWords, ...] = ()
    pictures: tuple[Picture, ...] = ()
    blocks: tuple[Block, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        parts = (self.words, self.first_pictures, self.tables, self.groups, self.failures, self.pictures, self.blocks)
        return not any(parts)


def number_cell(value: Any, text: str, tone: str = "") -> Cell:
    """Return a cell that sorts by its number; of a missing one the cell is empty."""
    if value is None or pd.isna(value):
        return Cell("", "", tone)
    number = float(value)
    return Cell(text, "" if math.isnan(number) else number, tone)


def plain_number(value: Any) -> Cell:
    """Return a cell of a number in as few letters as say it."""
    if value is None or pd.isna(value):
        return Cell("", "")
    number = float(value)
    return number_cell(number, f"{number:,.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:,.4g}")


def leading_number(text: str) -> float | None:
    """Return the number that a cell of words begins with (`12.8k`, `75.6 [72.5, 78.5]`, `+3.3`); None: it has none."""
    match = _NUMBER.match(text.strip())
    return None if match is None else float(match[1].replace(",", "")) * _SIZES[match[2]]


def _sorts_by(text: str) -> float | str:
    number = leading_number(text)
    return "" if number is None else number


def from_text_table(
    name: str, caption: str, table: TextTable, swatches: Mapping[str, Swatch], **more: Any
) -> PageTable:
    """Return a table of words as it is printed elsewhere, with numbers to sort by.

    Args:
        name: for its id.
        caption: what it shows.
        table: the words.
        swatches: by the text of the first column.
        more: other fields of the table.
    """
    heads = tuple(Head(title, "words" if n in table.left else "number") for n, title in enumerate(table.columns))
    rows = []
    for row in table.rows:
        tones = dict(row.styles)
        padded = (*row.cells, *[""] * (len(heads) - len(row.cells)))
        cells = tuple(
            Cell(
                text,
                None if head.kind == "words" else _sorts_by(text),
                tones.get(number, ""),
                swatches.get(text) if number == 0 else None,
            )
            for number, (text, head) in enumerate(zip(padded, heads, strict=True))
        )
        rows.append(PageRow(cells, row.style))
    return PageTable(f"table-{name}", caption, heads, tuple(rows), **more)


def shortened(rows: Sequence[PageRow], most: int, where: str) -> tuple[tuple[PageRow, ...], str]:
    """Return the first rows, and words about those that are left out."""
    if len(rows) <= most:
        return tuple(rows), ""
    return tuple(rows[:most]), f"The first {most:,} of {len(rows):,} rows; {where} has all."
