"""The columns of all results, declared once: what writes, types, lists or explains a column reads them here."""

from raybert.tables.comparison import (
    AGREEMENT,
    BASELINES,
    COMPARED,
    COMPARISONS,
    COSTS,
    EQUAL_COST,
    FRACTIONS,
    OF_ALL,
    OVERLAP,
    PER_PASS,
    SPREAD_PER_PASS,
    SUMMARIZED,
    SUMMARY,
)
from raybert.tables.cost import BUDGET_CURVE, COST_TO_REACH, PARETO
from raybert.tables.dictionary import TABLES, Entry, describe_columns
from raybert.tables.every_metric import BEST_F1, METRIC_MEANS, METRICS_PER_TRIAL, MOST_PROBABLE
from raybert.tables.monitor import MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES
from raybert.tables.renamed import RENAMED_COLUMNS, RENAMED_PLOTS, RENAMED_TABLES, with_new_names
from raybert.tables.reports import ERRORS, ESTIMATE
from raybert.tables.runs import EVALUATIONS, LOSSES, PLANNED, PREDICTIONS, RAN_ON, SELECTION, TRIAL_KEYS, TRIALS
from raybert.tables.schema import Column, Table, own_metric_columns
from raybert.tables.search import BEST_CONFIGURATIONS, HISTORY, IMPORTANCES, NEAR_BEST, PRUNING, SUGGESTIONS
from raybert.tables.subsets import (
    CONFLICTS,
    EXAMPLES,
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
    "BEST_F1",
    "BUDGET_CURVE",
    "COMPARED",
    "COMPARISONS",
    "CONFLICTS",
    "COSTS",
    "COST_TO_REACH",
    "EQUAL_COST",
    "ERRORS",
    "ESTIMATE",
    "EVALUATIONS",
    "EXAMPLES",
    "FRACTIONS",
    "HELD_OUT",
    "HISTORY",
    "IMPORTANCES",
    "LOSSES",
    "METRICS_PER_TRIAL",
    "METRIC_MEANS",
    "MONITOR",
    "MONITOR_HISTOGRAMS",
    "MONITOR_SPIKES",
    "MOST_PROBABLE",
    "NEAR_BEST",
    "OF_ALL",
    "OVERLAP",
    "PARETO",
    "PER_PASS",
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
    "SPREAD_PER_PASS",
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
    "own_metric_columns",
    "with_new_names",
]
