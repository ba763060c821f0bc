"""The tables of every metric of held-out examples: of each trial, and as means with deviations over seeds or folds."""

from __future__ import annotations

from raybert.config.metrics import METRICS
from raybert.config.tasks import CLASSIFICATION
from raybert.tables.runs import TRIALS
from raybert.tables.schema import Column, Table, computed

MOST_PROBABLE, BEST_F1 = "most probable", "best F1 on validation"
"""How a class is decided: the most probable one, or class 1 of two from a threshold that the validation split chose."""
_SPLIT = computed("split", "text", "validation or test")
_DECISION = computed(
    "decision",
    "text",
    f"`{MOST_PROBABLE}` class, or of two classes class 1 from the threshold with the `{BEST_F1}` of the same run; "
    "of several labels each by 0.5, or by its own threshold with the highest F1 on validation",
)

METRICS_PER_TRIAL = Table(
    "metrics_per_trial",
    "a split of a complete trial (or proxy) and a way to decide: every metric, from the kept predictions",
    (
        *(TRIALS[name] for name in ("trial_id", "strategy", "seed", "fold", "budget")),
        _SPLIT,
        _DECISION,
        computed(
            "threshold", "number", "from which probability of class 1 on it is predicted; NaN: the most probable is"
        ),
        computed("num_examples", "whole", "examples of the split", "examples"),
        *(
            Column(metric.name, "number", f"{metric.words}: {metric.description}", origin="tables", optional=True)
            for metric in METRICS.values()
            if CLASSIFICATION in metric.tasks
        ),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
    further=(
        *(
            Column(metric.name, "number", f"{metric.words}: {metric.description}", origin="tables", optional=True)
            for metric in METRICS.values()
            if CLASSIFICATION not in metric.tasks
        ),
        Column("<own metric>", "number", "a metric of `train.metrics`, as the run measured it", optional=True),
    ),
)

METRIC_MEANS = Table(
    "metrics",
    "a metric of a configuration on a split, by a way to decide: its mean and deviation over seeds (or folds)",
    (
        *(TRIALS[name] for name in ("strategy", "role", "budget_kind", "budget")),
        _SPLIT,
        _DECISION,
        computed("metric", "text", "its name; `threshold`: that of the decision"),
        computed(
            "num_replicates", "whole", "what it is over: seeds, or folds (each the mean of its seeds) that define it"
        ),
        computed("mean", "number", "mean of the metric"),
        computed("std", "number", "standard deviation (ddof 1)"),
        computed(
            "low", "number", "lower end of the 95 % interval of the mean; NaN: fewer than 3 replicates, or all equal"
        ),
        computed("high", "number", "upper end"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
)
