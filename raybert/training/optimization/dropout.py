"""Dropout whose masks are drawn four at a time: on a CPU, drawing them one by one is a tenth of a training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_LEVELS = 2**16
"""A mask is drawn from 16 random bits: probabilities are rounded to a 65,536th."""


class FastDropout(TorchFunctionMode):
    """Within it, dropout and the dropout of attention on a CPU take their masks from `draw_mask`.

    The masks follow from the state of torch's generator, as usual, but are others than without it.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace two functions, and pass on every other one."""
        kwargs = kwargs or {}
        if func is functional.dropout and args[0].device.type == "cpu":
            return _dropout(*args, **kwargs)
        if func is functional.scaled_dot_product_attention and kwargs.get("dropout_p") and args[0].device.type == "cpu":
            return _attention(*args, **kwargs)
        return func(*args, **kwargs)


def draw_mask(values: torch.Tensor, p: float) -> torch.Tensor:
    """Return a tensor of the shape and format of `values`: 0 with probability p, else 1 / (1 - p).

    The bits are those of SFC64 (numpy), seeded with a draw from torch's global generator.
    """
    dropped = round(p * _LEVELS)
    count = values.numel()
    bits = np.random.SFC64(int(torch.randint(2**62, (1,)))).random_raw(-(-count // 4)).view(np.int16)[:count]
    kept = torch.from_numpy(bits).view(values.shape) >= dropped - _LEVELS // 2
    return kept.to(values.dtype).mul_(_LEVELS / max(1, _LEVELS - dropped))


def _dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if not training or p == 0:
        return input
    mask = draw_mask(input, p)
    return input.mul_(mask) if inplace else input * mask


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> torch.Tensor:
    """Return softmax(q k' / sqrt(d) + mask) v with dropout on the probabilities, which torch computes plainly too."""
    if is_causal or others.get("enable_gqa"):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **others
        )
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    probs = scores.softmax(dim=-1).to(query.dtype)
    return (probs * draw_mask(probs, dropout_p)) @ value
