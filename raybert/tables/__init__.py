"""The columns of all results, declared once: what writes, types, lists or explains a column reads them here."""

from raybert.tables.comparison import BASELINES, COMPARED, COSTS, EQUAL_COST, OVERLAP, SUMMARIZED, SUMMARY
from raybert.tables.dictionary import TABLES, Entry, describe_columns
from raybert.tables.renamed import RENAMED_COLUMNS, RENAMED_PLOTS, RENAMED_TABLES, with_new_names
from raybert.tables.runs import EVALUATIONS, LOSSES, PREDICTIONS, SELECTION, TRIAL_KEYS, TRIALS
from raybert.tables.schema import Column, Table

__all__ = [
    "BASELINES",
    "COMPARED",
    "COSTS",
    "EQUAL_COST",
    "EVALUATIONS",
    "LOSSES",
    "OVERLAP",
    "PREDICTIONS",
    "RENAMED_COLUMNS",
    "RENAMED_PLOTS",
    "RENAMED_TABLES",
    "SELECTION",
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
