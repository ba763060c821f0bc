"""Ways in which rows of separated values are written, and which of them a text unmistakably shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""Separators that are recognised, and what they are called."""


@dataclass(frozen=True)
class Dialect:
    """A way of writing rows.

    Attributes:
        delimiter: between fields.
        has_quotes: whether quotes enclose fields; else they are characters like others.
        skips_blanks: whether blanks after a delimiter do not count.
        escapes: what a backslash escapes: nothing, quotes only, or whatever follows.
    """

    delimiter: str
    has_quotes: bool = True
    skips_blanks: bool = False
    escapes: Literal["none", "quotes", "all"] = "none"

    def notes(self, origin: str, usual: str) -> list[str]:
        """Return what is not as in a plain file of its kind."""
        found = []
        if self.delimiter != usual:
            words = DELIMITERS.get(self.delimiter, f"'{self.delimiter}'")
            found.append(f"{origin}: read as separated by {words}")
        if self.skips_blanks:
            found.append(f"{origin}: blanks after a separator are left out")
        if self.escapes != "none":
            found.append(f"{origin}: a backslash before a quote is read as escaping it")
        if not self.has_quotes:
            found.append(f"{origin}: quotes are read as part of the texts")
        return found


def possible_dialects(text: str, start: int, plain: Dialect) -> Iterator[Dialect]:
    """Yield the ways of writing that the rows may be in, what they unmistakably show first."""
    between = re.escape(plain.delimiter)
    escapes = _escapes(text, start, plain.delimiter)
    # A quote after a backslash that neither ends a field nor doubles: no writer that doubles quotes makes one.
    if escapes != "none" and re.compile(rf'(?<!\\)(?:\\\\)*\\"(?=[^"\r\n{between}])').search(text, start):
        yield replace(plain, escapes=escapes)
    if re.compile(rf'{between} +"(?:[^"\r\n]|""){{0,300}}"(?={between}|[\r\n]|\Z)').search(text, start):
        yield replace(plain, skips_blanks=True)
    yield plain
    if escapes != "none":
        yield replace(plain, escapes=escapes)
    if plain.delimiter == "\t":
        yield replace(plain, has_quotes=False)


def _escapes(text: str, start: int, delimiter: str) -> Literal["none", "quotes", "all"]:
    """Return what backslashes escape, if they do: those of databases everything, those of Spark only quotes."""
    if f"\\{delimiter}" not in text and '\\"' not in text:
        return "none"
    pairs = {found[1] for found in re.compile(r"\\(.)", re.DOTALL).finditer(text, start)}
    if pairs <= {'"', "\\", "\n", "\r", delimiter}:
        return "all"
    return "quotes" if pairs.isdisjoint({"\\", "\n", "\r", delimiter}) else "none"
