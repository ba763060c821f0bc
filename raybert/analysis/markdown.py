"""Values in Markdown: what a label, a class or a path holds is read as it is, and never as a link, a table or HTML."""

from __future__ import annotations

import re

from raybert.display import TextTable
from raybert.plain import hide, printable

_SPECIAL = re.compile(r"([\\*\[\]<>|~])")
_TICKS = re.compile(r"`+")


def words(value: object) -> str:
    """Return a value as words of a line, behind other words; code in it stays code."""
    return _SPECIAL.sub(r"\\\1", _plain(value))


def code(value: object) -> str:
    """Return a value as code in a line."""
    text = _plain(value)
    ticks = "`" * (_longest_run(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}"


def block(text: str, language: str) -> str:
    """Return a text of several lines as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}{fence}"


def table(shown: TextTable) -> str:
    """Return a table; columns of words are aligned at their left."""
    rules = ["---" if number in shown.left else "---:" for number in range(len(shown.columns))]
    rows = [[*row.cells, *[""] * (len(rules) - len(row.cells))] for row in shown.rows]
    lines = [list(map(words, shown.columns)), rules, *(list(map(words, cells)) for cells in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(value: object) -> str:
    return printable(hide(str(value)))


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
