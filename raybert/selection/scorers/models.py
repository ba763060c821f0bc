"""Signals that a model computes: embeddings of the frozen encoder, and outputs of proxy models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from raybert.models import Encoder, load_backbone, load_trained_classifier
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.training.inference import embed_examples, predict_with_features


@dataclass(frozen=True)
class EmbeddingScorer:
    """`embeddings` (n, d): L2-normalised last hidden states of the frozen encoder, pooled over word pieces."""

    signals = ("embeddings",)
    uses_model = True

    encoder: Encoder
    pooling: Literal["mean", "cls"]

    def identity(self) -> dict[str, Any]:
        """Return encoder files and pooling."""
        return {"scorer": "embeddings", "encoder": self.encoder.fingerprint, "pooling": self.pooling}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that embeds positions."""
        model = load_backbone(self.encoder).to(_device())

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            embeddings = embed_examples(
                model,
                scoring_data.data.train,
                positions,
                data=scoring_data.data,
                pooling=self.pooling,
                max_tokens=scoring_data.max_tokens,
                precision=scoring_data.precision,
            )
            return {"embeddings": embeddings}

        return score


@dataclass(frozen=True)
class ProxyScorer:
    """Outputs of proxies on the pool that they were trained on, in eval mode.

    `probs` (n, m, C) of m proxies, and `features` (n, h), the input of the first one's last layer.
    """

    signals = ("probs", "features")
    uses_model = True

    proxies: tuple[str, ...]
    checkpoints: tuple[Path, ...]

    def identity(self) -> dict[str, Any]:
        """Return the proxies' trial ids, which are content hashes of all that made them."""
        return {"scorer": "proxy", "proxies": list(self.proxies)}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs all proxies on positions."""
        models = [load_trained_classifier(folder).to(_device()) for folder in self.checkpoints]

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            outputs = [
                predict_with_features(
                    model,
                    scoring_data.data.train,
                    positions,
                    data=scoring_data.data,
                    max_tokens=scoring_data.max_tokens,
                    precision=scoring_data.precision,
                )
                for model in models
            ]
            return {"probs": np.stack([probs for probs, _ in outputs], axis=1), "features": outputs[0][1]}

        return score


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
