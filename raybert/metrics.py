"""Metrics of a classifier from labels and probabilities, as all tables of raybert have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from raybert.errors import DataError
from raybert.training.measures import metrics as _metrics

__all__ = ["calibration_error", "confusion", "measure", "per_class"]


def measure(labels: Any, probs: Any, predicted: Any = None) -> dict[str, float]:
    """Return every metric by name: accuracy, F1s, precision, recall, specificity, MCC, areas, Brier, ECE, loss.

    Those of class 1 of two exist for two classes only. What is undefined (0/0) is NaN.

    Args:
        labels: (m,) class numbers 0..C-1.
        probs: (m, C) float, rows sum to 1; (m,): probabilities of class 1 of two.
        predicted: (m,) class numbers; default: the most probable class.

    Raises:
        DataError: shapes or labels do not fit.
    """
    labels, probs = _checked(labels, probs)
    return _metrics.evaluation_metrics(labels, probs, None if predicted is None else np.asarray(predicted))


def per_class(labels: Any, probs: Any, predicted: Any = None) -> pd.DataFrame:
    """Return one row per class, each against the rest.

    Columns: num_examples, num_predicted, precision, recall, specificity, f1, auc_roc, auc_pr.

    Args:
        labels: as in `measure`.
        probs: as in `measure`.
        predicted: as in `measure`.

    Raises:
        DataError: shapes or labels do not fit.
    """
    labels, probs = _checked(labels, probs)
    return _metrics.class_metrics(labels, probs, None if predicted is None else np.asarray(predicted))


def confusion(labels: Any, predicted: Any, num_classes: int | None = None) -> np.ndarray:
    """Return (C, C) the number of examples of each label (row) that got each prediction (column).

    Args:
        labels: (m,) class numbers.
        predicted: (m,) class numbers.
        num_classes: C; default: the largest of both + 1.

    Raises:
        DataError: lengths differ, or a number is no class.
    """
    rows, columns = np.asarray(labels), np.asarray(predicted)
    together = np.concatenate([rows.ravel(), columns.ravel()])
    limit = np.inf if num_classes is None else num_classes
    if rows.shape != columns.shape or rows.ndim != 1 or together.dtype.kind not in "iub" or not len(rows):
        raise DataError(f"predicted: must be (m,) class numbers like labels {rows.shape}, got {columns.shape}")
    if together.min() < 0 or together.max() >= limit:
        raise DataError(f"labels: must be class numbers below {limit}, got {together.min()}..{together.max()}")
    return _metrics.count_confusions(rows, columns, num_classes or int(together.max()) + 1).astype(np.int64)


def calibration_error(labels: Any, probs: Any) -> float:
    """Return the expected calibration error of the top probability, over 15 bins of equal width.

    Args:
        labels: as in `measure`.
        probs: as in `measure`.

    Raises:
        DataError: shapes or labels do not fit.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    return _metrics.calibration_error(*_checked(labels, probs))


def _checked(labels: Any, probs: Any) -> tuple[np.ndarray, np.ndarray]:
    found, given = np.asarray(labels), np.asarray(probs, dtype=np.float64)
    if given.ndim == 1:
        given = np.stack([1.0 - given, given], axis=1)
    if given.ndim != 2 or found.shape != (len(given),) or not len(found) or given.shape[1] < 2:
        raise DataError(f"probs: must be (m, C) for labels (m,), got {np.shape(probs)} for {found.shape}")
    if found.dtype.kind not in "iub" or found.min() < 0 or found.max() >= given.shape[1]:
        raise DataError(f"labels: must be class numbers 0..{given.shape[1] - 1} (columns of probs), got others")
    if not np.allclose(given.sum(axis=1), 1.0, atol=1e-3):
        raise DataError("probs: rows must sum to 1; take the softmax of logits first")
    return found.astype(np.int64), given
