"""Signals that one proxy gives: the inputs of its last layer, and its outputs with dropout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raybert.errors import ScoringError
from raybert.selection.scorers.models import OneProxy
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData


@dataclass(frozen=True)
class FeatureScorer(OneProxy):
    """`features` (n, h): inputs of the last layer of a proxy on the pool that it was trained on, in eval mode."""

    signals = ("features",)
    passes = 1

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id."""
        return {"scorer": "features", "proxy": self.run}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs the proxy on positions."""
        proxy, table = self.load_proxy(scoring_data), scoring_data.data.train
        return lambda positions: {"features": proxy.probs_and_features(table, positions)[1]}


@dataclass(frozen=True)
class DropoutScorer(OneProxy):
    """`dropout_probs` (n, p, C): outputs of a proxy in p passes, each with dropout of its own.

    What is dropped follows from the block, so that a block that is computed again is the same.
    """

    signals = ("dropout_probs",)

    passes: int = field(kw_only=True)

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id and the number of passes."""
        return {"scorer": "dropout", "proxy": self.run, "passes": self.passes}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs the proxy on positions.

        Raises:
            ScoringError: dropout changes nothing.
        """
        proxy, table = self.load_proxy(scoring_data), scoring_data.data.train

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            probs = proxy.dropout_probs(table, positions, self.passes, int(positions[0]))
            if (probs == probs[:, :1]).all():
                raise ScoringError(
                    "dropout_probs: the model must have dropout, got the same probabilities in every pass; set "
                    "model.dropout, or leave out the strategies that read it (bald)"
                )
            return {"dropout_probs": probs}

        return score


def feature_scorer(request: ScorerRequest) -> FeatureScorer:
    """Return what gives a trial the inputs of its proxy's last layer."""
    return FeatureScorer.of(request)


def dropout_scorer(request: ScorerRequest) -> DropoutScorer:
    """Return what gives a trial the outputs of its proxy with dropout."""
    return DropoutScorer.of(request, passes=request.selection.scorers.dropout.passes)
