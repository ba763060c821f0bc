"""The tables that compare configurations: `summary`, and what lies beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from raybert.config.metrics import (
    EVALUATION_METRICS,
    METRICS,
    TRIAL_METRICS,
    evaluation_metrics_of,
    trial_metrics_of,
)
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION
from raybert.tables.runs import EVALUATIONS, PRETRAINING_EXAMPLES, PRETRAINING_SECONDS, TRIALS
from raybert.tables.schema import Column, Table, computed

COMPARED = tuple(f"test_{name}" for name in TRIAL_METRICS)
"""Metrics of which configurations are compared with the baselines; the metric of the sweep is one more."""
BASELINES = ("random", "all")
OF_OTHER_TASKS = tuple(
    f"{split}_{name}"
    for split, task in product(("test", "validation"), (MULTI_LABEL, REGRESSION))
    for name in (trial_metrics_of(task) if split == "test" else evaluation_metrics_of(task))
    if CLASSIFICATION not in METRICS[name].tasks
)
"""Columns of trials of other tasks than classification that are summarized where there are any."""
SUMMARIZED = (*COMPARED, *(f"validation_{name}" for name in EVALUATION_METRICS))
"""Metrics of which there are means and intervals; the metric of the sweep is one more."""
COSTS = (
    "total_examples",
    "signal_examples_seen",
    "train_seconds",
    "selection_seconds",
    "signal_seconds",
    "total_seconds",
    "examples_scored",
    "examples_seen",
    "optimizer_steps",
)

GPU_HOURS = "gpu_hours"
"""One more, where trials have run on GPUs."""

FRACTIONS = ("examples_seen", "total_examples", "train_seconds", "total_seconds")
"""Costs that pairs are compared by, as shares of the baseline's."""

_SHARED = {
    "metric": "the metric on test",
    **{name: f"`{name}`" for name in ("total_examples", "total_seconds", "examples_seen")},
}
"""What the summary has as a share of that of `all`."""
OF_ALL = tuple(_SHARED)
_BUDGET = "selection.budget"
"""No column where rows are of a budget, or of all of them."""
_MARGIN = "`sweep.margin`, in units of the metric: 0.005 is half a point of a share"
_CONFIGURATION = tuple(TRIALS[name] for name in ("strategy", "role", "budget_kind", "budget"))
_COUNTS = {
    "num_trials": "planned trials",
    "num_complete": "complete trials, over which everything here is",
    "num_failed": "failed trials",
    "num_pending": "trials that have not finished",
    "num_seeds": "seeds of the complete trials",
    "num_folds": "folds of the complete trials",
    "folds": "m of the cross-validation; 1: none",
    "num_replicates": "what means are over: seeds, or folds (each the mean of its seeds)",
    "num_collapsed": "trials that never predict a class (`num_never_predicted`)",
    "num_weak": "trials that are hardly better on validation than its most frequent class (`is_weak`)",
}


def _number(name: str, description: str, unit: str = "") -> Column:
    return computed(name, "number", description, unit)


def _text(name: str, description: str) -> Column:
    return computed(name, "text", description)


def _whole(name: str, description: str) -> Column:
    return computed(name, "whole", description)


def interval_columns(name: str, mean: str, of_what: str, unit: str = "") -> Iterator[Column]:
    """Yield the columns of a mean with its deviation and interval."""
    yield _number(mean, f"mean of {of_what} over seeds (or folds)", unit)
    yield _number(f"{name}_std", f"standard deviation of {of_what} (ddof 1)", unit)
    yield _number(
        f"{name}_low", f"lower end of the 95 % interval of {of_what}; NaN: fewer than 3 replicates, or all equal", unit
    )
    yield _number(f"{name}_high", f"upper end of the 95 % interval of {of_what}", unit)


def _fraction(name: str, words: str, baseline: str = "") -> Iterator[Column]:
    column = f"{name}_fraction" + (f"_of_{baseline}" if baseline else "")
    whose = f"`{baseline}`'s" if baseline else "the baseline's"
    yield from interval_columns(column, column, f"{words} as a share of {whose}, inside pairs")


def _differences(baseline: str) -> Iterator[Column]:
    yield _whole(f"num_pairs_{baseline}", f"pairs with `{baseline}` (the same seed, fold and grid point)")
    yield _whole(f"num_replicates_{baseline}", "what the differences are over: seeds, or folds (means of their pairs)")
    for metric in COMPARED:
        name, of_what = f"{metric}_vs_{baseline}", f"the paired difference of {metric} to `{baseline}`"
        yield from interval_columns(name, name, of_what)
        yield _number(f"{name}_p", f"p-value of {of_what}, two-sided paired t-test")


SUMMARY = Table(
    "summary",
    "a configuration: strategy, budget and varied hyperparameters",
    (
        *_CONFIGURATION,
        *(_whole(name, description) for name, description in _COUNTS.items()),
        *(column for name in SUMMARIZED for column in interval_columns(name, f"{name}_mean", name)),
        *(column for baseline in BASELINES for column in _differences(baseline)),
        *(column for name in COSTS for column in interval_columns(name, f"{name}_mean", name, TRIALS[name].unit)),
        _text("metric", "the metric that the sweep is about: its `train.best_metric`"),
        _text(
            "baseline",
            "strategy that `holm_p` and `verdict` compare the row with, of several in `results/comparisons` the first; "
            "empty: none",
        ),
        _number(
            "holm_p",
            "p-value of the metric's difference to `baseline`, with Holm's correction over all that is compared with "
            "that",
        ),
        _text(
            "verdict",
            "better, worse, no difference shown, no difference, not settled or not compared, see `results/comparisons`",
        ),
        _whole("num_dropped_pairs", "planned pairs with `baseline` left out because a run of either failed"),
        *interval_columns(
            "with_failures",
            "with_failures_mean",
            "the metric on test with every failed run scored as the majority class (NaN: none failed, see "
            "`results/comparisons`)",
        ),
        *_fraction("metric", "the metric on test", "baseline"),
        *(column for name, words in _SHARED.items() for column in _fraction(name, words, "all")),
        _text("note", "what the row lacks, in words"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    further=(
        # Of trials on a GPU.
        *interval_columns(GPU_HOURS, f"{GPU_HOURS}_mean", GPU_HOURS, TRIALS[GPU_HOURS].unit),
        # Of trials whose encoder the sweep has pretrained.
        *(
            column
            for name in (PRETRAINING_EXAMPLES, PRETRAINING_SECONDS)
            for column in interval_columns(name, f"{name}_mean", name, TRIALS[name].unit)
        ),
        _number(
            "<split>_<metric>_mean",
            "of a `best_metric` or one of `train.metrics` that is not among these, with its interval and differences",
        ),
    ),
    suffixes=(".parquet", ".csv"),
)

_WITH_FAILURES = (
    _number(
        "with_failures_baseline_mean",
        "`baseline_mean` with every failed run of either scored as the majority class (the most frequent one of its "
        "pool, always predicted); NaN, as all that follows: no failed run, or its classes are not counted in "
        "`manifest.json`",
    ),
    _number("with_failures_mean", "`mean` likewise"),
    *interval_columns("with_failures_difference", "with_failures_difference", "`difference` likewise"),
    _number("with_failures_holm_p", "`holm_p` likewise, in the family of all rows, failures scored"),
    _text("with_failures_verdict", "`verdict` likewise"),
)
WITH_FAILURES = tuple(column.name for column in _WITH_FAILURES)
"""What `COMPARISONS` says once failed runs are scored."""

COMPARISONS = Table(
    "comparisons",
    "a configuration beside a baseline: the pairs of `sweep.compare`, or its default",
    (
        _text("baseline", "strategy that the other one is compared with"),
        TRIALS["strategy"],
        TRIALS["budget"],
        _text("metric", "what is compared on test: `train.best_metric`"),
        _number("margin", _MARGIN),
        _whole("num_pairs", "pairs: the same seed, fold and grid point, and budget if both have one"),
        _whole("num_replicates", "what means are over: seeds, or folds (means of their pairs)"),
        _whole("num_dropped_pairs", "planned pairs left out because a run of either failed (or only one has it)"),
        _whole("num_pending_pairs", "planned pairs of which a run has not finished"),
        _whole("folds", _COUNTS["folds"]),
        _number("baseline_mean", "mean of the metric of the baseline in these pairs"),
        _number("mean", "the same of the strategy"),
        *interval_columns("difference", "difference", "the paired difference to the baseline"),
        _number("p", "p-value of the paired difference, two-sided paired t-test"),
        _number(
            "holm_p",
            "the same with Holm's correction over all that is compared with this baseline; `random` and `random_epoch` "
            "are one",
        ),
        _number("sign_flip_p", "two-sided p-value of sign flips, at least 2 / 2^n; NaN: folds, or fewer than 5 seeds"),
        _number("sign_flip_holm_p", "the same with Holm's correction over the same family"),
        _number(
            "examples_low",
            "lower end of the 95 % interval of the difference over test examples (paired bootstrap); NaN: fewer than 5 "
            "replicates, no predictions, or a metric of your own",
        ),
        _number("examples_high", "its upper end"),
        _number("bca_low", "lower end of the 95 % BCa interval of the difference over seeds; NaN: fewer than 10"),
        _number("bca_high", "its upper end"),
        _number("interquartile_mean", "mean of the middle half of the differences; NaN: fewer than 10 seeds"),
        _number(
            "equivalence_p",
            "p-value of two one-sided paired t-tests (TOST) of a difference as large as `margin` in either direction: "
            "small where there is no difference worth the name",
        ),
        _number("equivalence_holm_p", "the same with Holm's correction over the same family"),
        _text(
            "verdict",
            "better, worse, no difference shown, no difference, not compared, or not settled: `holm_p` at 5 %, which "
            "from 5 replicates on the bootstrap over test examples must confirm, from 9 seeds on `sign_flip_holm_p`, "
            "too; no difference: `equivalence_holm_p` at 5 %, which the bootstrap must confirm likewise",
        ),
        _number(
            "more_seeds",
            "where no difference is shown: about how many more seeds would settle one of the size seen (its "
            "deviation at the upper 95 % limit); infinite: more than 30",
            "seeds",
        ),
        *_WITH_FAILURES,
        *(
            column
            for name, words in (("metric", "the metric"), *((name, f"`{name}`") for name in FRACTIONS))
            for column in _fraction(name, words)
        ),
        _text("baseline_configuration", "configuration of the baseline"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
)

AS_GOOD_AS_ALL = Table(
    "as_good_as_all",
    "a configuration beside `all`, which trains on everything: whether it is as good within `sweep.margin`",
    (
        TRIALS["strategy"],
        TRIALS["budget"],
        *(COMPARISONS[name] for name in ("metric", "margin", "num_pairs", "num_dropped_pairs")),
        *(COMPARISONS[name] for name in ("num_replicates", "folds")),
        _number("baseline_mean", "mean of the metric of `all` in these pairs"),
        *(COMPARISONS[name] for name in ("mean", "difference", "difference_std")),
        _number(
            "difference_at_worst",
            "end of the one-sided 95 % interval of the difference on the side where the strategy loses, not corrected; "
            "NaN: fewer than 3 replicates, or all equal",
        ),
        _number("p", "p-value of a loss of `margin` or more, one-sided paired t-test (non-inferiority)"),
        _number("holm_p", "the same with Holm's correction over all configurations of the table"),
        *(COMPARISONS[name] for name in ("examples_low", "examples_high")),
        _text(
            "verdict",
            "as good: `holm_p` at 5 %, and from 5 replicates on the interval over test examples is within the margin; "
            "not settled: the latter is not; not shown; not compared",
        ),
        _text(
            "with_failures_verdict",
            "the same with failed runs scored as the majority class; empty: none failed, or its class is not known",
        ),
        _text("baseline_configuration", "configuration of `all`"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
)

LETTERS = Table(
    "letters",
    "a configuration among those of a budget and point of the grid: two that share a letter are not shown to differ",
    (
        Column("group_budget", "count", "the budget of the group; missing: nothing in it has one", origin="tables"),
        TRIALS["strategy"],
        TRIALS["budget"],
        COMPARISONS["metric"],
        _number("mean", "mean of the metric over seeds (or folds)"),
        COMPARISONS["num_replicates"],
        _whole("num_others", "others of the group that it is compared with; those of 3 replicates or more"),
        _whole("num_different", "those it differs from: paired t-tests, Holm's correction over all pairs of the group"),
        _text("letters", "the letters of the configuration; `a` has the best mean"),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    suffixes=(".csv",),
)

SPREAD_PER_PASS = (
    *("train_loss", "train_accuracy"),
    *(f"validation_{name}" for name in EVALUATION_METRICS),
    *("learning_rate", "samples", "examples_seen", "seconds"),
)
"""What of an evaluation has a mean and a spread over seeds; the metric of the sweep is one more."""
PER_PASS = Table(
    "per_pass",
    "a configuration at an evaluation (with `train.eval_every: epoch` the end of a pass), over its seeds",
    (
        *_CONFIGURATION,
        EVALUATIONS["evaluation"],
        _number("pass", EVALUATIONS["pass"].description, "passes"),
        _number("step", EVALUATIONS["step"].description, "steps"),
        _whole("num_replicates", "what means are over: seeds, or folds (each the mean of its seeds)"),
        *(
            column
            for name in SPREAD_PER_PASS
            for column in interval_columns(name, f"{name}_mean", name, EVALUATIONS[name].unit)
        ),
        TRIALS["configuration"],
    ),
    grid_after="budget",
    further=(
        _number(
            "validation_<metric>_mean",
            "of a `best_metric` or one of `train.metrics` that is not among these, with its spread",
        ),
    ),
    suffixes=(".parquet", ".csv"),
)

_PAIR = (
    _whole("budget", TRIALS["budget"].description),
    _text("strategy_a", "one strategy"),
    _text("strategy_b", "the other"),
)
AGREEMENT = Table(
    "agreement",
    "two strategies at a budget, a seed and a fold: how far their subsets agree (`Sweep.agreement`)",
    (
        *_PAIR,
        *(_whole(name, TRIALS[name].description) for name in ("seed", "fold", "pool_size")),
        _whole("num_a", "how many different examples the one has trained on, whatever the schedule"),
        _whole("num_b", "how many the other has"),
        _number("jaccard", "share of what both have in what either has"),
        _number("jaccard_by_chance", "the same of two random draws of these sizes"),
        _number("spearman", "rank correlation of the scores of the whole pool; NaN: one has none"),
        _number("ranking", "1: both scores rank the pool alike, -1: in reverse, 0: differently, NaN: unknown"),
    ),
    grid_after="budget",
    grid_without=(_BUDGET,),
)

OVERLAP = Table(
    "overlap",
    "two strategies at a budget and grid point: how far their subsets agree, as means over seeds and folds",
    (
        *_PAIR,
        _number("pool_size", TRIALS["pool_size"].description, "examples"),
        _number("num_a", "how many different examples the one has trained on", "examples"),
        _number("num_b", "how many the other has", "examples"),
        _number("jaccard", "share of what both have in what either has"),
        _number("jaccard_by_chance", "the same of two random draws of these sizes"),
        _number("spearman", "rank correlation of the scores of the whole pool; NaN: one has none"),
        _whole("num_seeds", "seeds behind the means"),
    ),
    grid_after="budget",
    grid_without=(_BUDGET,),
    suffixes=(".parquet", ".csv"),
)

EQUAL_COST = Table(
    "equal_cost",
    "a configuration once a multiple of what its baseline costs at the same budget and grid point is spent",
    (
        _whole("budget", "that of the baseline"),
        TRIALS["configuration"],
        _text("strategy", TRIALS["strategy"].description),
        _text("role", TRIALS["role"].description),
        _text("cost", "what is counted: `examples` (as in `total_examples`), or `seconds`"),
        _number("cost_of_random", "how many times the cost of `random` is spent; NaN: the baseline is another"),
        _number("spent", "that cost, in examples or seconds"),
        _number("validation_accuracy", "mean over seeds of the accuracy of the best evaluation within the cost"),
        _whole("num_seeds", "seeds, with folds seeds x folds"),
        _whole("num_begun", "those that have an evaluation within the cost"),
        _text("baseline", "`random`, beside which all stand, or the baseline of another pair of `sweep.compare`"),
        _number("multiple", "how many times the cost of the baseline is spent"),
        _text("metric", "what chose the best evaluation within the cost: `train.best_metric`"),
    ),
    grid_after="budget",
    grid_without=(_BUDGET,),
    further=(_number("validation_<metric>", "of that evaluation, where `best_metric`, which chooses it, is another"),),
    suffixes=(".csv",),
)

PAIRS = Table(
    "pairs",
    "a pair of configurations (of `sweep.compare`, or `raybert report --pair`) at a number of examples seen: both, and "
    "their paired difference",
    (
        _text("baseline", "strategy that the other one is compared with"),
        TRIALS["strategy"],
        _text("quantity", "what is compared: a column of `evaluations`, or, once for each pair, `test_<metric>`"),
        _number(
            "examples_seen", "when: where either has an evaluation and both are training; NaN: on test", "examples"
        ),
        computed(
            "is_interpolated",
            "flag",
            "whether some run has no evaluation just there: its value is on the line between two of its evaluations "
            "(of `samples`: that of the next one)",
        ),
        _whole("num_replicates", "what means are over: seeds, or folds (means of their pairs)"),
        *interval_columns("baseline", "baseline_mean", "the quantity of the baseline in these pairs"),
        *interval_columns("strategy", "strategy_mean", "the same of the strategy"),
        *interval_columns("difference", "difference", "the paired difference, strategy - baseline"),
        _text("baseline_configuration", "configuration of the baseline"),
        TRIALS["configuration"],
    ),
    suffixes=(".csv",),
)
