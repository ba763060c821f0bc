"""Classification metrics of a split, from labels and probabilities.

Classes that a split lacks: F1 and the AUCs are means over the classes that have examples in the split. A class
without examples has no recall, and a mean that counts it as 0 punishes a small split, not the model; predictions
of such a class still cost recall of the classes that are there. What stays undefined (the AUCs of a split of one
class) is NaN, never 0.5 or 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

_SMALLEST = float(np.finfo(np.float32).eps)


def classification_metrics(labels: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro_f1, weighted_f1, auc_roc, auc_pr and loss.

    With two classes `auc_pr` is the average precision of class 1 and `auc_roc` its ROC area; with more, both are
    unweighted means over one-vs-rest problems.

    Args:
        labels: (m,) class numbers 0..C-1, m >= 1.
        probs: (m, C) float, rows sum to 1.
    """
    return {
        **ranking_free_metrics(labels, probs),
        "weighted_f1": _f1(labels, probs.argmax(axis=1), "weighted"),
        "auc_roc": _mean_over_classes(roc_auc_score, labels, probs),
        "auc_pr": _mean_over_classes(average_precision_score, labels, probs),
    }


def ranking_free_metrics(labels: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Return loss, accuracy and macro_f1: what every evaluation during training reports.

    The loss is the mean of -ln p_y with p_y at least float32's epsilon, so it is finite.
    """
    predicted = probs.argmax(axis=1)
    label_probs = probs[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "loss": float(-np.log(np.clip(label_probs, _SMALLEST, 1.0)).mean()),
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": _f1(labels, predicted, "macro"),
    }


def _f1(labels: np.ndarray, predicted: np.ndarray, average: str) -> float:
    present = np.unique(labels)
    return float(f1_score(labels, predicted, labels=present, average=average, zero_division=0.0))


def _mean_over_classes(area: Callable[..., float], labels: np.ndarray, probs: np.ndarray) -> float:
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    classes = [1] if probs.shape[1] == 2 else present
    return float(np.mean([area(labels == c, probs[:, c]) for c in classes]))
