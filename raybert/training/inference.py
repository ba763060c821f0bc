"""Forward passes over many rows: length-sorted batches, eval mode, results in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from raybert.data import scoring_batches
from raybert.data.examples import BatchMaker, ExampleTable
from raybert.models import embed_batch, pooled_features
from raybert.models.tasks import activate
from raybert.models.unpadded import reads_unpadded, with_lengths
from raybert.training.optimization.precision import resolve_precision
from raybert.training.pulse import pulse
from raybert.training.transfer import to_device

Outputs = Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]]
"""A batch of b rows -> tensors of b rows."""


@dataclass(frozen=True)
class Inference:
    """What a model says of examples: the one way by which evaluation, scorers, probes and trained models ask it.

    Batches are of similar length, the encoder runs under autocast, head and softmax in float32; what does not fit into
    memory is done in halves, and the model's mode is restored. Results are in the order of the positions asked for.

    Attributes:
        model: a classifier of `raybert.models`, or an encoder alone, which can only embed.
        data: says how rows are padded.
        precision: as in `train.precision`.
        max_tokens: word pieces per forward pass, padding included.
    """

    model: Any
    data: BatchMaker
    precision: str = "auto"
    max_tokens: int = 16384

    def probs(self, table: ExampleTable, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (m, C) float32 probabilities of some rows of a table: of classes, of labels; or (m, 1) numbers.

        Args:
            table: of examples.
            positions: (m,) rows, distinct; default: all.
        """

        def outputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            return (activate(self.model, self.model(**batch).logits.float()),)

        return self._run(outputs, table, positions)[0]

    def probs_and_features(
        self, table: ExampleTable, positions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (m, C) and features (m, h), the input of the last layer; both float32."""

        def outputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            logits, features = pooled_features(self.model, batch)
            return activate(self.model, logits), features

        probs, features = self._run(outputs, table, positions)
        return probs, features

    def dropout_probs(self, table: ExampleTable, positions: np.ndarray, passes: int, seed: int) -> np.ndarray:
        """Return (m, passes, C) float32 probabilities of some rows with dropout as in training.

        Args:
            table: of examples.
            positions: (m,) rows, distinct.
            passes: how often, each with dropout of its own.
            seed: of what is dropped; the global generators are left as they were.
        """

        def outputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            return tuple(self.model(**batch).logits.float().softmax(dim=-1) for _ in range(passes))

        device = next(self.model.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return np.stack(self._run(outputs, table, positions, dropout_mode), axis=1)

    def embeddings(
        self, table: ExampleTable, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean"
    ) -> np.ndarray:
        """Return (m, d) float32 L2-normalised embeddings of some rows."""

        def outputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            return (embed_batch(self.model, batch, pooling),)

        return self._run(outputs, table, positions)[0]

    def _run(
        self,
        outputs: Outputs,
        table: ExampleTable,
        positions: np.ndarray | None,
        mode: Callable[[Any], AbstractContextManager[None]] | None = None,
    ) -> list[np.ndarray]:
        """Apply a function to every batch and put its rows back into the order of `positions`."""
        positions = np.arange(len(table)) if positions is None else np.asarray(positions)
        device = next(self.model.parameters()).device
        batches = scoring_batches(table.lengths, positions, max(1, self.max_tokens // table.unit_size))
        done: list[list[np.ndarray]] = []
        autocast = resolve_precision(self.precision, device).autocast(device)
        with (mode or eval_mode)(self.model), torch.inference_mode(), autocast:
            for rows in batches:
                pulse()
                done.append(_apply(outputs, self.data, table, rows, device, unpadded=reads_unpadded(self.model)))
        place = np.empty(len(table), np.int64)
        place[positions] = np.arange(len(positions))
        target = place[np.concatenate(batches)]
        arrays = []
        for parts in zip(*done, strict=True):
            joined = np.concatenate(parts)
            ordered = np.empty_like(joined)
            ordered[target] = joined
            arrays.append(ordered)
        return arrays


def _apply(
    outputs: Outputs,
    data: BatchMaker,
    table: ExampleTable,
    rows: np.ndarray,
    device: torch.device,
    *,
    unpadded: bool = False,
) -> list[np.ndarray]:
    """Return the outputs of some rows; what does not fit into memory is done in halves."""
    try:
        batch = data.batch(table, rows)
        del batch["labels"]
        if unpadded:
            batch = with_lengths(batch)
        results = outputs(to_device(batch, device))
        return [tensor.float().cpu().numpy() for tensor in results]
    except torch.cuda.OutOfMemoryError:
        if len(rows) == 1:
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    halves = [_apply(outputs, data, table, part, device, unpadded=unpadded) for part in np.array_split(rows, 2)]
    return [np.concatenate(parts) for parts in zip(*halves, strict=True)]


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Switch a model to eval mode for a moment."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def dropout_mode(model: Any) -> Iterator[None]:
    """Switch the dropout of a model on for a moment, and nothing that learns in a forward pass."""
    before = [(part, part.training) for part in model.modules()]
    model.train()
    for part, _ in before:
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d | torch.nn.SyncBatchNorm):
            part.eval()
    try:
        yield
    finally:
        for part, was_training in before:
            part.training = was_training
