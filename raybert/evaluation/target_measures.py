"""What predictions of several labels, or of numbers, are worth: as `measures` says it of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.intervals import LEVEL
from raybert.analysis.statistics.resampled import draw_weights
from raybert.analysis.statistics.resampled_targets import resampled_target_metric
from raybert.data.targets import names_of_set
from raybert.errors import ConfigError, DataError
from raybert.evaluation.measures import Evaluation
from raybert.tables.evaluation import PER_CLASS
from raybert.training.measures.metrics import class_rates
from raybert.training.measures.of_targets import best_thresholds, label_metrics, target_metrics
from raybert.training.measures.own_metrics import OwnMetric, own_values

_UNCHANGED = ("loss", "map")
"""What the threshold does not change."""
_OUTCOMES = ("found", "missed", "wrongly predicted", "rightly not predicted")


def evaluate_targets(
    targets: np.ndarray,
    probs: np.ndarray,
    names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    threshold: float = 0.5,
    num_resamples: int = 1000,
    seed: int = 0,
    own: Sequence[OwnMetric] = (),
) -> Evaluation:
    """Return every metric of a set of predictions with its interval, and of several labels those of each.

    `per_class` has a row per label (of numbers none), `confusion` how often each is found, missed and wrongly
    predicted.

    Args:
        targets: (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, L) probabilities of labels, or (m, 1) numbers.
        names: of the labels, or of the number.
        groups: (m,) ids, such as the document that an example is from; intervals then draw whole groups.
        threshold: of every label, in 0..1.
        num_resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.
        own: metrics of a user's own, which are measured of all and of groups.

    Raises:
        ConfigError: a threshold out of range, or of numbers; a negative number of resamples.
        DataError: arrays that do not fit each other.
    """
    check_target_threshold(threshold, len(names))
    if num_resamples < 0:
        raise ConfigError(f"num_resamples: must be >= 0 (0: no intervals), got {num_resamples}")
    if probs.shape != targets.shape or targets.shape[1] != len(names) or not len(targets):
        raise DataError(f"probs: must be of shape {targets.shape}, for {len(names)} outputs, got {probs.shape}")
    units, group_names = _units(groups)
    metrics = target_values(targets, probs, threshold, own)
    intervals = target_intervals(
        targets, probs, threshold, units=units, num_resamples=num_resamples, seed=seed, own=own
    )
    per_group = None
    if units is not None:
        parts = [(name, np.flatnonzero(units == number)) for number, name in enumerate(group_names)]
        per_group = pd.DataFrame(
            [
                {"group": name, "num_examples": len(part), **target_values(targets[part], probs[part], threshold, own)}
                for name, part in parts
            ]
        )
    several = len(names) > 1
    return Evaluation(
        label_names=tuple(names),
        labels=targets,
        probs=probs,
        threshold=None,
        overall=pd.DataFrame(
            [(metrics[name], *intervals[name]) for name in metrics],
            index=pd.Index(list(metrics), name="metric"),
            columns=["value", "low", "high"],
        ),
        per_class=_per_label(targets, probs, names, threshold) if several else pd.DataFrame(columns=PER_CLASS.order()),
        per_group=per_group,
        confusion=_outcomes(targets, probs, names, threshold) if several else _outcomes(None, None, (), threshold),
        thresholds=None,
        best_threshold=None,
        num_resamples=num_resamples,
    )


def target_values(
    targets: np.ndarray, probs: np.ndarray, threshold: float = 0.5, own: Sequence[OwnMetric] = ()
) -> dict[str, float]:
    """Return every metric of a set of predictions, and those of a user's own.

    Args:
        targets: (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, L) probabilities of labels, or (m, 1) numbers.
        threshold: of every label.
        own: metrics of a user's own.
    """
    return target_metrics(targets, probs, threshold) | own_values(own, targets, probs, probs >= threshold)


def target_intervals(
    targets: np.ndarray,
    probs: np.ndarray,
    threshold: float = 0.5,
    *,
    units: np.ndarray | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
    own: Sequence[OwnMetric] = (),
) -> dict[str, tuple[float, float]]:
    """Return the 95 % percentile interval of every metric of `target_values`; NaN ends: there is none.

    Args:
        targets: (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, L) probabilities of labels, or (m, 1) numbers.
        threshold: of every label.
        units: (m,) numbers 0..U-1 of what is drawn with replacement; default: every example on its own.
        num_resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.
        own: metrics of a user's own, called once a resample with its examples.
    """
    names = list(target_metrics(targets, probs, threshold))
    weights = _weights(len(targets), units, num_resamples, seed)
    if weights is None:
        return dict.fromkeys([*names, *(one.name for one in own)], (float("nan"), float("nan")))
    moved = probs - (threshold - 0.5)  # of what no threshold changes the probabilities themselves are resampled
    found = {
        name: _ends(resampled_target_metric(name, targets, probs if name in _UNCHANGED else moved, weights))
        for name in names
    }
    drawn = [np.repeat(np.arange(len(targets)), row.astype(np.int64)) for row in weights] if own else []
    for one in own:
        values = [one.value(targets[rows], probs[rows], probs[rows] >= threshold) for rows in drawn]
        found[one.name] = _ends(np.asarray(values))
    return found


def check_target_threshold(threshold: float, num_outputs: int) -> None:
    """Refuse a threshold out of range, or of numbers, before anything is computed."""
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold: must be in 0..1, got {threshold:g}")
    if threshold != 0.5 and num_outputs == 1:
        raise ConfigError(f"threshold: must be left away of a model that predicts numbers, got {threshold:g}")


def target_frame(
    example_ids: np.ndarray,
    targets: np.ndarray | None,
    probs: np.ndarray,
    names: Sequence[str],
    *,
    threshold: float = 0.5,
    texts: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per example, in the order given.

    Columns: example_id, [text], [label], predicted, and of several labels prob_<name> of each; of these `label` and
    `predicted` are the names, joined by `, `, and of numbers the numbers.

    Args:
        example_ids: (m,).
        targets: (m, L); None: not known.
        probs: (m, L) probabilities of labels, or (m, 1) numbers.
        names: of the outputs.
        threshold: of every label.
        texts: (m,); default: left away.
    """
    columns: dict[str, Any] = {"example_id": example_ids}
    if texts is not None:
        columns["text"] = texts
    if len(names) == 1:
        columns |= {} if targets is None else {"label": targets[:, 0]}
        return pd.DataFrame(columns | {"predicted": probs[:, 0]})
    if targets is not None:
        columns["label"] = [names_of_set(row > 0, names) for row in targets]
    columns["predicted"] = [names_of_set(row >= threshold, names) for row in probs]
    return pd.DataFrame(columns | {f"prob_{name}": probs[:, k] for k, name in enumerate(names)})


def note_on_thresholds(
    validation: tuple[np.ndarray, np.ndarray], targets: np.ndarray, probs: np.ndarray, names: Sequence[str]
) -> str:
    """Return what thresholds that are chosen on validation, one a label, give on a split.

    Args:
        validation: targets and probabilities that they are chosen on.
        targets: (m, L) of the split.
        probs: (m, L).
        names: of the labels.
    """
    chosen = best_thresholds(*validation)
    before, after = target_metrics(targets, probs), target_metrics(targets, probs, chosen)
    shown = ", ".join(f"{name} {value:.3g}" for name, value in list(zip(names, chosen, strict=True))[:12])
    return (
        f"thresholds of the highest F1 of each label on validation ({shown}{', ...' if len(names) > 12 else ''}) give "
        f"here micro F1 {after['micro_f1']:.3f} and macro F1 {after['macro_f1']:.3f}; 0.5 gives "
        f"{before['micro_f1']:.3f} and {before['macro_f1']:.3f}"
    )


def _per_label(targets: np.ndarray, probs: np.ndarray, names: Sequence[str], threshold: float) -> pd.DataFrame:
    from sklearn.metrics import roc_auc_score

    marks, chosen = targets > 0, probs >= threshold
    found = label_metrics(targets, probs, threshold)
    specificity, areas = [], []
    for k in range(len(names)):
        confusion = np.array(
            [
                [(~marks[:, k] & ~chosen[:, k]).sum(), (~marks[:, k] & chosen[:, k]).sum()],
                [(marks[:, k] & ~chosen[:, k]).sum(), (marks[:, k] & chosen[:, k]).sum()],
            ],
            np.float64,
        )
        specificity.append(class_rates(confusion)["specificity"][1])
        is_mixed = marks[:, k].any() and not marks[:, k].all()
        areas.append(float(roc_auc_score(marks[:, k], probs[:, k])) if is_mixed else float("nan"))
    table = found.assign(label=names, specificity=specificity, auc_roc=areas, auc_pr=found["average_precision"])
    return table[PER_CLASS.order()]


def _outcomes(
    targets: np.ndarray | None, probs: np.ndarray | None, names: Sequence[str], threshold: float
) -> pd.DataFrame:
    """Return (L, 4) how often each label is found, missed, wrongly predicted, and rightly not predicted."""
    if targets is None or probs is None:
        return pd.DataFrame(columns=pd.Index(_OUTCOMES, name="predicted"), index=pd.Index([], name="label"))
    marks, chosen = targets > 0, probs >= threshold
    counts = [marks & chosen, marks & ~chosen, ~marks & chosen, ~marks & ~chosen]
    return pd.DataFrame(
        np.stack([each.sum(axis=0) for each in counts], axis=1).astype(np.int64),
        index=pd.Index(names, name="label"),
        columns=pd.Index(_OUTCOMES, name="predicted"),
    )


def _units(groups: np.ndarray | None) -> tuple[np.ndarray | None, pd.Index[Any]]:
    if groups is None:
        return None, pd.Index([])
    numbers, names = pd.factorize(np.asarray(groups), sort=True)
    return numbers, pd.Index(names)


def _weights(size: int, units: np.ndarray | None, number: int, seed: int) -> np.ndarray | None:
    """Return (b, m) how often each example is in each resample, of whole groups where there are; None: no resamples."""
    num_units = size if units is None else int(units.max()) + 1
    if not number or num_units < 2:
        return None
    drawn = draw_weights(number, num_units, seed)
    return drawn if units is None else drawn[:, units]


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of what resamples gave; NaN: it is undefined in all of them."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
