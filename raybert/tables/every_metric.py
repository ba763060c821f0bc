"""The tables of every metric of held-out examples: of each trial, and as means with deviations over seeds or folds."""

from __future__ import annotations

from raybert.config.metrics import METRICS
from raybert.config.tasks import CLASSIFICATION
from raybert.tables.runs import TRIALS
from raybert.tables.schema import Column, Table, computed

MOST_PROBABLE, BEST_F1 = "most probable", "best F1 on validation"
"""How a class is decided: the most probable one, or class 1 of two from a threshold that the validation split chose."""
_SPLIT = computed("split", "text", "validation, test, or the name of a further test set (`data.extra_tests`)")
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

EXTRA_TESTS = Table(
    "extra_tests",
    "a configuration on a further test set (`data.extra_tests`), beside a baseline that it is compared with",
    (
        computed("test", "text", "name of the test set"),
        *(TRIALS[name] for name in ("strategy", "role", "budget_kind", "budget")),
        computed("metric", "text", "what is measured: `train.best_metric`"),
        computed("num_replicates", "whole", "what it is over: seeds, or folds (each the mean of its seeds)"),
        computed("mean", "number", "mean of the metric on the test set"),
        computed("std", "number", "standard deviation (ddof 1)"),
        computed(
            "low", "number", "lower end of the 95 % interval of the mean; NaN: fewer than 3 replicates, or all equal"
        ),
        computed("high", "number", "upper end"),
        computed("test_mean", "number", "the mean on the test split of the data"),
        computed("baseline", "text", "what it is compared with; empty: nothing"),
        computed("difference", "number", "mean of the paired difference to that, on the test set"),
        computed("difference_std", "number", "its standard deviation (ddof 1)"),
        computed("difference_low", "number", "lower end of its 95 % interval"),
        computed("difference_high", "number", "upper end"),
        computed("p", "number", "p-value of the difference, two-sided paired t-test"),
        computed(
            "holm_p", "number", "the same with Holm's correction over all that is compared with it on this test set"
        ),
        computed("verdict", "text", "as in `comparisons`, on this test set alone"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
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
