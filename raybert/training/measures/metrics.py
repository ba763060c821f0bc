"""Classification metrics from labels and probabilities: the functions behind `raybert.config.METRICS`.

A metric of counts is a function in `OF_COUNTS`, a mean over examples one in `OF_EXAMPLES`; the few of another kind are
named in `evaluation_metrics`, and in `evaluation.bootstrap`, which must weigh examples. A test holds table and
functions together.

Classes that a split lacks: macro and weighted metrics and the AUCs of more than two classes are means over the
classes that have examples in the split. A class without examples has no recall, and a mean that counts it as 0
punishes a small split, not the model; predictions of such a class still cost recall of the classes that are there.
What stays undefined (0/0, such as the AUCs of a split of one class) is NaN, never 0.5 or 0, and never a warning. Two
conventions of scikit-learn are kept: in `macro_precision` a class that has examples but is never predicted counts 0,
and `mcc` is 0 where all predictions are one class (but NaN where all labels are).

Ratios of counts are taken from one confusion matrix in place of a scikit-learn call each: equal to its values,
and faster (measured at 10,000 examples: 0.06 ms for all of them, 2 ms for `f1_score` alone), which a thousand groups
or resamples turn into seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from raybert.config import METRICS
from raybert.config.metrics import EVALUATION_METRICS, TRIAL_METRICS
from raybert.training.measures.of_targets import (
    has_targets,
    target_metrics,
    trial_target_metrics,
    validation_target_metrics,
)

NUM_CALIBRATION_BINS = 15
_SMALLEST = float(np.finfo(np.float32).eps)


def classification_metrics(labels: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Return what every trial measures on test: `TRIAL_METRICS`.

    Args:
        labels: as in `evaluation_metrics`.
        probs: as in `evaluation_metrics`.
    """
    if has_targets(labels):
        return trial_target_metrics(labels, probs)
    every = evaluation_metrics(labels, probs)
    return {name: every[name] for name in TRIAL_METRICS}


def validation_metrics(labels: np.ndarray, probs: np.ndarray, further: Sequence[str] = ()) -> dict[str, float]:
    """Return what an evaluation during training measures: `EVALUATION_METRICS`, and what else it is to watch.

    The areas are left out unless they are asked for: they sort the split once a class.

    Args:
        labels: as in `evaluation_metrics`.
        probs: as in `evaluation_metrics`.
        further: names of `METRICS`.
    """
    if has_targets(labels):
        return validation_target_metrics(labels, probs, further)
    if not set(further) <= set(EVALUATION_METRICS):
        every = evaluation_metrics(labels, probs)
        return {name: every[name] for name in dict.fromkeys([*EVALUATION_METRICS, *sorted(further)])}
    values = {**_of_predictions(labels, probs, probs.argmax(axis=1)), **_of_examples(labels, probs)}
    return {name: values[name] for name in EVALUATION_METRICS}


def evaluation_metrics(labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None = None) -> dict[str, float]:
    """Return every metric of a set of predictions that exists for its number of classes, in the order of `METRICS`.

    With two classes `auc_pr` is the average precision of class 1 and `auc_roc` its ROC area; with more, both are
    unweighted means over one-vs-rest problems.

    Args:
        labels: (m,) class numbers 0..C-1, m >= 1; or targets (m, L) of another task (`of_targets`).
        probs: (m, C) float, rows sum to 1; of targets (m, L).
        predicted: (m,) class numbers; default: the most probable class.
    """
    if has_targets(labels):
        return target_metrics(labels, probs)
    if predicted is None:
        predicted = probs.argmax(axis=1)
    return in_order(
        {
            **_of_predictions(labels, probs, predicted),
            **_of_examples(labels, probs),
            "auc_roc": _mean_over_classes(roc_auc_score, labels, probs),
            "auc_pr": _mean_over_classes(average_precision_score, labels, probs),
            "ece": calibration_error(labels, probs),
        }
    )


def in_order(values: dict[str, float]) -> dict[str, float]:
    """Return metrics in the order of `METRICS`."""
    return {name: values[name] for name in METRICS if name in values}


def class_metrics(labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None = None) -> pd.DataFrame:
    """Return one row per class, in order of class number: each class against the rest.

    Columns: num_examples, num_predicted, precision, recall, specificity, f1, auc_roc, auc_pr. NaN: undefined, such as
    the precision of a class that is never predicted.

    Args:
        labels: as in `evaluation_metrics`.
        probs: as in `evaluation_metrics`.
        predicted: as in `evaluation_metrics`.
    """
    if predicted is None:
        predicted = probs.argmax(axis=1)
    confusion = count_confusions(labels, predicted, probs.shape[1])
    classes = range(probs.shape[1])
    return pd.DataFrame(
        {
            "num_examples": confusion.sum(axis=1).astype(np.int64),
            "num_predicted": confusion.sum(axis=0).astype(np.int64),
            **class_rates(confusion),
            "auc_roc": [_area(roc_auc_score, labels == c, probs[:, c]) for c in classes],
            "auc_pr": [_area(average_precision_score, labels == c, probs[:, c]) for c in classes],
        }
    )


def count_confusions(
    labels: np.ndarray, predicted: np.ndarray, num_classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return (C, C) float64: the number, or weight, of examples of each label (row) that got each prediction."""
    cells = np.asarray(labels) * num_classes + predicted
    return np.bincount(cells, weights, num_classes**2).reshape(num_classes, num_classes).astype(np.float64)


@dataclass(frozen=True)
class Counts:
    """How often each label got each prediction, and what follows for each class.

    Attributes:
        confusion: (C, C) as from `count_confusions`, not all 0.
        rates: `class_rates` of it.
        support: (C,) number of examples.
        present: (C,) whether there are any.
    """

    confusion: np.ndarray
    rates: dict[str, np.ndarray]
    support: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, confusion: np.ndarray) -> Counts:
        """Count by class what a confusion matrix holds."""
        support = confusion.sum(axis=1)
        return cls(confusion, class_rates(confusion), support, support > 0)

    def rate(self, name: str) -> float:
        """Return a rate of class 1."""
        return float(self.rates[name][1])

    def mean_rate(self, name: str) -> float:
        """Return the mean of a rate over the classes that have examples."""
        return float(self.rates[name][self.present].mean())


def _correlation(counts: Counts) -> float:
    confusion, support = counts.confusion, counts.support
    total, chosen = confusion.sum(), confusion.sum(axis=0)
    label_spread, chosen_spread = total**2 - support @ support, total**2 - chosen @ chosen
    if label_spread == 0:
        return float("nan")
    if chosen_spread == 0:
        return 0.0
    return float((np.trace(confusion) * total - support @ chosen) / np.sqrt(label_spread * chosen_spread))


def _weighted_f1(counts: Counts) -> float:
    present = counts.present
    return float(np.average(counts.rates["f1"][present], weights=counts.support[present]))


OF_COUNTS: dict[str, Callable[[Counts], float]] = {
    "accuracy": lambda counts: float(np.trace(counts.confusion) / counts.support.sum()),
    "precision": lambda counts: counts.rate("precision"),
    "recall": lambda counts: counts.rate("recall"),
    "specificity": lambda counts: counts.rate("specificity"),
    "f1": lambda counts: counts.rate("f1"),
    "macro_f1": lambda counts: counts.mean_rate("f1"),
    "weighted_f1": _weighted_f1,
    "macro_precision": lambda counts: float(np.nan_to_num(counts.rates["precision"][counts.present]).mean()),
    "macro_recall": lambda counts: counts.mean_rate("recall"),
    "macro_specificity": lambda counts: counts.mean_rate("specificity"),
    "mcc": _correlation,
}
"""Metrics that depend only on how often each label got each prediction."""


def count_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Return the metrics of `OF_COUNTS` that exist for this number of classes.

    Args:
        confusion: (C, C) as from `count_confusions`, not all 0.
    """
    counts = Counts.of(confusion)
    return {
        name: function(counts)
        for name, function in OF_COUNTS.items()
        if len(confusion) == 2 or not METRICS[name].two_classes_only
    }


def class_rates(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall, specificity and f1 of each class against the rest, (C,) each; 0/0 is NaN."""
    total = confusion.sum()
    hits, support, chosen = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "precision": _ratio(hits, chosen),
        "recall": _ratio(hits, support),
        "specificity": _ratio(total - support - chosen + hits, total - support),
        "f1": _ratio(2 * hits, support + chosen),
    }


def label_losses(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return (m,) float64: -ln p_y, with p_y at least float32's epsilon, so that it is finite."""
    label_probs = probs[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(label_probs, _SMALLEST, 1.0)))


def squared_errors(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return (m,) float64, whose mean is the Brier score.

    Two classes: (p_1 - y)^2, in 0..1. More: the sum over classes of (p_c - [y = c])^2, in 0..2, as Brier defined it;
    for two classes that sum would be twice the value given here.

    Source: Brier 1950, "Verification of Forecasts Expressed in Terms of Probability".
    """
    errors = probs.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1.0
    squares = errors**2
    return np.asarray(squares[:, 1] if probs.shape[1] == 2 else squares.sum(axis=1))


OF_EXAMPLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "brier": squared_errors,
    "loss": label_losses,
}
"""Metrics that are the mean of a value of each example, (m,) from labels and probabilities."""


def calibration_error(labels: np.ndarray, probs: np.ndarray) -> float:
    """Return the expected calibration error of the top probability: sum over bins of n_b/m |accuracy_b - confidence_b|.

    15 bins of equal width, (k/15, (k+1)/15]. The prediction is the most probable class, whatever threshold decides
    elsewhere.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    bins, gaps = calibration_gaps(labels, probs)
    return float(np.abs(np.bincount(bins, gaps)).sum() / len(labels))


def calibration_gaps(labels: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each example's bin 0..14 and how far it is from its confidence: [top class = label] - top probability."""
    confidence = probs.max(axis=1).astype(np.float64)
    inner_edges = np.arange(1, NUM_CALIBRATION_BINS) / NUM_CALIBRATION_BINS
    bins = np.digitize(confidence, inner_edges, right=True)
    return bins, (probs.argmax(axis=1) == labels) - confidence


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _of_predictions(labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return count_metrics(count_confusions(labels, predicted, probs.shape[1]))


def _of_examples(labels: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    return {name: float(values(labels, probs).mean()) for name, values in OF_EXAMPLES.items()}


def _mean_over_classes(area: Callable[..., float], labels: np.ndarray, probs: np.ndarray) -> float:
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    classes = [1] if probs.shape[1] == 2 else present
    return float(np.mean([_area(area, labels == c, probs[:, c]) for c in classes]))


def _area(area: Callable[..., float], positive: np.ndarray, scores: np.ndarray) -> float:
    return float(area(positive, scores)) if positive.any() and not positive.all() else float("nan")
