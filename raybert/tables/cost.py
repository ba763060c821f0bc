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

COST_TO_REACH = Table(
    "cost_to_reach",
    "a configuration and a share of what `all` reaches on validation: what it has spent when it is there",
    (
        *_CONFIGURATION,
        computed("share", "number", "of the best evaluation of `all` with the same seed, fold and grid point"),
        computed("cost", "text", "what is counted: `examples` (as in `total_examples`), or `seconds`"),
        computed("metric", "text", "the metric on validation: `train.best_metric`"),
        computed(
            "target", "number", "mean of what is to be reached; of a loss the value of `all` divided by the share"
        ),
        computed("num_pairs", "whole", "finished runs that have one of `all` beside them"),
        computed("num_reached", "whole", "those that reach the target"),
        computed("num_at_first", "whole", "those that are there at their first evaluation: its cost is an upper bound"),
        computed("num_trivial", "whole", "pairs whose target always saying the most frequent class reaches"),
        computed("num_replicates", "whole", "what means are over: seeds, or folds (means of their runs)"),
        computed(
            "spent_median",
            "number",
            "median of what runs have spent when they are there, signals included; one that is never there counts as "
            "dearer than any; missing: half or more are not",
        ),
        *interval_columns("spent", "spent", "the same; only where every run has reached the target: what they spend"),
        computed("spent_fraction_of_all_median", "number", "median of the same as a share of what `all` has spent"),
        *interval_columns(
            "spent_fraction_of_all",
            "spent_fraction_of_all",
            "the same as a share of what `all` of the pair has spent when it is there",
        ),
        computed("full_configuration", "text", "configuration of `all`"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
)

BUDGET_CURVE = Table(
    "budget_curve",
    "a strategy with several budgets: the area under its curve of the metric on test against the budget",
    (
        TRIALS["strategy"],
        TRIALS["budget_kind"],
        computed("metric", "text", "the metric on test: `train.best_metric`"),
        computed("budgets", "counts", "the budgets of the curve", "examples"),
        computed("folds", "whole", "m of the cross-validation; 1: none"),
        computed("num_replicates", "whole", "what means are over: seeds (or folds) that are finished at all budgets"),
        *interval_columns(
            "area", "area", "the area over the logarithm of the budget, divided by its length: the mean height"
        ),
        computed("baseline", "text", "strategy whose curve it is compared with; empty: none over the same budgets"),
        computed("num_pairs", "whole", "pairs of the two curves (the same seed and fold)"),
        *interval_columns("difference", "difference", "the paired difference of the area to the baseline"),
        computed("p", "number", "p-value of it, two-sided paired t-test"),
        computed("holm_p", "number", "the same with Holm's correction over all curves with this baseline"),
    ),
    grid_after="budget_kind",
    grid_without=("selection.budget",),
    suffixes=(".parquet", ".csv"),
)
