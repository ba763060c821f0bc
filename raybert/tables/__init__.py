"""The columns of all results, declared once: what writes, types, lists or explains a column reads them here."""

from raybert.tables.comparison import AGREEMENT, BASELINES, COMPARED, COSTS, EQUAL_COST, OVERLAP, SUMMARIZED, SUMMARY
from raybert.tables.dictionary import TABLES, Entry, describe_columns
from raybert.tables.monitor import MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES
from raybert.tables.renamed import RENAMED_COLUMNS, RENAMED_PLOTS, RENAMED_TABLES, with_new_names
from raybert.tables.reports import ERRORS, ESTIMATE
from raybert.tables.runs import EVALUATIONS, LOSSES, PLANNED, PREDICTIONS, RAN_ON, SELECTION, TRIAL_KEYS, TRIALS
from raybert.tables.schema import Column, Table
from raybert.tables.search import BEST_CONFIGURATIONS, HISTORY, IMPORTANCES, NEAR_BEST, PRUNING, SUGGESTIONS
from raybert.tables.subsets import (
    CONFLICTS,
    HELD_OUT,
    POOL,
    SELECTED_CLASSES,
    SELECTED_LENGTH_QUANTILES,
    SELECTED_LENGTHS,
)

__all__ = [
    "AGREEMENT",
    "BASELINES",
    "BEST_CONFIGURATIONS",
    "COMPARED",
    "CONFLICTS",
    "COSTS",
    "EQUAL_COST",
    "ERRORS",
    "ESTIMATE",
    "EVALUATIONS",
    "HELD_OUT",
    "HISTORY",
    "IMPORTANCES",
    "LOSSES",
    "MONITOR",
    "MONITOR_HISTOGRAMS",
    "MONITOR_SPIKES",
    "NEAR_BEST",
    "OVERLAP",
    "PLANNED",
    "POOL",
    "PREDICTIONS",
    "PRUNING",
    "RAN_ON",
    "RENAMED_COLUMNS",
    "RENAMED_PLOTS",
    "RENAMED_TABLES",
    "SELECTED_CLASSES",
    "SELECTED_LENGTHS",
    "SELECTED_LENGTH_QUANTILES",
    "SELECTION",
    "SUGGESTIONS",
    "SUMMARIZED",
    "SUMMARY",
    "TABLES",
    "TRIALS",
    "TRIAL_KEYS",
    "Column",
    "Entry",
    "Table",
    "describe_columns",
    "with_new_names",
]
