"""What a training run minimises and is measured by: all that the loop has to ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from raybert.training.interface import PassPlan
from raybert.training.state import Row


@dataclass(frozen=True)
class Losses:
    """What the forward pass of b examples gives, on the device.

    A step minimises, over the terms, the sum of sum(w_i * term_i) / denominator: w_i are the weights of the examples,
    all 1 by default, and both sums are over the whole batch: all micro-batches, on all ranks.

    Attributes:
        terms: each (b,), one for every denominator.
        values: (b,) the mean loss of every example's predictions, for the history, whatever is minimised.
        hits: (b,) how many of an example's predictions were right.
        counts: (b,) how many predictions of an example there were; None: one of each.
    """

    terms: tuple[torch.Tensor, ...]
    values: torch.Tensor
    hits: torch.Tensor
    counts: torch.Tensor | None = None


@dataclass(frozen=True)
class MeasuredElsewhere:
    """What is measured of the best weights on a further test set.

    Attributes:
        probs: (m, C) float32.
        metrics: all of the task, and a user's own.
    """

    probs: np.ndarray
    metrics: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """What is measured of the best weights at the end of a run.

    Attributes:
        validation_probs: (v, C) float32; None: there are no classes.
        test_probs: (t, C) float32; None: likewise, or the test split was not to be read.
        test_metrics: None: likewise.
        extra: of further test sets, by name.
    """

    validation_probs: np.ndarray | None = None
    test_probs: np.ndarray | None = None
    test_metrics: dict[str, float] | None = None
    extra: Mapping[str, MeasuredElsewhere] = field(default_factory=dict)


class Objective(Protocol):
    """What a run minimises, and what it is measured by; `raybert.training.classification` is one, masked LM another.

    It must be a pure function of its own fields, the pass and the examples: any rank, micro-batch and restart asks the
    same and gets the same.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the losses so far."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the weights depend on beside the train section, as JSON: a checkpoint of another one is refused."""

    @property
    def group_size(self) -> int:
        """How many examples that follow each other in a batch must be in one forward pass; 1: none need others."""

    def begin_pass(self, plan: PassPlan, number: int) -> None:
        """Learn what the pass trains on, before any of it is asked for.

        Args:
            plan: of the pass.
            number: of the pass: 0, 1, 2, ...
        """

    def inputs(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return what `forward` and `losses` need for some examples of the pass, on the CPU.

        Args:
            positions: (b,) pool rows; none: any row stands in, for a rank that only takes part in an exchange.
        """

    def denominators(self, batch: np.ndarray) -> tuple[float, ...]:
        """Return what the summed terms of a whole batch are divided by, none of them 0.

        Args:
            batch: positions of all ranks together.
        """

    def forward(self, module: Any, inputs: dict[str, torch.Tensor]) -> Any:
        """Return the module's outputs; runs under autocast.

        Args:
            module: the model, maybe wrapped for distribution or compiled.
            inputs: as from `inputs`, on the device.
        """

    def losses(self, outputs: Any, inputs: dict[str, torch.Tensor]) -> Losses:
        """Return the losses of a forward pass; runs outside autocast.

        Args:
            outputs: as from `forward`.
            inputs: what it was given.
        """

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation split; the row of the evaluation has them as `validation_<name>`.

        `train.best_metric` and the metric of early stopping must be among them.
        """

    def row(self, values: Mapping[str, Any]) -> Row:
        """Return the row of an evaluation.

        Args:
            values: what the loop knows, and the metrics.
        """

    def finish(self, *, evaluate_test: bool) -> Measured:
        """Measure the best weights, which the model has now.

        Args:
            evaluate_test: False never reads the test split.
        """

    def stepped(self, batch: np.ndarray) -> None:
        """Learn that an optimizer step on a batch (all ranks) is done; must be quick."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of it; empty: nothing."""

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
