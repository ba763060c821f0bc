"""The page of what `--json` prints: a section per document, with its keys."""

from __future__ import annotations

import re

from raybert.commands.document import FORMAT, Document
from raybert.commands.documents import DOCUMENTS
from raybert.tables import TABLES
from raybert.tables.evaluation import OF_COMMANDS
from reference_pages.markdown import code, page, table

INTRODUCTION = f"""
Every command that prints facts has `--json`: one JSON object on standard output and nothing else there, letters beyond
ASCII escaped. Errors and notes stay on standard error, and exit codes are the same; the progress of `sweep` and
`train` goes there, too. What has no value (NaN, an
infinity, nothing) is `null`.

The first keys of each are `document`, its name, and `format`, {FORMAT}, which is raised when a key goes or means
something else. New keys may come at any time. Rows of a table are objects with its columns: [](results_folder.md).
`raybert schema` prints JSON anyway: that of sweep files and pretraining files.
"""


def json_page() -> str:
    """Return a section for each document."""
    return page("JSON", INTRODUCTION, *(part for document in DOCUMENTS for part in _section(document)))


def _section(document: Document) -> list[str]:
    rows = [(code(key.name), _linked(key.kind), key.description) for key in document.keys]
    return [f"## {document.name}", f"```text\n{document.command}\n```", table(["key", "value", "is"], rows)]


def _linked(kind: str) -> str:
    """Return what a value is; the rows of a table with a link to its columns."""
    found = re.match(r"rows? of (\w+)", kind)
    if found is None or found[1] not in {**TABLES, **OF_COMMANDS}:
        return kind
    return kind.replace(found[1], f"[{found[1]}](results_folder.md#columns-of-{found[1]})", 1)
