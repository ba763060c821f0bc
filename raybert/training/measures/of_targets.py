"""Metrics of sets of labels, and of numbers: the functions behind the rows of `METRICS` that are of these tasks.

Predictions are probabilities of every label, (m, L) with L >= 2, or numbers, (m, 1): the width tells the tasks apart.
A label is predicted where its probability reaches its threshold, 0.5 by default. As of classes, means over labels are
over those that have examples in the split, and what stays undefined (0/0, a correlation with a constant) is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raybert.config.metrics import METRICS, evaluation_metrics_of, trial_metrics_of
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, Task

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.5
_SMALLEST = float(np.finfo(np.float32).eps)


def has_targets(labels: np.ndarray) -> bool:
    """Tell whether answers are sets of labels or numbers, (m, L), and not classes, (m,)."""
    return labels.ndim == 2


def task_of_targets(targets: np.ndarray) -> Task:
    """Return the task that (m, L) targets are of."""
    return REGRESSION if targets.shape[1] == 1 else MULTI_LABEL


def task_of_answers(answers: np.ndarray) -> Task:
    """Return the task that (m,) classes, or (m, L) targets, are of."""
    return task_of_targets(answers) if has_targets(answers) else CLASSIFICATION


def target_metrics(
    targets: np.ndarray, probs: np.ndarray, thresholds: np.ndarray | float = THRESHOLD
) -> dict[str, float]:
    """Return every metric of a set of predictions, in the order of `METRICS`.

    Args:
        targets: (m, L) 0 or 1, or (m, 1) numbers; m >= 1.
        probs: (m, L) probabilities, or (m, 1) predicted numbers.
        thresholds: (L,) from which on a label is predicted, or one for all.
    """
    if task_of_targets(targets) == REGRESSION:
        found = _of_numbers(targets[:, 0].astype(np.float64), probs[:, 0].astype(np.float64))
    else:
        found = _of_labels(targets > 0, probs, thresholds)
    return {name: found[name] for name in METRICS if name in found}


def validation_target_metrics(targets: np.ndarray, probs: np.ndarray, further: Sequence[str] = ()) -> dict[str, float]:
    """Return what an evaluation during training measures, and what else it is to watch."""
    every = target_metrics(targets, probs)
    return {name: every[name] for name in dict.fromkeys([*evaluation_metrics_of(task_of_targets(targets)), *further])}


def trial_target_metrics(targets: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Return what every trial measures on test."""
    every = target_metrics(targets, probs)
    return {name: every[name] for name in trial_metrics_of(task_of_targets(targets))}


def label_metrics(targets: np.ndarray, probs: np.ndarray, thresholds: np.ndarray | float = THRESHOLD) -> pd.DataFrame:
    """Return one row per label: num_examples, num_predicted, precision, recall, f1, average precision, threshold."""
    import pandas as pd  # slow to import, and who plans a sweep needs none of it

    marks, chosen = targets > 0, _chosen(probs, thresholds)
    hits = (marks & chosen).sum(axis=0)
    support, predicted = marks.sum(axis=0), chosen.sum(axis=0)
    return pd.DataFrame(
        {
            "num_examples": support,
            "num_predicted": predicted,
            "precision": _ratio(hits, predicted),
            "recall": _ratio(hits, support),
            "f1": _ratio(2 * hits, support + predicted),
            "average_precision": [_average_precision(marks[:, k], probs[:, k]) for k in range(marks.shape[1])],
            "threshold": np.broadcast_to(np.asarray(thresholds, np.float64), (marks.shape[1],)),
        }
    )


def best_thresholds(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return (L,) of every label the threshold with the highest F1, of several the one nearest to 0.5.

    Candidates are the middles between neighbouring probabilities, and 0.5, which stays of a label without examples.

    Args:
        targets: (m, L) 0 or 1, of validation.
        probs: (m, L).
    """
    return np.array([_best_threshold(targets[:, k] > 0, probs[:, k].astype(np.float64)) for k in range(probs.shape[1])])


def _best_threshold(marks: np.ndarray, probs: np.ndarray) -> float:
    if not marks.any():
        return THRESHOLD
    known = np.unique(probs)
    candidates = np.unique([*(known[:-1] + known[1:]) / 2, THRESHOLD])
    in_order = np.argsort(probs)
    # How many examples, and how many with the label, are at or above each candidate.
    first = np.searchsorted(probs[in_order], candidates, side="left")
    above = len(probs) - first
    hits = marks.sum() - np.concatenate([[0], np.cumsum(marks[in_order])])[first]
    values = 2 * hits / (marks.sum() + above)
    best = candidates[values >= values.max() - 1e-12]
    return float(best[np.abs(best - THRESHOLD).argmin()])


def _of_labels(marks: np.ndarray, probs: np.ndarray, thresholds: np.ndarray | float) -> dict[str, float]:
    chosen = _chosen(probs, thresholds)
    hits, support, predicted = ((marks & chosen).sum(axis=0), marks.sum(axis=0), chosen.sum(axis=0))
    present = support > 0
    f1 = _ratio(2 * hits, support + predicted)
    decided = float(support.sum() + predicted.sum())
    areas = [_average_precision(marks[:, k], probs[:, k]) for k in np.flatnonzero(present)]
    return {
        "macro_f1": float(f1[present].mean()) if present.any() else float("nan"),
        "loss": float(binary_losses(marks, probs).mean()),
        "micro_f1": float(2 * hits.sum() / decided) if decided else float("nan"),
        "subset_accuracy": float((marks == chosen).all(axis=1).mean()),
        "hamming": float((marks != chosen).mean()),
        "map": float(np.mean(areas)) if areas else float("nan"),
    }


def _of_numbers(targets: np.ndarray, found: np.ndarray) -> dict[str, float]:
    import pandas as pd

    errors = found - targets
    squares = float((errors**2).mean())
    spread = float(((targets - targets.mean()) ** 2).mean())
    ranks = [pd.Series(values).rank().to_numpy() for values in (targets, found)]
    return {
        "rmse": float(np.sqrt(squares)),
        "mae": float(np.abs(errors).mean()),
        "r2": 1.0 - squares / spread if spread > 0 else float("nan"),
        "pearson": _correlation(targets, found),
        "spearman": _correlation(*ranks),
    }


def binary_losses(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return (m, L) float64 binary cross entropies, finite even where a probability is 0 or 1."""
    known = np.clip(probs.astype(np.float64), _SMALLEST, 1.0 - _SMALLEST)
    return np.asarray(-np.where(targets > 0, np.log(known), np.log1p(-known)))


def _chosen(probs: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    return np.asarray(probs >= np.asarray(thresholds, probs.dtype))  # as a Python number would be compared


def _average_precision(marks: np.ndarray, probs: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(marks, probs)) if marks.any() else float("nan")


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else float("nan")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))
