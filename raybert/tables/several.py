"""The tables of several sweeps beside each other: `raybert.load_sweeps`, `raybert compare`."""

from __future__ import annotations

from raybert.tables.runs import TRIALS
from raybert.tables.schema import Table, computed

OF_SWEEPS = (
    computed("sweep", "text", "label of the sweep: its name, or what of its path tells it from the others"),
    computed("data", "text", "its data: `data.source`"),
    computed("encoder", "text", "its encoder: `model.encoder`"),
)
"""Columns in front of every table of several sweeps."""

COMPARED_SWEEPS = Table(
    "compared",
    "a strategy (at a point of the grid) in one of several sweeps: a cell of what `raybert compare` prints",
    (
        *OF_SWEEPS,
        computed("row", "text", "the strategy, with what varies of the grid"),
        computed("at", "text", "its budget where sweeps have several: examples, or a share of the pool"),
        TRIALS["strategy"],
        TRIALS["budget"],
        computed("metric", "text", "what is compared on test"),
        computed("num_replicates", "whole", "what the mean is over: seeds, or folds"),
        computed("num_failed", "whole", "runs of it that failed, and are left out"),
        computed("mean", "number", "mean of the metric"),
        computed("low", "number", "lower end of its 95 % interval; NaN: fewer than 3 replicates, or all equal"),
        computed("high", "number", "upper end"),
        computed("baseline", "text", "what it is compared with inside of its sweep; empty: nothing"),
        computed("difference", "number", "mean of the paired difference to that"),
        computed("holm_p", "number", "p-value of it, with Holm's correction inside of its sweep"),
        computed("verdict", "text", "as in `comparisons` of its sweep"),
        TRIALS["configuration"],
    ),
    suffixes=(".csv",),
)

MEAN_RANKS = Table(
    "mean_ranks",
    "a strategy among those with the same budget, over data sets",
    (
        computed("at", "text", "the budget; empty: sweeps have one each"),
        computed("row", "text", "the strategy, with what varies of the grid"),
        computed("mean_rank", "number", "mean of its ranks, 1 = best; equal values share the mean of theirs"),
        computed("num_data_sets", "whole", "data sets behind it: those where every one of the strategies has finished"),
        computed("num_strategies", "whole", "strategies that are ranked"),
        computed("friedman_p", "number", "p-value of no difference; NaN: fewer than 5 data sets or 3 strategies"),
        computed("critical_difference", "number", "by how much two mean ranks must differ (Nemenyi, 5 %)"),
        computed("baseline", "text", "what it is compared with"),
        computed("holm_p", "number", "p-value of the difference to that, with Holm's correction"),
        computed("verdict", "text", "better, worse, no difference shown or not compared: both tests at 5 %"),
    ),
    suffixes=(".csv",),
)
