"""What a training run gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from raybert.training.objective import MeasuredElsewhere
from raybert.training.ran_on import RanOn
from raybert.training.state import Row


@dataclass(frozen=True)
class FitResult:
    """What a training run measured.

    Attributes:
        rows: one per evaluation.
        best_row: the row whose weights the model now has.
        stopped: whether it was asked to stop before T; a checkpoint is there, the rest is not final.
        optimizer_steps: done.
        examples_seen: forward and backward, repetitions included.
        samples_per_pass: examples of every pass.
        examples_scored: forward passes that the pass planner asked for.
        test_metrics: of the best row's weights; None if the test split was not to be read.
        validation_probs: (v, C) float32, of the best row's weights.
        test_probs: (t, C) float32, likewise.
        train_losses: (n,) float32, each example's plain cross entropy when it was last trained on; NaN: never.
        train_loss_passes: (n,) int32, the pass (0, 1, 2, ...) of that loss; -1: never.
        train_seconds: in forward, backward and step.
        evaluation_seconds: on validation and test.
        selection_seconds: in the pass planner.
        notes: what a user should know of the run.
        micro_batch_size: examples per forward pass at the end, where they were limited.
        extra: of further test sets, by name, of the best row's weights.
        ran_on: device, precision and attention; None: made by somebody else's `fit`.
    """

    rows: list[Row]
    best_row: Row
    stopped: bool
    optimizer_steps: int
    examples_seen: int
    samples_per_pass: tuple[int, ...]
    examples_scored: int
    test_metrics: dict[str, float] | None
    validation_probs: np.ndarray | None
    test_probs: np.ndarray | None
    train_losses: np.ndarray
    train_loss_passes: np.ndarray
    train_seconds: float
    evaluation_seconds: float
    selection_seconds: float
    notes: tuple[str, ...] = ()
    micro_batch_size: int | None = None
    extra: Mapping[str, MeasuredElsewhere] = field(default_factory=dict)
    ran_on: RanOn | None = None
