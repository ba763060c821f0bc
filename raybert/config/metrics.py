"""The metrics of a model: one row each, which all that names, orders, prints or lists a metric reads.

A new metric is a row here, and its function in `raybert.training.measures.metrics` (of several labels or of numbers:
`of_targets`). Nothing is imported, so that
anyone may read the table. Metrics of a user's own (`train.metrics`) are known by name in every process that has read a
configuration with them; who needs no more than their name, direction and range never imports their functions.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from raybert.config.tasks import CLASSIFICATION, LABELS, MULTI_LABEL, ONE_CLASS, REGRESSION, Task

Reported = Literal["every evaluation", "every trial", "on request"]


@dataclass(frozen=True)
class Metric:
    """What is known of a metric without computing it.

    Attributes:
        name: in a sweep file, in columns (`validation_<name>`, `test_<name>`) and in the tables of `raybert evaluate`.
        words: what people read, in tables and plots.
        description: what it is, in a sentence.
        reported: `every evaluation` during training measures it on validation; `every trial` also measures it on test;
            `on request`: `raybert evaluate` has it, and a training whose `best_metric` or `early_stopping` names it.
        lowest: the worst it can be, or the best if lower is better.
        highest: the other end.
        lower_is_better: whether a model with less of it is better.
        two_classes_only: whether it is of class 1 of two classes, and does not exist for more.
        needs_probs: whether probabilities count, not only the predicted classes.
        function: `module:callable` of a user's own; empty: it is raybert's.
        tasks: of which it is a metric.
    """

    name: str
    words: str
    description: str
    reported: Reported = "on request"
    lowest: float = 0.0
    highest: float = 1.0
    lower_is_better: bool = False
    two_classes_only: bool = False
    needs_probs: bool = False
    function: str = ""
    tasks: frozenset[Task] = ONE_CLASS


_OF_LABELS: frozenset[Task] = frozenset({MULTI_LABEL})
_OF_NUMBERS: frozenset[Task] = frozenset({REGRESSION})
_ROWS = (
    Metric("accuracy", "accuracy", "share of examples whose class is predicted", "every evaluation"),
    Metric("precision", "precision", "share of class 1 among what is taken for it", two_classes_only=True),
    Metric("recall", "recall (sensitivity)", "share of class 1 that is found", two_classes_only=True),
    Metric("specificity", "specificity", "share of class 0 that is not taken for class 1", two_classes_only=True),
    Metric("f1", "F1", "harmonic mean of precision and recall of class 1", two_classes_only=True),
    Metric("macro_f1", "macro F1", "mean over classes (or labels) of each one's F1", "every evaluation", tasks=LABELS),
    Metric("weighted_f1", "weighted F1", "mean over classes of F1, by their number of examples", "every trial"),
    Metric("macro_precision", "macro precision", "mean over classes of each one's precision; never predicted: 0"),
    Metric("macro_recall", "macro recall", "mean over classes of each one's recall: balanced accuracy"),
    Metric("macro_specificity", "macro specificity", "mean over classes of each one's specificity"),
    Metric("mcc", "MCC", "Matthews' correlation of labels and predictions; more than two classes: R_K", lowest=-1.0),
    Metric(
        "auc_roc",
        "ROC-AUC",
        "area under the ROC curve of class 1; more than two classes: mean of each against the rest",
        "every trial",
        needs_probs=True,
    ),
    Metric(
        "auc_pr",
        "PR-AUC",
        "average precision of class 1; more than two classes: mean of each against the rest",
        "every trial",
        needs_probs=True,
    ),
    Metric(
        "brier",
        "Brier score",
        "mean squared error of the probability of class 1; more than two classes: summed over classes, up to 2",
        highest=2.0,
        lower_is_better=True,
        needs_probs=True,
    ),
    Metric(
        "ece",
        "calibration error (ECE)",
        "mean distance of accuracy from confidence, over 15 bins of the highest probability",
        lower_is_better=True,
        needs_probs=True,
    ),
    Metric(
        "loss",
        "cross entropy",
        "mean of -ln of the probability of the label (nat); of several labels the mean binary cross entropy",
        "every evaluation",
        highest=math.inf,
        lower_is_better=True,
        needs_probs=True,
        tasks=LABELS,
    ),
    Metric("micro_f1", "micro F1", "F1 of all decisions about labels together", "every evaluation", tasks=_OF_LABELS),
    Metric(
        "subset_accuracy",
        "subset accuracy",
        "share of examples of which every label is decided rightly",
        "every evaluation",
        tasks=_OF_LABELS,
    ),
    Metric(
        "hamming",
        "Hamming loss",
        "share of decisions about labels that are wrong",
        "every evaluation",
        lower_is_better=True,
        tasks=_OF_LABELS,
    ),
    Metric(
        "map",
        "mAP",
        "mean over labels of each one's average precision",
        "every trial",
        needs_probs=True,
        tasks=_OF_LABELS,
    ),
    Metric(
        "rmse",
        "RMSE",
        "root of the mean squared error, in the unit of the numbers",
        "every evaluation",
        highest=math.inf,
        lower_is_better=True,
        tasks=_OF_NUMBERS,
    ),
    Metric(
        "mae",
        "MAE",
        "mean absolute error, in the unit of the numbers",
        "every evaluation",
        highest=math.inf,
        lower_is_better=True,
        tasks=_OF_NUMBERS,
    ),
    Metric(
        "r2",
        "R²",
        "1 - squared error / squared distance from the mean of the split",
        "every evaluation",
        lowest=-math.inf,
        tasks=_OF_NUMBERS,
    ),
    Metric(
        "pearson",
        "Pearson's r",
        "linear correlation of numbers and predictions",
        "every evaluation",
        lowest=-1.0,
        tasks=_OF_NUMBERS,
    ),
    Metric(
        "spearman",
        "Spearman's rho",
        "correlation of their ranks",
        "every evaluation",
        lowest=-1.0,
        tasks=_OF_NUMBERS,
    ),
)
METRICS = {metric.name: metric for metric in _ROWS}
"""By name, in the order of tables."""


def evaluation_metrics_of(task: Task) -> tuple[str, ...]:
    """Return what every evaluation during training measures on validation."""
    return tuple(metric.name for metric in _ROWS if metric.reported == "every evaluation" and task in metric.tasks)


def trial_metrics_of(task: Task) -> tuple[str, ...]:
    """Return what every trial measures on test."""
    return tuple(metric.name for metric in _ROWS if metric.reported != "on request" and task in metric.tasks)


EVALUATION_METRICS = evaluation_metrics_of(CLASSIFICATION)
"""Those of a classifier that every evaluation measures."""
TRIAL_METRICS = trial_metrics_of(CLASSIFICATION)
"""Those of a classifier that every trial measures."""

if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[tuple(METRICS)] | str
    """A name of `METRICS`, or of `train.metrics`; sections check it, editors list the names."""

_OWN: dict[str, Metric] = {}
_UNSETTLED: set[str] = set()
"""Own ones whose direction only their function may say, which nothing has imported yet."""


def declare_metric(metric: Metric, *, is_settled: bool = True) -> None:
    """Make a metric of a user's own known by its name in this process.

    Tables and plots ask for it by name, so a process has one of each name.

    Args:
        metric: with `function`.
        is_settled: False: its direction may still be said by the function itself.

    Raises:
        ValueError: another one has this name; says what differs.
    """
    known = _OWN.get(metric.name)
    if known is not None and not is_settled:
        metric = replace(metric, lower_is_better=known.lower_is_better)
    if known is not None and metric.name in _UNSETTLED:
        known = None
    if known is not None and known != metric:
        raise ValueError(
            f"must be a metric as it was named before in this process ({_in_words(known)}), got '{metric.name}' "
            f"({_in_words(metric)}); give it another `name`, or begin a new process"
        )
    if is_settled:
        _UNSETTLED.discard(metric.name)
    elif known is None:
        _UNSETTLED.add(metric.name)
    _OWN[metric.name] = metric


def _in_words(metric: Metric) -> str:
    better = "lower" if metric.lower_is_better else "higher"
    return f"{metric.function}, {better} is better, {metric.lowest:g} to {metric.highest:g}"


def is_metric(name: str) -> bool:
    """Tell whether a name is of `METRICS`, or of a metric of a user's own that was read."""
    return name in METRICS or name in _OWN


def is_own_metric(name: str) -> bool:
    """Tell whether a name is of a metric of a user's own that was read."""
    return name in _OWN


def metric_of(name: str) -> Metric:
    """Return what is known of a metric, raybert's or a user's own.

    Raises:
        KeyError: there is none.
    """
    own = _OWN.get(name)
    return METRICS[name] if own is None else own


def nearest_metric(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the name nearest to one that is no metric, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def sign_of(metric: str, direction: str = "auto") -> float:
    """Return the factor that makes a metric higher = better.

    Args:
        metric: a name of `METRICS`, or of a user's own metric.
        direction: `higher` or `lower` is better, whatever is declared; `auto`: what is declared.
    """
    is_lower = metric_of(metric).lower_is_better if direction == "auto" else direction == "lower"
    return -1.0 if is_lower else 1.0


def words_of_lower() -> str:
    """Return the names of the metrics of which less is better, for descriptions: `a, b and c`."""
    *names, last = [metric.name for metric in _ROWS if metric.lower_is_better]
    return f"{', '.join(names)} and {last}"
