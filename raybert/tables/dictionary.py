"""All tables whose columns are declared, and the dictionary of columns that the documentation shows."""

from __future__ import annotations

from dataclasses import dataclass

from raybert.tables.comparison import (
    AGREEMENT,
    AS_GOOD_AS_ALL,
    COMPARISONS,
    EQUAL_COST,
    LETTERS,
    OVERLAP,
    PAIRS,
    PER_PASS,
    SUMMARY,
)
from raybert.tables.cost import BUDGET_CURVE, COST_TO_REACH, PARETO
from raybert.tables.every_metric import EXTRA_TESTS, METRIC_MEANS, METRICS_PER_TRIAL
from raybert.tables.monitor import MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES
from raybert.tables.reports import ERRORS, ESTIMATE
from raybert.tables.runs import EVALUATIONS, LOSSES, PREDICTIONS, SELECTION, TRIALS
from raybert.tables.schema import TYPE_WORDS, Table
from raybert.tables.search import BEST_CONFIGURATIONS, HISTORY, IMPORTANCES, NEAR_BEST, PRUNING, SUGGESTIONS
from raybert.tables.subsets import (
    CONFLICTS,
    EXAMPLES,
    HELD_OUT,
    PLANTED,
    POOL,
    SELECTED_CLASSES,
    SELECTED_LENGTH_QUANTILES,
    SELECTED_LENGTHS,
)

_COMPARISON = (
    TRIALS,
    EVALUATIONS,
    SUMMARY,
    COMPARISONS,
    AS_GOOD_AS_ALL,
    LETTERS,
    METRIC_MEANS,
    EXTRA_TESTS,
    METRICS_PER_TRIAL,
    PER_PASS,
    PAIRS,
    EQUAL_COST,
    PARETO,
    COST_TO_REACH,
    BUDGET_CURVE,
    OVERLAP,
    AGREEMENT,
)
_SUBSETS = (SELECTED_CLASSES, SELECTED_LENGTHS, SELECTED_LENGTH_QUANTILES, PLANTED, EXAMPLES)
_SEARCH = (SUGGESTIONS, BEST_CONFIGURATIONS, NEAR_BEST, IMPORTANCES, PRUNING, HISTORY)
_OF_A_RUN = (SELECTION, LOSSES, PREDICTIONS, CONFLICTS, MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES)
TABLES = {
    table.name: table for table in (*_COMPARISON, *_SUBSETS, ERRORS, ESTIMATE, *_SEARCH, *_OF_A_RUN, POOL, HELD_OUT)
}
"""By name, in the order of the documentation."""

_GRID, _TUNED = "<varied>", "<tuned>"
"""Stand in the order for columns that every sweep has of its own."""


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


def _but(table: Table) -> str:
    """Return which varied hyperparameters are no columns of a table, in words."""
    return "".join(f"; not `{key}`" for key in table.grid_without)


def describe_columns(table: Table) -> list[Entry]:
    """Return the dictionary of a table's columns, in order; those that only some sweeps have come last."""
    entries = {
        column.name: Entry(column.name, TYPE_WORDS[column.kind], column.unit, column.description) for column in table
    }
    own = {
        _GRID: Entry("<dotted key>", "of its values", "", f"a varied hyperparameter, a column for each{_but(table)}"),
        _TUNED: Entry("<dotted key>", "of its values", "", "a tuned parameter, a column for each"),
    }
    order = [*table.order([_GRID], [_TUNED]), *(column.name for column in table.further)]
    return [(entries | own)[name] for name in order]
