"""The tables that put cost beside quality: what reaches the quality of full training first, and for what."""

from __future__ import annotations

from raybert.tables.comparison import interval_columns
from raybert.tables.runs import TRIALS
from raybert.tables.schema import Table, computed

_CONFIGURATION = tuple(TRIALS[name] for name in ("strategy", "role", "budget_kind", "budget"))

PARETO = Table(
    "pareto",
    "a configuration on or behind the Pareto front of the metric on test and the cost, the cheapest first",
    (
        computed("front", "text", "of what: `all budgets`, or one: with it stands what has no budget, too"),
        computed("cost", "text", "what is counted: `examples` (as in `total_examples`), or `seconds`"),
        *_CONFIGURATION,
        computed("metric", "text", "the metric: the sweep's `train.best_metric`"),
        computed("spent", "number", "mean cost of a trial, signals included, in examples or seconds"),
        computed("mean", "number", "mean of the metric on test over seeds (or folds)"),
        computed(
            "place",
            "text",
            "`front`: better than all that costs no more, the 95 % interval of the difference has no zero in it (or "
            "nothing costs as little); `front by the means`: better, or as good for the same cost, but not surely; "
            "`behind by the means`, `behind`: something that costs no more is better, or as good for less",
        ),
        computed("beside", "text", "configuration of the best that costs no more; empty: nothing else costs as little"),
        *interval_columns("difference", "difference", "the paired difference of the metric to that one"),
        computed("num_pairs", "whole", "pairs of the two (the same seed and fold)"),
        computed("num_replicates", "whole", "what the difference is over: seeds, or folds (means of their pairs)"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
)
