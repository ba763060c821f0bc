"""The gradient of one batch: micro-batches that fit into memory, on any number of ranks, as if it were one."""

from __future__ import annotations

import contextlib
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
from raybert.training.measures.losses import Loss
from raybert.training.optimization.dropout import FastDropout
from raybert.training.optimization.precision import Precision


@dataclass(frozen=True)
class BatchPart:
    """What the forward pass of some examples of a batch gave.

    Attributes:
        positions: (b,) pool rows.
        losses: (b,) plain cross entropies, on the device.
        hits: (b,) bool, whether the prediction was right, on the device.
    """

    positions: np.ndarray
    losses: torch.Tensor
    hits: torch.Tensor


class GradientMaker:
    """Computes the gradient of a batch's loss into the parameters' `grad`.

    Args:
        model: a classifier of `raybert.models`; one with a `penalty()` has it added once per batch.
        data: whose pool the positions are of.
        config: the train section.
        precision: resolved.
        scaler: of the gradients, where the precision needs it.
        rank: of this worker.
        world_size: number of workers.
        inputs: makes the model's inputs of positions, of none those of any example; default: of the pool as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        data: ExampleData,
        config: TrainConfig,
        precision: Precision,
        scaler: torch.amp.GradScaler,
        rank: int,
        world_size: int,
        inputs: Callable[[np.ndarray], dict[str, torch.Tensor]] | None = None,
    ) -> None:
        self.model, self.data, self.config, self.precision, self.scaler = model, data, config, precision, scaler
        self.rank, self.world_size = rank, world_size
        self._inputs = inputs or self._inputs_as_they_are
        self.device = next(model.parameters()).device
        forward: Any = torch.compile(model, dynamic=True) if config.compile else model
        self.module: Any = DistributedDataParallel(forward) if world_size > 1 else forward
        # fp32 stays what torch computes draw for draw; recomputed activations and compiled code are outside the mode.
        is_fast = precision.name == "bf16" and not config.gradient_checkpointing and not config.compile
        self.dropout: AbstractContextManager[Any] = FastDropout() if is_fast else contextlib.nullcontext()
        self.penalty: Callable[[], torch.Tensor] | None = getattr(model, "penalty", None)
        self.labels = np.asarray(data.train.labels)

    def accumulate(
        self, batch: np.ndarray, weights: np.ndarray | None, loss: Loss, micro_batch_size: int | None
    ) -> list[BatchPart]:
        """Add the gradient of a batch, of which this rank takes its share, in parts of `micro_batch_size`.

        The loss is sum(w_i * l_i) / denominator over the whole batch, whatever the parts and ranks.

        Args:
            batch: positions of all ranks together.
            weights: (n,) example weights by pool position, or None for all 1.
            loss: what is minimised.
            micro_batch_size: examples per forward pass; None: the share at once.

        Raises:
            torch.cuda.OutOfMemoryError: a part did not fit; what was added so far is cleared.
        """
        share = batch[self.rank :: self.world_size]
        size = micro_batch_size or max(1, len(share))
        # A rank without a share takes part in the exchange with an empty one.
        parts = [share[i : i + size] for i in range(0, len(share), size)] or [share]
        denominator = loss.denominator(self.labels[batch])
        done = []
        try:
            for i, positions in enumerate(parts):
                is_last = i == len(parts) - 1
                quiet = self.module.no_sync() if self.world_size > 1 and not is_last else contextlib.nullcontext()
                with quiet:
                    done.append(self._backward(positions, weights, loss, denominator, is_last=is_last))
        except torch.cuda.OutOfMemoryError:
            self.model.zero_grad(set_to_none=True)
            done.clear()
            raise
        return done

    def _backward(
        self, positions: np.ndarray, weights: np.ndarray | None, loss: Loss, denominator: float, *, is_last: bool
    ) -> BatchPart:
        """Add the gradient of some examples, as their part of a batch whose losses are divided by `denominator`."""
        batch = self._inputs(positions)
        inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        labels = inputs.pop("labels")
        with self.dropout, self.precision.autocast(self.device):
            logits = self.module(**inputs).logits
        values = loss.values(logits, labels)  # (b,)
        if len(positions) == 0:
            total = values.sum() * 0.0
        else:
            weighted = values if weights is None else values * torch.from_numpy(weights[positions]).to(self.device)
            # DDP averages gradients over ranks; the loss is a sum over them.
            total = weighted.sum() * (self.world_size / denominator)
        if is_last and self.penalty is not None:
            total = total + self.penalty()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        known = len(positions)
        hits = logits.detach()[:known].argmax(dim=-1) == labels[:known]
        return BatchPart(positions, _plain_losses(loss, logits, labels, values)[:known], hits)

    def _inputs_as_they_are(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        return self.data.batch(self.data.train, positions if len(positions) else np.zeros(1, np.int64))


def _plain_losses(loss: Loss, logits: torch.Tensor, labels: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return (b,) cross entropies for the history, whatever is minimised; not finite where the loss is not."""
    if loss.is_plain:
        return values.detach()
    with torch.no_grad():
        plain = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return plain + 0.0 * values
