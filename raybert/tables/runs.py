"""The tables with rows of single runs: `trials`, `evaluations`, and what each run keeps of its examples.

A new column is a line here, and its value where the row is made: `raybert.sweeping.trial.run` makes those of trials,
`raybert.training.loop` those of evaluations, `RunSpec.summary` those of the plan, `raybert.analysis.results` the rest.
"""

from __future__ import annotations

from dataclasses import replace

from raybert.config.metrics import EVALUATION_METRICS, METRICS, TRIAL_METRICS
from raybert.config.tasks import CLASSIFICATION
from raybert.tables.schema import Column, Table, metric_column

_KEYS = (
    Column("trial_id", "text", "id of the run: a hash of all that its results depend on", origin="plan"),
    Column("strategy", "text", "name of the strategy, with the parameters that tell it from others", origin="plan"),
    Column("seed", "whole", "what pairs runs: the same split, initial head and order of ties", origin="plan"),
    Column("fold", "whole", "fold of the cross-validation; 0 without", origin="plan"),
    Column("budget", "whole", "how many examples may be trained on", "examples", origin="plan"),
)
TRIAL_KEYS = tuple(column.name for column in _KEYS)
"""What identifies a run, in front of every table of runs."""

_CONFIGURATION = Column(
    "configuration",
    "text",
    "what is compared, over seeds and folds: the strategy, and of budget and grid what varies",
    origin="tables",
)
_BEST, _THIS = "the best evaluation", "this evaluation"
_IN_FRONT = tuple(name for name in EVALUATION_METRICS if name != "loss")
_FURTHER = tuple(name for name in METRICS if name not in EVALUATION_METRICS)
"""Metrics that validation has where `best_metric` or `early_stopping` names them."""

TRIALS = Table(
    "trials",
    "a planned run: a trial of the comparison, or a proxy or part whose outputs are signals",
    (
        *_KEYS,
        Column("status", "text", "complete, failed or pending"),
        Column("best_pass", "number", "`pass` of the evaluation whose weights are kept", "passes"),
        # A refit has trained on validation, and tuning never reads the test split.
        *(metric_column("validation", name, _BEST, optional=True) for name in _IN_FRONT),
        *(metric_column("test", name, _BEST, optional=True) for name in TRIAL_METRICS),
        Column("examples_seen", "count", "what went forward and backward, repetitions included", "examples"),
        Column("optimizer_steps", "count", "steps done", "steps"),
        Column("train_seconds", "number", "forward, backward and step", "s"),
        Column("selection_seconds", "number", "selecting, with what is scored for it during training", "s"),
        Column("wall_seconds", "number", "from the beginning of the run to its end", "s"),
        Column("error", "text", "type and message of what went wrong", origin="tables"),
        Column("failure", "text", "kind of failure, which `retry` takes", origin="tables"),
        Column("role", "text", "trial, proxy, or part (a run that only serves a score)", origin="plan"),
        Column(
            "budget_kind", "text", "distinct, per_epoch (as many each pass) or none (the whole pool)", origin="plan"
        ),
        Column("pool_size", "whole", "how many candidates there are", "examples", origin="plan"),
        Column("best_step", "count", "optimizer steps before the evaluation whose weights are kept", "steps"),
        metric_column("validation", "loss", _BEST, optional=True),
        Column("evaluation_seconds", "number", "on validation and test", "s"),
        Column("signal_seconds", "number", "its signals, as if computed for this run alone", "s"),
        Column(
            "total_seconds",
            "number",
            "training, selection, signals and, with `pretrain`, the pretraining of its encoder",
            "s",
            origin="tables",
        ),
        Column("examples_scored", "count", "forward passes for scores, those behind signals included", "examples"),
        Column("refilled", "count", "chosen examples taken back from what filters had dropped", "examples"),
        Column("samples_per_pass", "counts", "examples of each pass", "examples"),
        Column("total_steps", "whole", "planned optimizer steps T; of a run by passes at most", "steps", origin="plan"),
        Column("grid", "text", "the varied hyperparameters, as JSON", origin="plan"),
        Column("signal_seconds_shared", "number", "its signals, shared by the runs of the sweep that read them", "s"),
        Column("notes", "text", "what a user should know of the run, joined by `; `", optional=True),
        Column(
            "signal_examples_seen",
            "count",
            "what went forward and backward in the runs behind its signals, as if trained for this run alone",
            "examples",
            origin="tables",
        ),
        Column(
            "total_examples",
            "count",
            "forward passes of single examples in all: 3 for one that is trained on (the backward pass counts as two), "
            "1 for one that is scored, signals included; evaluation is not counted; with `pretrain` also 3 for each of "
            "`pretraining_examples`",
            "examples",
            origin="tables",
        ),
        Column(
            "num_never_predicted",
            "count",
            "classes with 5 or more held-out examples that the run never predicts; if it predicts one only, all others",
            origin="tables",
        ),
        Column(
            "majority_share",
            "number",
            "share of the most frequent class on validation: the accuracy of always saying that",
            origin="tables",
        ),
        Column(
            "is_weak",
            "count",
            "1: its validation accuracy is hardly above `majority_share`: by less than 10 points, or within chance",
            origin="tables",
        ),
        _CONFIGURATION,
    ),
    grid_after="error",
    suffixes=(".parquet", ".csv"),
    further=(
        # What ran before raybert knew them has none.
        Column("device", "text", "name of the GPU that it was trained on, or cpu", optional=True),
        Column("precision", "text", "number format of training: what `train.precision: auto` became", optional=True),
        Column("attention", "text", "implementation of attention in the encoder, e.g. sdpa", optional=True),
        Column("micro_batch_size", "count", "most examples of a forward pass; missing: whole batches", optional=True),
        # Of runs whose encoder the sweep has pretrained.
        Column(
            "pretraining_seconds", "number", "pretraining its encoder, as if for this run alone", "s", optional=True
        ),
        Column(
            "pretraining_seconds_shared",
            "number",
            "the same, shared by the runs of the sweep that have the encoder",
            "s",
            optional=True,
        ),
        Column(
            "pretraining_tokens",
            "count",
            "word pieces that its encoder was pretrained on",
            "word pieces",
            optional=True,
        ),
        Column(
            "pretraining_examples",
            "count",
            "the same in examples as long as those of the pool are on average; of SimCSE both views count",
            "examples",
            optional=True,
        ),
        Column(
            "gpu_hours",
            "number",
            "`total_seconds` times the GPUs of a trial (`resources`: its workers times their GPUs, of a shared one the "
            "part); missing: it ran on a CPU",
            "h",
            origin="tables",
        ),
        *(metric_column("validation", name, _BEST, optional=True) for name in _FURTHER),
        Column(
            "suggestion_value",
            "number",
            "metric of the search on the validation examples that score suggestions alone (`sweep.tune.validation`)",
            optional=True,
        ),
        # Of another task than classification.
        *(
            metric_column("test", name, _BEST, optional=True)
            for name, metric in METRICS.items()
            if CLASSIFICATION not in metric.tasks
        ),
        # Where `best_metric` names one, it is measured from the kept predictions.
        *(
            replace(metric_column("test", name, _BEST), origin="tables")
            for name, metric in METRICS.items()
            if name not in TRIAL_METRICS and CLASSIFICATION in metric.tasks
        ),
        Column("<split>_<own metric>", "number", f"a metric of `train.metrics` of {_BEST}", optional=True),
    ),
    own_metrics=("validation", "test"),
)

PRETRAINING_SECONDS, PRETRAINING_EXAMPLES = "pretraining_seconds", "pretraining_examples"
"""Columns of `trials` that costs are counted with, where the sweep has pretrained encoders."""

RAN_ON = ("device", "precision", "attention", "micro_batch_size")
"""Columns of `trials` that say on what a run was trained, and how; no results, though results depend on them."""

PLANNED = tuple(column.name for column in TRIALS if column.origin == "plan")
"""Columns of runs that stand in `plan.json`: what `RunSpec.summary` writes."""

EVALUATIONS = Table(
    "evaluations",
    "an evaluation on validation, of any run that has begun",
    (
        *_KEYS,
        Column("evaluation", "count", "number of the evaluation, from 1"),
        Column("pass", "number", "passes done over what was chosen, with the share of the current one", "passes"),
        Column("step", "count", "optimizer steps done", "steps"),
        Column("examples_seen", "count", "what went forward and backward so far, repetitions included", "examples"),
        Column("samples", "count", "examples of the current pass", "examples"),
        Column("train_loss", "number", "mean cross entropy in training since the evaluation before", "nat"),
        Column("train_accuracy", "number", "accuracy in training since the evaluation before"),
        metric_column("validation", "loss", _THIS),
        *(metric_column("validation", name, _THIS) for name in _IN_FRONT),
        Column("learning_rate", "number", "of the step before"),
        Column("seconds", "number", "training, evaluation and selection so far, without signals", "s"),
        _CONFIGURATION,
    ),
    grid_after="budget",
    suffixes=(".parquet", ".csv"),
    further=(
        *(metric_column("validation", name, _THIS, optional=True) for name in _FURTHER),
        Column("<split>_<own metric>", "number", f"a metric of `train.metrics` of {_THIS}", optional=True),
    ),
    own_metrics=("validation",),
)

BEFORE_TRAINING = -1
"""The pass of what was chosen once."""
SELECTION = Table(
    "selection",
    "a chosen example of a run, once for every pass where passes differ (`trials/<id>/selection.parquet`)",
    (
        Column("example_id", "text", "id of the example"),
        Column("position", "whole", "its row in the pool"),
        Column("pass", "whole32", "the pass (0, 1, 2, ...) or round it was chosen for; -1: before training"),
        Column("score", "number", "what it was chosen by; higher = harder"),
        Column("weight", "number32", "factor of its loss"),
    ),
    further=(
        Column(
            "batch",
            "whole32",
            "its optimizer step (0, 1, 2, ...) in the pass, of strategies that say it; -1: the loop drew it",
            optional=True,
        ),
    ),
)

LOSSES = Table(
    "losses",
    "an example of the pool of a run, in pool order (`trials/<id>/losses.npz`, `Sweep.losses`)",
    (
        Column("loss", "number32", "cross entropy when the run last trained on it; NaN: never", "nat"),
        Column("loss_pass", "whole32", "the pass (0, 1, 2, ...) of that loss; -1: never"),
    ),
)

PREDICTIONS = Table(
    "predictions",
    "a held-out example and the best evaluation of a run (`trials/<id>/predictions.parquet`)",
    (
        Column(
            "split",
            "text",
            "validation or test; of a run of a search with `sweep.tune.validation`: validation (chose its evaluation) "
            "or scoring (scores it)",
        ),
        Column("row", "whole", "its row in the split; of scoring: in validation"),
        Column("label", "whole", "number of its class"),
        Column("prob_<c>", "number32", "probability of class c, a column for each"),
    ),
)
