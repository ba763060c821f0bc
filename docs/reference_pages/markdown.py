"""Small pieces of Markdown: tables, code, and docstrings as text."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

NOTICE = "<!-- Written by docs/reference_pages from the code of raybert: change it there. -->\n"


def page(title: str, *parts: str) -> str:
    """Return a page: a title, then its parts with an empty line between them."""
    return "\n\n".join([NOTICE.strip(), f"# {title}", *(part.strip() for part in parts if part.strip())]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; a bar in a cell is escaped, a line break becomes a space."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def code(value: Any) -> str:
    """Return text in backticks, or nothing for nothing."""
    return f"`{value}`" if str(value) else ""


def doc_body(thing: Any) -> str:
    """Return a docstring without its first line and its sections (`Args:`, `Source:`, ...)."""
    text = inspect.cleandoc(thing.__doc__ or "")
    body = text.partition("\n")[2]
    return re.split(r"\n(?:Args|Returns|Raises|Attributes|Source|Columns):", body)[0].strip()


def doc_summary(thing: Any) -> str:
    """Return the first line of a docstring."""
    return inspect.cleandoc(thing.__doc__ or "").partition("\n")[0]


def doc_source(thing: Any) -> str:
    """Return what a docstring says after `Source:`, on one line, or nothing."""
    found = re.search(r"^Source: (.*?)(?:\n\n|\Z)", inspect.cleandoc(thing.__doc__ or ""), re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _cell(value: Any) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(str(value).split()))
