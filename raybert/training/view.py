"""What a pass planner sees of the model that trains."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

from raybert.data.examples import ExampleData
from raybert.training.inference import embed_examples, predict_probs, predict_with_features
from raybert.training.measures.history import LossHistory
from raybert.training.state import RunState


@dataclass(frozen=True)
class ModelView:
    """The `PoolView` of a run; examples that are scored through it are counted in the run's state.

    Attributes:
        model: the one that trains.
        data: whose pool is scored.
        precision: as in the train section.
        total_steps: T of the run.
        state: of the run.
        history: of the run.
    """

    model: nn.Module
    data: ExampleData
    precision: str
    total_steps: int
    state: RunState
    history: LossHistory

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def train_losses(self) -> np.ndarray:
        """(n,) float32, the loss of each pool example when it was last trained on; NaN: never."""
        return self.history.losses.copy()

    @property
    def train_loss_passes(self) -> np.ndarray:
        """(n,) int32, the pass of that loss; -1: never."""
        return self.history.loss_passes.copy()

    @property
    def train_loss_epochs(self) -> np.ndarray:
        """`train_loss_passes` under its name of raybert 0.1."""
        warnings.warn("train_loss_epochs is now train_loss_passes", DeprecationWarning, stacklevel=2)
        return self.train_loss_passes

    def predict(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (m, C) probabilities in eval mode."""
        chosen = self._scored(positions)
        return predict_probs(self.model, self.data.train, chosen, data=self.data, precision=self.precision)

    def predict_with_features(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (m, C), and features (m, h), the input of the last layer."""
        chosen = self._scored(positions)
        return predict_with_features(self.model, self.data.train, chosen, data=self.data, precision=self.precision)

    def embed(self, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """Return (m, d) L2-normalised pooled embeddings in eval mode."""
        chosen, table = self._scored(positions), self.data.train
        return embed_examples(self.model, table, chosen, data=self.data, pooling=pooling, precision=self.precision)

    def _scored(self, positions: np.ndarray | None) -> np.ndarray:
        chosen = np.arange(len(self.data.train)) if positions is None else positions
        self.state.examples_scored += len(chosen)
        return chosen
