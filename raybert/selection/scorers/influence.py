"""Influence: how well an example's last-layer gradient agrees with that of target examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raybert.selection.scorers.models import OneProxy
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.selection.scorers.target import VALIDATION, Target, make_target

_ROWS = 2048


def residuals(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n, C) float64 p - onehot(y): the gradient of the cross entropy in the logits.

    Args:
        probs: (n, C) rows sum to 1.
        labels: (n,) class numbers.
    """
    found = probs.astype(np.float64)
    found[np.arange(len(labels)), labels] -= 1.0
    return found


def mean_gradient(probs: np.ndarray, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (C, d + 1) float64 mean gradient in weights and bias of the last layer.

    Args:
        probs: (m, C) rows sum to 1.
        features: (m, d) inputs of the last layer.
        labels: (m,) class numbers.
    """
    return np.asarray(residuals(probs, labels).T @ _with_bias(features) / len(labels))


def influences(probs: np.ndarray, features: np.ndarray, labels: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return (n, 2) float64 product of each example's gradient with the target's, and its cosine.

    The gradient of an example is (p - onehot(y)) [h; 1]^T, so that the product is (p - onehot(y))^T G [h; 1].

    Args:
        probs: (n, C) rows sum to 1.
        features: (n, d) inputs of the last layer.
        labels: (n,) class numbers.
        target: (C, d + 1) G.
    """
    left, right = residuals(probs, labels), _with_bias(features)
    products = np.einsum("nc,nc->n", left, right @ target.T)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1) * np.linalg.norm(target)
    return np.column_stack([products, np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)])


def _with_bias(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features.astype(np.float64), np.ones(len(features))])


@dataclass(frozen=True)
class InfluenceScorer(OneProxy):
    """`influence` (n, 2): product and cosine with the mean last-layer gradient of a target, of a proxy in eval mode."""

    passes = 1

    signal: str = field(kw_only=True)
    target: Target = field(kw_only=True)

    @property
    def signals(self) -> tuple[str, ...]:
        """Name of the array."""
        return (self.signal,)

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id and the target."""
        return {"scorer": "influence", "signal": self.signal, "proxy": self.run, **self.target.identity()}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs the proxy on positions; the target's gradient is summed up before."""
        proxy = self.load_proxy(scoring_data)
        table, pool = self.target.table(scoring_data), scoring_data.data.train
        total: np.ndarray | float = 0.0
        for start in range(0, len(table), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(table)))
            part = mean_gradient(*proxy.probs_and_features(table, rows), np.asarray(table.labels)[rows])
            total = total + part * (len(rows) / len(table))
        gradient = np.asarray(total)
        labels = np.asarray(pool.labels)

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            probs, features = proxy.probs_and_features(pool, positions)
            return {self.signal: influences(probs, features, labels[positions], gradient).astype(np.float32)}

        return score


def influence_scorer(request: ScorerRequest, source: str = VALIDATION, signal: str = "influence") -> InfluenceScorer:
    """Return what gives a trial the agreement of its pool with a target."""
    return InfluenceScorer.of(request, signal=signal, target=make_target(source, request))
