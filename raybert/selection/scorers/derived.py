"""Signals of the whole pool that are computed from other signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.selection.scorers.aflite import aflite_signal
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoringData


@dataclass(frozen=True)
class AfliteScorer:
    """`aflite` (n, 2): when adversarial filtering removed each example, and how predictable it was then."""

    signals = ("aflite",)
    reads = ("embeddings",)
    runs = ()

    def identity(self) -> dict[str, Any]:
        """Return its name and version, which is raised when the same embeddings give other values."""
        return {"scorer": "aflite", "version": 4}

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Filter on the embeddings; the seed is the same for every sweep, so that all trials share one result."""
        return {"aflite": aflite_signal(signals["embeddings"], np.asarray(scoring_data.data.train.labels), 0)}


def aflite_scorer(request: ScorerRequest) -> AfliteScorer:
    """Return the scorer of a trial; nothing of it depends on the trial."""
    return AfliteScorer()
