"""From labels and probabilities of a split to every metric, with intervals, by class, by group and by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from raybert.errors import ConfigError, DataError
from raybert.evaluation.bootstrap import bootstrap_intervals
from raybert.tables.evaluation import PER_CLASS, THRESHOLDS
from raybert.training.measures.metrics import class_metrics, count_confusions, evaluation_metrics
from raybert.training.measures.own_metrics import OwnMetric, own_values

_NUM_THRESHOLDS = 100
_ROW_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Evaluation:
    """What a model's probabilities are worth on labelled examples.

    Attributes:
        label_names: of the C classes.
        labels: (m,) class numbers.
        probs: (m, C).
        threshold: from which probability of class 1 on it is predicted; None for more than two classes.
        overall: a row per metric of `evaluation_metrics` (index), with value, low and high (95 % interval).
        per_class: `raybert.tables.evaluation.PER_CLASS`, in order of class.
        per_group: `PER_GROUP`, in order of group; None without groups.
        confusion: (C, C) counts, rows are labels, columns predictions.
        thresholds: `THRESHOLDS`, at most about 100; None for more than two classes.
        best_threshold: the row of `thresholds` with the highest F1 of all thresholds. It is chosen on these data: its
            F1 is too good for a test. None for more than two classes, or where no example is of class 1.
        num_resamples: behind the intervals.
    """

    label_names: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    probs: np.ndarray = field(repr=False)
    threshold: float | None
    overall: pd.DataFrame
    per_class: pd.DataFrame
    per_group: pd.DataFrame | None
    confusion: pd.DataFrame
    thresholds: pd.DataFrame | None
    best_threshold: dict[str, float] | None
    num_resamples: int

    def metric(self, name: str) -> tuple[float, float, float]:
        """Return value, low and high of an overall metric."""
        value, low, high = self.overall.to_numpy()[self.overall.index.get_loc(name)]
        return float(value), float(low), float(high)


def evaluate_predictions(
    labels: np.ndarray,
    probs: np.ndarray,
    label_names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    threshold: float = 0.5,
    num_resamples: int = 1000,
    seed: int = 0,
    own: Sequence[OwnMetric] = (),
) -> Evaluation:
    """Return every metric of a set of predictions; `bootstrap_intervals` states what the intervals cost.

    Args:
        labels: (m,) class numbers 0..C-1, m >= 1.
        probs: (m, C) float, rows sum to 1.
        label_names: of the C classes.
        groups: (m,) ids, such as the document that an example is from; intervals then draw whole groups.
        threshold: of class 1 of two classes, in 0..1; see `predicted_classes`.
        num_resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.
        own: metrics of a user's own, which are measured of all and of groups.

    Raises:
        DataError: arrays that do not fit each other, labels or probabilities out of range, or missing groups.
        ConfigError: a threshold for more than two classes or out of range, a negative number of resamples, or what a
            metric of a user's own did.
    """
    labels, probs = np.asarray(labels), np.asarray(probs)
    _check(labels, probs, label_names)
    if num_resamples < 0:
        raise ConfigError(f"num_resamples: must be >= 0 (0: no intervals), got {num_resamples}")
    predicted = predicted_classes(probs, threshold)
    units, group_names = _group_numbers(groups, len(labels))
    metrics = evaluation_metrics(labels, probs, predicted) | own_values(own, labels, probs, predicted)
    intervals = bootstrap_intervals(
        labels, probs, predicted, units=units, num_resamples=num_resamples, seed=seed, own=own
    )
    is_binary = probs.shape[1] == 2
    thresholds, best = _thresholds(labels, probs[:, 1]) if is_binary else (None, None)
    names = tuple(label_names)
    per_class = class_metrics(labels, probs, predicted)
    per_class = per_class.assign(label=names)[PER_CLASS.order()]
    return Evaluation(
        label_names=names,
        labels=labels,
        probs=probs,
        threshold=threshold if is_binary else None,
        overall=pd.DataFrame(
            [(metrics[name], *intervals[name]) for name in metrics],
            index=pd.Index(list(metrics), name="metric"),
            columns=["value", "low", "high"],
        ),
        per_class=per_class,
        per_group=None if units is None else _group_metrics(labels, probs, predicted, units, group_names, own),
        confusion=pd.DataFrame(
            count_confusions(labels, predicted, len(names)).astype(np.int64),
            index=pd.Index(names, name="label"),
            columns=pd.Index(names, name="predicted"),
        ),
        thresholds=thresholds,
        best_threshold=best,
        num_resamples=num_resamples,
    )


def predicted_classes(probs: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the class that is decided for each example, (m,) int64.

    At 0.5 it is the most probable class, the first of equals, as in training. Any other threshold predicts class 1 of
    two classes from that probability on.

    Args:
        probs: (m, C) float.
        threshold: in 0..1.

    Raises:
        ConfigError: a threshold out of range, or other than 0.5 for more than two classes.
    """
    check_threshold(threshold, probs.shape[1])
    if threshold == 0.5:
        return np.asarray(probs.argmax(axis=1), np.int64)
    return np.asarray(probs[:, 1] >= threshold, np.int64)


def check_threshold(threshold: float, num_classes: int) -> None:
    """Refuse what `predicted_classes` cannot decide by, before anything is computed.

    Raises:
        ConfigError: a threshold out of range, or other than 0.5 for more than two classes.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold: must be in 0..1, got {threshold:g}")
    if threshold != 0.5 and num_classes != 2:
        raise ConfigError(
            f"threshold: must be 0.5 unless there are two classes, got {threshold:g} for {num_classes} classes; "
            "leave it away"
        )


def threshold_table(labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> pd.DataFrame:
    """Return what deciding for class 1 from each threshold on would give, 0/0 is NaN: `THRESHOLDS`.

    Args:
        labels: (m,) 0 or 1.
        scores: (m,) probability of class 1.
        thresholds: (t,) any order.
    """
    positives, negatives = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    missed, rejected = np.searchsorted(positives, thresholds), np.searchsorted(negatives, thresholds)
    hits, false_alarms = len(positives) - missed, len(negatives) - rejected
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "threshold": np.asarray(thresholds, np.float64),
                "precision": hits / (hits + false_alarms),
                "recall": hits / np.float64(len(positives)),
                "f1": 2 * hits / (2 * hits + missed + false_alarms),
                "specificity": rejected / np.float64(len(negatives)),
                "predicted_positive_fraction": (hits + false_alarms) / len(labels),
            }
        )[THRESHOLDS.order()]


def predictions_frame(
    example_ids: np.ndarray,
    labels: np.ndarray | None,
    probs: np.ndarray,
    label_names: Sequence[str],
    *,
    threshold: float = 0.5,
    texts: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per example, in the order given.

    Columns: example_id, [text], [label] (name), predicted (name), confidence (the probability of the predicted
    class), and prob_<name> per class.

    Args:
        example_ids: (m,).
        labels: (m,) class numbers; None: not known.
        probs: (m, C) float.
        label_names: of the C classes.
        threshold: as in `predicted_classes`.
        texts: (m,); default: left away.
    """
    names = np.asarray(label_names, dtype=object)
    predicted = predicted_classes(probs, threshold)
    columns: dict[str, Any] = {"example_id": example_ids}
    if texts is not None:
        columns["text"] = texts
    if labels is not None:
        columns["label"] = names[labels]
    columns |= {"predicted": names[predicted], "confidence": probs[np.arange(len(probs)), predicted]}
    return pd.DataFrame(columns | {f"prob_{name}": probs[:, c] for c, name in enumerate(label_names)})


def _thresholds(labels: np.ndarray, scores: np.ndarray) -> tuple[pd.DataFrame, dict[str, float] | None]:
    """Return the table at evenly spread quantiles of the distinct scores, and the best row over all of them.

    Of thresholds with equal F1 the lowest is the best. It is in the table.
    """
    table = threshold_table(labels, scores, np.unique(scores))
    shown = np.unique(np.linspace(0, len(table) - 1, min(len(table), _NUM_THRESHOLDS)).round().astype(int))
    if not (labels == 1).any():
        return table.iloc[shown].reset_index(drop=True), None
    best = int(table["f1"].to_numpy().argmax())
    row = {str(name): float(value) for name, value in table.iloc[best].items()}
    return table.iloc[np.union1d(shown, [best])].reset_index(drop=True), row


def _group_metrics(
    labels: np.ndarray,
    probs: np.ndarray,
    predicted: np.ndarray,
    units: np.ndarray,
    names: pd.Index[Any],
    own: Sequence[OwnMetric] = (),
) -> pd.DataFrame:
    order = np.argsort(units, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(units[order])) + 1)
    rows = []
    for name, part in zip(names, parts, strict=True):
        held = (labels[part], probs[part], predicted[part])
        rows.append({"group": name, "num_examples": len(part), **evaluation_metrics(*held), **own_values(own, *held)})
    return pd.DataFrame(rows)


def _group_numbers(groups: np.ndarray | None, num_examples: int) -> tuple[np.ndarray | None, pd.Index[Any]]:
    if groups is None:
        return None, pd.Index([])
    if len(groups) != num_examples:
        raise DataError(f"groups: must be one per example ({num_examples}), got {len(groups)}")
    numbers, names = pd.factorize(np.asarray(groups), sort=True)
    missing = int((numbers < 0).sum())
    if missing:
        raise DataError(f"groups: must not be missing, got {missing} of {num_examples} without one; name or drop them")
    return numbers, pd.Index(names)


def _check(labels: np.ndarray, probs: np.ndarray, label_names: Sequence[str]) -> None:
    num_classes = len(label_names)
    if labels.ndim != 1 or not len(labels):
        raise DataError(f"labels: must be one per example, at least one example, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels: must be whole numbers, got {labels.dtype}; give the class number of each example")
    if num_classes < 2 or probs.shape != (len(labels), num_classes):
        raise DataError(
            f"probs: must be {len(labels)} examples x {num_classes} classes (two at least), got shape {probs.shape}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        wrong = int(((labels < 0) | (labels >= num_classes)).sum())
        raise DataError(f"labels: must be in 0..{num_classes - 1}, got {wrong} others; drop examples without a label")
    broken = ~(np.abs(probs.sum(axis=1) - 1) <= _ROW_SUM_TOLERANCE) | (probs < 0).any(axis=1)
    if broken.any():
        raise DataError(
            f"probs: rows must sum to 1, got {int(broken.sum())} of {len(probs)} that do not, "
            f"first {probs[broken][0][:5].tolist()} in row {int(broken.argmax()) + 1} (from 1)"
        )
