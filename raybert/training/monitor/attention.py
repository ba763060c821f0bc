"""How widely attention heads look: a forward pass of its own, because fused attention keeps no weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from raybert.errors import ModelError
from raybert.models import quiet_transformers
from raybert.training.inference import eval_mode
from raybert.training.monitor.statistics import attention_entropy

NUM_ROWS = 8
_MAX_BYTES = 2**29
"""Of all layers' attention weights: 8 rows of 128 word pieces of BERT-large are half of it."""


def head_entropies(backbone: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the entropy of every attention head, (layers, heads) float32 in nats.

    One forward pass in float32, in eval mode, without gradients; attention implementation and mode are restored
    (transformers leaves hooks of its own on the layers, which then do nothing). Of wide batches fewer rows and columns
    are taken, so that all attention weights fit into 512 MiB.

    Args:
        backbone: a transformers encoder.
        inputs: input_ids, attention_mask, ... (rows, width), padded on the right.

    Raises:
        ModelError: the encoder gives no attention weights.
    """
    inputs = _fitting(backbone.config, inputs)
    device = inputs["attention_mask"].device
    # One small batch with attention weights in float32, which `Inference` has no use for.
    with eager_attention(backbone), eval_mode(backbone), torch.no_grad(), torch.autocast(device.type, enabled=False):
        attentions = backbone(**inputs, output_attentions=True).attentions
        if not attentions or any(attention is None for attention in attentions):
            raise ModelError(_refusal(backbone))
        return torch.stack([attention_entropy(attention, inputs["attention_mask"]) for attention in attentions])


@contextmanager
def eager_attention(backbone: Any) -> Iterator[None]:
    """Let an encoder compute attention weights for a moment.

    Raises:
        ModelError: it cannot.
    """
    before = backbone.config._attn_implementation
    try:
        with quiet_transformers():
            backbone.set_attn_implementation("eager")
    except (AttributeError, ValueError):
        raise ModelError(_refusal(backbone)) from None
    try:
        yield
    finally:
        with quiet_transformers():
            backbone.set_attn_implementation(before)


def spread_rows(num_rows: int, at_most: int = NUM_ROWS) -> np.ndarray:
    """Return numbers of some of a batch's rows, at equal distances: batches are sorted by length."""
    return np.linspace(0, num_rows - 1, min(num_rows, at_most)).round().astype(np.int64)


def _fitting(config: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    num_maps = config.num_hidden_layers * config.num_attention_heads
    widest = max(1, math.isqrt(_MAX_BYTES // (4 * num_maps)))
    width = min(inputs["attention_mask"].shape[1], widest)
    at_most = max(1, _MAX_BYTES // (4 * num_maps * width * width))
    rows = spread_rows(len(inputs["attention_mask"]), min(NUM_ROWS, at_most)).tolist()
    return {name: tensor[rows, :width] for name, tensor in inputs.items()}


def _refusal(backbone: Any) -> str:
    return f"monitor.attention_entropy: {type(backbone).__name__} gives no attention weights; set it to null"
