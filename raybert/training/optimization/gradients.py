"""The gradient of one batch: micro-batches that fit into memory, on any number of ranks, as if it were one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raybert.config import TrainConfig
from raybert.data.examples import ExampleData
from raybert.files import cache_folder
from raybert.training.objective import Objective
from raybert.training.optimization.dropout import FastDropout
from raybert.training.optimization.precision import Precision
from raybert.training.transfer import to_device

_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch looks for code that it has compiled, to load it; by default a name in /tmp that anybody can take."""


@dataclass(frozen=True)
class BatchPart:
    """What the forward pass of some examples of a batch gave.

    Attributes:
        positions: (b,) pool rows.
        losses: (b,) the mean loss of every example's predictions, on the device.
        hits: (b,) how many of them were right, on the device.
        counts: (b,) how many there were, on the device; None: one of each.
    """

    positions: np.ndarray
    losses: torch.Tensor
    hits: torch.Tensor
    counts: torch.Tensor | None = None


class GradientMaker:
    """Computes the gradient of a batch's loss into the parameters' `grad`.

    Args:
        model: what is trained; one with a `penalty()` has it added once per batch.
        data: whose pool the positions are of.
        objective: makes inputs of positions, and losses of outputs.
        config: the train section.
        precision: resolved.
        scaler: of the gradients, where the precision needs it.
        rank: of this worker.
        world_size: number of workers.
    """

    def __init__(
        self,
        model: nn.Module,
        data: ExampleData,
        objective: Objective,
        config: TrainConfig,
        precision: Precision,
        scaler: torch.amp.GradScaler,
        rank: int,
        world_size: int,
    ) -> None:
        self.model, self.data, self.config, self.precision, self.scaler = model, data, config, precision, scaler
        self.objective, self.rank, self.world_size = objective, rank, world_size
        self.device = next(model.parameters()).device
        if config.compile:
            _keep_compiled_code()
        forward: Any = torch.compile(model, dynamic=True) if config.compile else model
        self.module: Any = DistributedDataParallel(forward) if world_size > 1 else forward
        # fp32 stays what torch computes draw for draw; recomputed activations and compiled code are outside the mode.
        is_fast = precision.name == "bf16" and not config.gradient_checkpointing and not config.compile
        self.dropout: AbstractContextManager[Any] = FastDropout() if is_fast else contextlib.nullcontext()
        self.penalty: Callable[[], torch.Tensor] | None = getattr(model, "penalty", None)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """Return this rank's part of a batch: what must be in one forward pass stays together."""
        size = self.objective.group_size
        if size == 1:
            return batch[self.rank :: self.world_size]
        is_own = np.arange(len(batch)) // size % self.world_size == self.rank
        return np.asarray(batch[is_own])

    def accumulate(
        self, batch: np.ndarray, weights: np.ndarray | None, micro_batch_size: int | None
    ) -> list[BatchPart]:
        """Add the gradient of a batch, of which this rank takes its share, in parts of `micro_batch_size`.

        The loss is that of the objective over the whole batch, whatever the parts and ranks.

        Args:
            batch: positions of all ranks together.
            weights: (n,) example weights by pool position, or None for all 1.
            micro_batch_size: examples per forward pass, whole groups of them but at least one; None: the share at once.

        Raises:
            torch.cuda.OutOfMemoryError: a part did not fit; what was added so far is cleared.
        """
        share = self.share(batch)
        size = micro_batch_size or max(1, len(share))
        size = max(1, size // self.objective.group_size) * self.objective.group_size
        # A rank without a share takes part in the exchange with an empty one.
        parts = [share[i : i + size] for i in range(0, len(share), size)] or [share]
        denominators = self.objective.denominators(batch)
        done = []
        try:
            for i, positions in enumerate(parts):
                is_last = i == len(parts) - 1
                quiet = self.module.no_sync() if self.world_size > 1 and not is_last else contextlib.nullcontext()
                with quiet:
                    done.append(self._backward(positions, weights, denominators, is_last=is_last))
        except torch.cuda.OutOfMemoryError:
            self.model.zero_grad(set_to_none=True)
            done.clear()
            raise
        return done

    def _backward(
        self, positions: np.ndarray, weights: np.ndarray | None, denominators: tuple[float, ...], *, is_last: bool
    ) -> BatchPart:
        """Add the gradient of some examples, as their part of a batch whose terms are divided by `denominators`."""
        inputs = to_device(self.objective.inputs(positions), self.device)
        with self.dropout, self.precision.autocast(self.device):
            outputs = self.objective.forward(self.module, inputs)
        losses = self.objective.losses(outputs, inputs)
        total = self._total(losses.terms[0], denominators[0], positions, weights)
        for values, denominator in zip(losses.terms[1:], denominators[1:], strict=True):
            total = total + self._total(values, denominator, positions, weights)
        if is_last and self.penalty is not None:
            total = total + self.penalty()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        known = len(positions)
        counts = None if losses.counts is None else losses.counts[:known]
        return BatchPart(positions, losses.values[:known], losses.hits[:known], counts)

    def _total(
        self, values: torch.Tensor, denominator: float, positions: np.ndarray, weights: np.ndarray | None
    ) -> torch.Tensor:
        """Return what a term (b,) adds to the loss of the whole batch."""
        if len(positions) == 0:
            return values.sum() * 0.0
        weighted = values
        if weights is not None:
            factors = to_device({"weights": torch.from_numpy(weights[positions])}, self.device)
            weighted = values * factors["weights"]
        # DDP averages gradients over ranks; the loss is a sum over them.
        return weighted.sum() * (self.world_size / denominator)


def _keep_compiled_code() -> None:
    """Let torch keep what it compiles in the cache of this user."""
    os.environ.setdefault(_COMPILED, str(cache_folder() / "compiled"))
