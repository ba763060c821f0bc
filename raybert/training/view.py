"""What a pass planner sees of the model that trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raybert.data.examples import ExampleTable
from raybert.lazy import warn_of_old_name
from raybert.training.inference import Inference
from raybert.training.length import RunLength
from raybert.training.measures.history import LossHistory
from raybert.training.state import RunState


@dataclass(frozen=True)
class ModelView:
    """The `PoolView` of a run; examples that are scored through it are counted in the run's state.

    Attributes:
        inference: of the model that trains.
        pool: the table that is scored.
        length: of the run.
        state: of the run.
        history: of the run.
    """

    inference: Inference
    pool: ExampleTable
    length: RunLength
    state: RunState
    history: LossHistory

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def total_steps(self) -> int:
        """T of the run."""
        return self.length.total_steps

    @property
    def position(self) -> float:
        """Where the run stands on its schedule, from 0 to T."""
        return self.length.position(self.state, 0)

    @property
    def passes(self) -> float | None:
        """E, if the run ends after so many passes."""
        return self.length.passes

    def steps_to(self, position: float, num_examples: int) -> int:
        """Return after how many steps of passes over so many examples the run stands at a position."""
        return self.length.steps_to(position, num_examples, self.state)

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
        warn_of_old_name("train_loss_epochs", "train_loss_passes")
        return self.train_loss_passes

    def predict(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (m, C) probabilities in eval mode."""
        return self.inference.probs(self.pool, self._scored(positions))

    def predict_with_features(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (m, C), and features (m, h), the input of the last layer."""
        return self.inference.probs_and_features(self.pool, self._scored(positions))

    def embed(self, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """Return (m, d) L2-normalised pooled embeddings in eval mode."""
        return self.inference.embeddings(self.pool, self._scored(positions), pooling)

    def _scored(self, positions: np.ndarray | None) -> np.ndarray:
        chosen = np.arange(len(self.pool)) if positions is None else positions
        self.state.examples_scored += len(chosen)
        return chosen
