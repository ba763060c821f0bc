"""How often a proxy is wrong on validation examples of each class: by what `balance: error` shares a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybert.selection.scorers.models import load_proxy
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
class ClassErrorScorer:
    """`class_error` (n,): of each example's class, by a proxy on validation."""

    signals = ("class_error",)
    uses_model = True
    passes = 0

    run: str
    checkpoint: Path
    trust: bool = False  # whether code that comes with the encoder may run

    @property
    def runs(self) -> tuple[str, ...]:
        """The proxy's trial id."""
        return (self.run,)

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id; validation is in the fingerprint of the data."""
        return {"scorer": "class_error", "proxy": self.run}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that looks up the classes of positions; validation is predicted before."""
        data = scoring_data.data
        proxy = load_proxy(self.checkpoint, scoring_data, trust=self.trust)
        probs = proxy.probs(data.validation)
        errors = errors_of_classes(probs, np.asarray(data.validation.labels), data.num_classes).astype(np.float32)
        labels = np.asarray(data.train.labels)
        return lambda positions: {"class_error": errors[labels[positions]]}


def class_error_scorer(request: ScorerRequest) -> ClassErrorScorer:
    """Return what gives a trial the errors of its proxy on validation, class by class."""
    run = request.runs("proxy").runs[0]
    return ClassErrorScorer(run, request.model_of(run), request.encoder.trust_remote_code)
