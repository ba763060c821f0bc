"""How often a proxy is wrong on validation examples of each class: by what `balance: error` shares a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.selection.scorers.models import OneProxy
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData


def errors_of_classes(probs: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return (C,) float64 share of the examples of each class that are wrong; of a class without any, of all examples.

    Args:
        probs: (m, C) of the examples.
        labels: (m,) class numbers.
        num_classes: C.
    """
    is_wrong = probs.argmax(axis=1) != labels
    counts = np.bincount(labels, minlength=num_classes)
    wrong = np.bincount(labels, is_wrong, minlength=num_classes)
    overall = np.full(num_classes, float(is_wrong.mean()))
    return np.asarray(np.divide(wrong, counts, out=overall, where=counts > 0))


@dataclass(frozen=True)
class ClassErrorScorer(OneProxy):
    """`class_error` (n,): of each example's class, by a proxy on validation."""

    signals = ("class_error",)
    passes = 0

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id; validation is in the fingerprint of the data."""
        return {"scorer": "class_error", "proxy": self.run}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that looks up the classes of positions; validation is predicted before."""
        data = scoring_data.data
        probs = self.load_proxy(scoring_data).probs(data.validation)
        errors = errors_of_classes(probs, np.asarray(data.validation.labels), data.num_classes).astype(np.float32)
        labels = np.asarray(data.train.labels)
        return lambda positions: {"class_error": errors[labels[positions]]}


def class_error_scorer(request: ScorerRequest) -> ClassErrorScorer:
    """Return what gives a trial the errors of its proxy on validation, class by class."""
    return ClassErrorScorer.of(request)
