"""What the predictions of finished runs tell beside their metrics: collapse, the majority class, further metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.on_examples import MeanOverExamples, MeasuredOnResamples, OnExamples, Predictions
from raybert.config.extra_tests import TEST
from raybert.config.metrics import EVALUATION_METRICS, TRIAL_METRICS, is_own_metric
from raybert.sweeping.folder.predictions import PREDICTIONS_FILE, measured, read_splits
from raybert.training.measures.chance import is_weak

THRESHOLD = 0.5
"""From which probability on a label is predicted, as `of_targets` has it, which loads scikit-learn."""

_SEVERAL = 5
"""Held-out examples of a class from which on its absence among predictions is no accident of a small split."""


def held_out_columns(
    folder: Path, further: str | None = None, of: Sequence[str] = ("test",), test: str = TEST
) -> dict[str, Any]:
    """Return what a finished run's predictions tell: columns of `TRIALS`; nothing where none are readable.

    Args:
        folder: of the run.
        further: a metric that is also measured.
        of: the splits that it is measured of.
        test: which test set is `test`, a name of `data.extra_tests`; default: that of the data.
    """
    splits = read_splits(folder, test)
    if not splits:
        return {}
    if any(labels.ndim == 2 for labels, _ in splits.values()):
        return _of_targets(splits) | _further(splits, further, of)
    labels = np.concatenate([labels for labels, _ in splits.values()])
    predicted = np.concatenate([probs.argmax(axis=1) for _, probs in splits.values()])
    found: dict[str, Any] = {"num_never_predicted": never_predicted(labels, predicted)}
    if "validation" in splits:
        own, probs = splits["validation"]
        share = float(np.bincount(own).max() / len(own))
        hits = int((probs.argmax(axis=1) == own).sum())
        found |= {"majority_share": share, "is_weak": int(is_weak(hits, len(own), share))}
    return found | _further(splits, further, of)


_Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def _further(splits: _Splits, metric: str | None, of: Sequence[str]) -> dict[str, Any]:
    if metric is None:
        return {}
    return {f"{split}_{metric}": measured(splits, split, metric) for split in of if split in splits}


def _of_targets(splits: _Splits) -> dict[str, Any]:
    """Return what predictions of several labels, or of numbers, tell.

    `majority_share` is the share of the most frequent set of labels; of numbers there is none, and nothing collapses.
    """
    targets, probs = (np.concatenate([pair[place] for pair in splits.values()]) for place in (0, 1))
    if targets.shape[1] == 1:
        return {"num_never_predicted": 0}
    never = ((targets > 0).sum(axis=0) >= _SEVERAL) & ~(probs >= THRESHOLD).any(axis=0)
    found: dict[str, Any] = {"num_never_predicted": int(never.sum())}
    if "validation" in splits:
        own, probs = splits["validation"]
        share = float(np.unique(own, axis=0, return_counts=True)[1].max() / len(own))
        hits = int(((probs >= THRESHOLD) == (own > 0)).all(axis=1).sum())
        found |= {"majority_share": share, "is_weak": int(is_weak(hits, len(own), share))}
    return found


def predictions_of(folder: Path, test: str = TEST) -> Predictions:
    """Return a reader of what the trials of a sweep predict of test, or of a further test set."""
    return lambda trial_id: read_splits(folder / "trials" / trial_id, test).get(TEST)


def on_examples_of(metric: str, predictions: Predictions) -> OnExamples | None:
    """Return a metric on the test examples of a sweep's trials; None: it is a user's own.

    Args:
        metric: its name.
        predictions: of `predictions_of`.
    """
    if is_own_metric(metric):
        return None

    @cache
    def hits(trial_id: str) -> np.ndarray | None:
        found = predictions(trial_id)
        return None if found is None else np.asarray(found[1].argmax(axis=1) == found[0], dtype=np.float64)

    return MeanOverExamples(hits) if metric == "accuracy" else MeasuredOnResamples(metric, predictions)


def never_predicted(labels: np.ndarray, predicted: np.ndarray) -> int:
    """Return how many classes are never predicted.

    Only classes with 5 or more examples count, unless a single class is predicted of all.

    Args:
        labels: (m,) of held-out examples.
        predicted: (m,) likewise.
    """
    classes, counts = np.unique(labels, return_counts=True)
    missing = ~np.isin(classes, predicted)
    if len(np.unique(predicted)) == 1 < len(classes):
        return int(missing.sum())
    return int((missing & (counts >= _SEVERAL)).sum())


def add_held_out(trials: pd.DataFrame, folder: Path, metric: str, test: str = TEST) -> pd.DataFrame:
    """Return trials with what the predictions of the complete ones tell.

    Args:
        trials: with the columns of `TRIALS`.
        folder: of the sweep.
        metric: of the sweep; measured where runs did not: on test, and on validation if a grid varies `best_metric`.
            One of a user's own is never: every run has measured it, and nothing is imported to read results.
        test: as of `held_out_columns`.
    """
    own = f"validation_{metric}"
    known = trials[own].notna() if own in trials else pd.Series(metric in EVALUATION_METRICS, index=trials.index)
    rows: list[dict[str, Any]] = [
        held_out_columns(folder / "trials" / trial_id, metric, _unmeasured(metric, is_known), test)
        if status == "complete"
        else {}
        for trial_id, status, is_known in zip(trials["trial_id"], trials["status"], known, strict=True)
    ]
    found = pd.DataFrame(rows, index=trials.index)
    names: Sequence[str] = ("num_never_predicted", "majority_share", "is_weak", f"test_{metric}")
    for name in names:
        if name in found and name not in (f"test_{other}" for other in TRIAL_METRICS):
            is_count = name in trials and str(trials[name].dtype) == "Int64"
            trials[name] = found[name].astype("Int64" if is_count else "float64")
    if own in found:
        measured_here = found[own].astype("float64")
        trials[own] = trials[own].astype("float64").fillna(measured_here) if own in trials else measured_here
    if f"test_{metric}" not in trials:  # before the first run has finished, too
        trials[f"test_{metric}"] = float("nan")
    return trials


def _unmeasured(metric: str, is_known: bool) -> list[str]:
    """Return the splits of which a run has not measured a metric itself."""
    if is_own_metric(metric):
        return []
    return [*(["test"] if metric not in TRIAL_METRICS else []), *([] if is_known else ["validation"])]


def unreadable_predictions(trials: pd.DataFrame, folder: Path) -> list[str]:
    """Return the ids of the complete runs whose predictions are there, but torn.

    Args:
        trials: `Sweep.trials`.
        folder: of the sweep.
    """
    unknown = trials[(trials["status"] == "complete") & trials["num_never_predicted"].isna()]
    return [name for name in unknown["trial_id"] if (folder / "trials" / name / PREDICTIONS_FILE).is_file()]
