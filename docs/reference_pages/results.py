"""The page of the results folder: its files, and a dictionary of the columns of its tables."""

from __future__ import annotations

from collections.abc import Iterable

from raybert.sweeping.folder.contents import Content, sections
from raybert.tables import RENAMED_COLUMNS, RENAMED_TABLES, TABLES, Table, describe_columns
from raybert.tables.evaluation import OF_COMMANDS
from reference_pages.markdown import code, page, table

INTRODUCTION = """
What is in `runs/<name>/`, or where `--output` says. Tables in `results/` are parquet and csv, or csv alone; which table
answers which question: [Read the results](../how-to/results.md). `raybert.load_sweep(folder)` gives data frames.

Tables, plots and the best model can be deleted: `raybert report` writes them again from the rest.
"""


def results_page() -> str:
    """Return the files of a results folder and the columns of its tables."""
    parts = []
    for title, files in sections().items():
        parts += [f"## {title}", _tables() if title == "Tables" else _files(file for file in files if file.is_lasting)]
    passing = [file for files in sections().values() for file in files if not file.is_lasting]
    parts += ["## While it runs", "What is left of these belongs to a process that was killed:", _files(passing)]
    for columns in (*TABLES.values(), *OF_COMMANDS.values()):
        parts += [f"## Columns of {columns.name}", f"A row is {columns.description}.", _dictionary(columns)]
    renamed = [(code(old), code(new)) for old, new in {**RENAMED_TABLES, **RENAMED_COLUMNS}.items()]
    parts += [
        "## Old names",
        "Of tables and columns. Folders of raybert 0.1 are read as they are, and shown by the new names.",
    ]
    return page("The results folder", INTRODUCTION, *parts, table(["name in raybert 0.1", "name now"], renamed))


def _files(files: Iterable[Content]) -> str:
    return table(["path", "holds"], [(code(file.path), file.description) for file in files])


def _tables() -> str:
    rows = [
        (
            f"[`results/{one.name}`](#columns-of-{one.name})",
            ", ".join(code(suffix) for suffix in one.suffixes),
            one.description,
        )
        for one in TABLES.values()
        if one.suffixes
    ]
    notes = ("`results/notes`", code(".txt"), "a note: what a reader of the tables should know")
    texts = (
        "`results/summaries/<strategy>`",
        code(".txt"),
        "no row, but a text: metrics, comparisons, cost, evaluations",
    )
    pasted = (
        "`results/metrics`",
        code(".md"),
        "no row, but Markdown: metrics of validation and test, mean ± deviation",
    )
    return table(["table", "files", "a row is"], [*rows, pasted, notes, texts])


def _dictionary(columns: Table) -> str:
    rows = [(code(entry.name), entry.type, entry.unit, entry.description) for entry in describe_columns(columns)]
    return table(["column", "type", "unit", "is"], rows)
