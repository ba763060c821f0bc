"""Forward passes over many rows: length-sorted batches, eval mode, results in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from raybert.data import scoring_batches
from raybert.data.examples import BatchMaker, ExampleTable
from raybert.models import embed_batch, pooled_features
from raybert.training.optimization.precision import resolve_precision
from raybert.training.pulse import pulse

DEFAULT_MAX_TOKENS = 16384


def predict_probs(
    model: Any,
    table: ExampleTable,
    positions: np.ndarray,
    *,
    data: BatchMaker,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    precision: str = "auto",
) -> np.ndarray:
    """Return (m, C) float32 probabilities of some rows, in the order of `positions`.

    The encoder runs under autocast, head and softmax in float32; the model's mode is restored.

    Args:
        model: a classifier of `raybert.models`.
        table: token table of the rows.
        positions: (m,) rows, distinct.
        data: says how rows are padded.
        max_tokens: word pieces per forward pass, padding included.
        precision: as in `train.precision`.
    """

    def probs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (model(**batch).logits.float().softmax(dim=-1),)

    return _run(probs, model, table, positions, data, max_tokens, precision)[0]


def predict_with_features(
    model: Any,
    table: ExampleTable,
    positions: np.ndarray,
    *,
    data: BatchMaker,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    precision: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (m, C) and features (m, h), the input of the last layer; both float32."""

    def outputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        logits, features = pooled_features(model, batch)
        return logits.softmax(dim=-1), features

    probs, features = _run(outputs, model, table, positions, data, max_tokens, precision)
    return probs, features


def embed_examples(
    model: Any,
    table: ExampleTable,
    positions: np.ndarray,
    *,
    data: BatchMaker,
    pooling: Literal["mean", "cls"] = "mean",
    max_tokens: int = DEFAULT_MAX_TOKENS,
    precision: str = "auto",
) -> np.ndarray:
    """Return (m, d) float32 L2-normalised embeddings of some rows, in the order of `positions`."""

    def embeddings(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (embed_batch(model, batch, pooling),)

    return _run(embeddings, model, table, positions, data, max_tokens, precision)[0]


def _run(
    function: Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]],
    model: Any,
    table: ExampleTable,
    positions: np.ndarray,
    data: BatchMaker,
    max_tokens: int,
    precision: str,
) -> list[np.ndarray]:
    """Apply a function to every batch and put its rows back into the order of `positions`."""
    positions = np.asarray(positions)
    device = next(model.parameters()).device
    batches = scoring_batches(table.lengths, positions, max(1, max_tokens // table.unit_size))
    outputs: list[list[np.ndarray]] = []
    with eval_mode(model), torch.inference_mode(), resolve_precision(precision, device).autocast(device):
        for rows in batches:
            pulse()
            outputs.append(_apply(function, data, table, rows, device))
    place = np.empty(len(table), np.int64)
    place[positions] = np.arange(len(positions))
    target = place[np.concatenate(batches)]
    arrays = []
    for parts in zip(*outputs, strict=True):
        joined = np.concatenate(parts)
        ordered = np.empty_like(joined)
        ordered[target] = joined
        arrays.append(ordered)
    return arrays


def _apply(
    function: Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]],
    data: BatchMaker,
    table: ExampleTable,
    rows: np.ndarray,
    device: torch.device,
) -> list[np.ndarray]:
    """Return a function's outputs for some rows; what does not fit into memory is done in halves."""
    try:
        batch = data.batch(table, rows)
        del batch["labels"]
        results = function({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()})
        return [tensor.float().cpu().numpy() for tensor in results]
    except torch.cuda.OutOfMemoryError:
        if len(rows) == 1:
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    halves = [_apply(function, data, table, part, device) for part in np.array_split(rows, 2)]
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
