"""What always predicting the most frequent class of the pool reaches on test: what a failed run is scored as.

The probabilities of this model are the shares of the classes in the pool, the same for every example. So every metric
has a value, or is undefined as it is of any other model that says the same of all: macro F1 counts the other classes
as 0, a ROC area is 0.5, the cross entropy is that of the shares. Metrics of a user's own are not measured: nothing is
imported to read results.

Of several labels it is the most frequent set of labels of the pool that is always predicted, of numbers their mean.

Source: scikit-learn's `DummyClassifier(strategy="prior")`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from raybert.analysis.statistics.on_examples import Predictions
from raybert.config.extra_tests import TEST
from raybert.config.metrics import METRICS
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.predictions import measured, read_splits


@dataclass(frozen=True)
class MajorityClass:
    """A model that knows how often the pool has each class, and nothing else.

    Attributes:
        pool_counts: (C,) examples of each class in the pool.
        test_counts: (C,) the same of the test split.
    """

    pool_counts: np.ndarray
    test_counts: np.ndarray

    def value(self, metric: str) -> float:
        """Return a metric on test; NaN: it is undefined there, or a user's own."""
        if metric not in METRICS:
            return float("nan")
        labels = np.repeat(np.arange(len(self.test_counts)), self.test_counts)
        return measured({"test": (labels, self.probs(len(labels)))}, "test", metric)

    def probs(self, number: int) -> np.ndarray:
        """Return (number, C) what it says of so many examples."""
        return np.tile(self.pool_counts / self.pool_counts.sum(), (number, 1))


@dataclass(frozen=True)
class ConstantAnswer:
    """A model of several labels, or of numbers, that says the same of every example.

    Attributes:
        answer: (L,) the most frequent set of labels of the pool, or (1,) the mean of its numbers.
        targets: (m, L) of the test split; None: no run on the same data has finished.
    """

    answer: np.ndarray
    targets: np.ndarray | None

    def value(self, metric: str) -> float:
        """Return a metric on test; NaN: it is undefined or not known there."""
        if self.targets is None or metric not in METRICS:
            return float("nan")
        return measured({"test": (self.targets, self.probs(len(self.targets)))}, "test", metric)

    def probs(self, number: int) -> np.ndarray:
        """Return (number, L) what it says of so many examples."""
        return np.tile(self.answer, (number, 1))


Baseline = MajorityClass | ConstantAnswer
"""What a failed run is scored as."""


def majority_classes(folder: Path, trial_ids: Iterable[str], test: str = TEST) -> dict[str, Baseline]:
    """Return the majority class of the data of each trial; nothing of trials whose manifest does not count classes.

    Args:
        folder: of the sweep.
        trial_ids: of its plan.
        test: which test set is meant, a name of `data.extra_tests`; default: that of the data.
    """
    keys = _data_keys(folder)
    described = (read_json(folder / "manifest.json") or {}).get("data")
    known: dict[str, Baseline | None] = {}
    for key, entry in described.items() if isinstance(described, dict) else ():
        trials = [name for name, own in keys.items() if own == key]
        known[key] = _of_data(entry, test) or _constant(entry, folder, trials, test)
    found = {name: known.get(keys.get(name, "")) for name in trial_ids}
    return {name: majority for name, majority in found.items() if majority is not None}


def predictions_with_failures(folder: Path, predictions: Predictions, majority: Mapping[str, Baseline]) -> Predictions:
    """Return a reader of what a trial predicts of test that knows it of the failed ones, too.

    The labels of the test split are those in the predictions of a finished run on the same data.

    Args:
        folder: of the sweep.
        predictions: of finished trials.
        majority: what each failed trial is scored as.
    """
    if not majority:
        return predictions
    keys = _data_keys(folder)

    @cache
    def labels_of(data_key: str) -> np.ndarray | None:
        for name, key in keys.items():
            if key == data_key and name not in majority:
                found = predictions(name)
                if found is not None:
                    return found[0]
        return None

    def of_all(trial_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        if trial_id not in majority:
            return predictions(trial_id)
        labels = labels_of(keys[trial_id])
        return None if labels is None else (labels, majority[trial_id].probs(len(labels)))

    return of_all


def _data_keys(folder: Path) -> dict[str, str]:
    """Return which data each trial of the plan is of."""
    return {str(entry["trial_id"]): str(entry.get("data_key")) for entry in SweepFolder(folder).planned()}


def _of_data(entry: Any, test: str) -> MajorityClass | None:
    """Return the majority class of data as the manifest describes them; None: it does not count their classes."""
    details = entry.get("details") if isinstance(entry, dict) else None
    counts = details.get("class_counts") if isinstance(details, dict) else None
    if not isinstance(counts, dict):
        return None
    of_test = counts if test == TEST or not isinstance(details, dict) else _of_extra_test(details, test)
    pool, held_out = _counts(counts.get("train")), _counts(of_test.get(TEST))
    if pool is None or held_out is None or not pool.sum() or not held_out.sum():
        return None
    is_whole = len(pool) == len(held_out) == len(entry.get("label_names") or pool)
    return MajorityClass(pool, held_out) if is_whole else None


def _of_extra_test(details: Mapping[str, Any], test: str) -> Mapping[str, Any]:
    """Return the class counts of a further test set, in the place of those of test; empty: the manifest has none."""
    known = details.get("extra_tests")
    entry = known.get(test) if isinstance(known, dict) else None
    return {TEST: entry.get("class_counts")} if isinstance(entry, dict) else {}


def _constant(entry: Any, folder: Path, trial_ids: Iterable[str], test: str) -> ConstantAnswer | None:
    """Return the constant answer to data of another task; None: the manifest says none."""
    details = entry.get("details") if isinstance(entry, dict) else None
    answer = details.get("constant_answer") if isinstance(details, dict) else None
    if not isinstance(answer, list) or not answer or not all(isinstance(value, (int, float)) for value in answer):
        return None
    read = (read_splits(folder / "trials" / name, test).get(TEST) for name in trial_ids)
    targets = next((pair[0] for pair in read if pair is not None and pair[0].shape[1:] == (len(answer),)), None)
    return ConstantAnswer(np.array(answer), targets)


def _counts(found: Any) -> np.ndarray | None:
    """Return the examples of each class, in the order of class numbers."""
    if not isinstance(found, dict) or not all(isinstance(count, int) and count >= 0 for count in found.values()):
        return None
    return np.array(list(found.values()), dtype=np.int64)
