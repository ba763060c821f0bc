"""All tables whose columns are declared, and the dictionary of columns that the documentation shows."""

from __future__ import annotations

from dataclasses import dataclass

from raybert.tables.comparison import EQUAL_COST, OVERLAP, SUMMARY
from raybert.tables.runs import EVALUATIONS, LOSSES, PREDICTIONS, SELECTION, TRIALS
from raybert.tables.schema import TYPE_WORDS, Table

TABLES = {
    table.name: table for table in (TRIALS, EVALUATIONS, SUMMARY, OVERLAP, EQUAL_COST, SELECTION, LOSSES, PREDICTIONS)
}
"""By name, in the order of the documentation."""


@dataclass(frozen=True)
class Entry:
    """A line of the dictionary of columns.

    Attributes:
        name: of the column.
        type: in words.
        unit: of its numbers; empty: none.
        description: what a value is.
    """

    name: str
    type: str
    unit: str
    description: str


def describe_columns(table: Table) -> list[Entry]:
    """Return the dictionary of a table's columns, in order; those that only some sweeps have come last."""
    entries = {
        column.name: Entry(column.name, TYPE_WORDS[column.kind], column.unit, column.description) for column in table
    }
    grid = Entry("<dotted key>", "of its values", "", "a varied hyperparameter, a column for each")
    order = [*table.order(["<dotted key>"]), *(column.name for column in table.further)]
    return [entries.get(name, grid) for name in order]
