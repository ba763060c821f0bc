"""Forward passes over many rows: length-sorted batches, eval mode, results in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from raybert.data import TokenizedData, TokenTable, collate, scoring_batches
from raybert.models import embed_batch, pooled_features
from raybert.training.precision import resolve_precision

DEFAULT_MAX_TOKENS = 16384


def predict_probs(
    model: Any,
    table: TokenTable,
    positions: np.ndarray,
    *,
    data: TokenizedData,
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
    table: TokenTable,
    positions: np.ndarray,
    *,
    data: TokenizedData,
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
    table: TokenTable,
    positions: np.ndarray,
    *,
    data: TokenizedData,
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
    table: TokenTable,
    positions: np.ndarray,
    data: TokenizedData,
    max_tokens: int,
    precision: str,
) -> list[np.ndarray]:
    """Apply a function to every batch and put its rows back into the order of `positions`."""
    positions = np.asarray(positions)
    device = next(model.parameters()).device
    batches = scoring_batches(table.lengths, positions, max_tokens)
    outputs: list[list[np.ndarray]] = []
    with eval_mode(model), torch.inference_mode(), resolve_precision(precision, device).autocast(device):
        for rows in batches:
            batch = collate(table, rows, data.pad_id, data.uses_token_types)
            del batch["labels"]
            results = function({name: tensor.to(device) for name, tensor in batch.items()})
            outputs.append([tensor.float().cpu().numpy() for tensor in results])
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


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Switch a model to eval mode for a moment."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
