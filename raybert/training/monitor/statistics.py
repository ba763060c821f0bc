"""The arithmetic of monitoring: pure functions on tensors, none of which waits for the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn

DEAD_BELOW = 1e-3
NUM_BINS = 64
_EXACT_COUNTS = 2**24
"""`torch.histc` counts in float32, which is exact up to here."""


class Histogram(NamedTuple):
    """Counts (bins,) int64 in equal bins of [low, high], and what TensorBoard wants besides."""

    counts: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    total: torch.Tensor
    total_squares: torch.Tensor


def norms_by_layer(layers: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """Return the Euclidean norm of each layer's tensors and of all together, (k + 1,) float32, the latter first."""
    norms = torch.stack([nn.utils.get_total_norm(tensors).float() for tensors in layers])
    return torch.cat([norms.norm().unsqueeze(0), norms])


def moments(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return mean, standard deviation and excess kurtosis over all units of the real tokens, (3,) float32.

    The population's: kurtosis = m4 / m2^2 - 3, 0 for a normal distribution, large where a few units are outliers.

    Args:
        values: (..., d) outputs of a layer.
        mask: (...) 1 for tokens that are not padding; None: all.

    Source: Bondarenko et al. 2023, "Quantizable Transformers", who take it for outliers of activations.
    """
    values = values.float()
    weights = torch.ones_like(values[..., :1]) if mask is None else mask.unsqueeze(-1).float()
    count = weights.sum() * values.shape[-1]
    mean = (values * weights).sum() / count
    squares = ((values - mean) * weights).square()
    variance = squares.sum() / count
    fourth = squares.square().sum() / count
    return torch.stack([mean, variance.sqrt(), fourth / variance.square() - 3.0])


def dead_fraction(activations: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the share of units with |a| < 0.001 in every real token, a scalar.

    Args:
        activations: (..., units) after the non-linearity. With ReLU a dead unit is 0; GELU comes near 0 instead.
        mask: (...) 1 for tokens that are not padding; None: all.
    """
    sizes = activations.abs()
    if mask is not None:
        sizes = sizes * mask.unsqueeze(-1)
    return (sizes.flatten(0, -2).amax(0) < DEAD_BELOW).float().mean()


def attention_entropy(attention: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return each head's mean over queries of -sum_j a_ij ln a_ij, (heads,) in nats.

    Padding neither asks nor answers. 0: all attention on one token; ln(tokens): evenly on all.

    Args:
        attention: (b, heads, width, width), rows sum to 1.
        mask: (b, width) 1 for tokens that are not padding.
    """
    keys = mask[:, None, None, :].float()
    queries = mask[:, None, :].float()
    terms: torch.Tensor = torch.special.entr(attention.float())
    entropies = (terms * keys).sum(-1)  # (b, heads, width)
    return (entropies * queries).sum((0, 2)) / queries.sum()


def histogram(tensors: Iterable[torch.Tensor], num_bins: int = NUM_BINS) -> Histogram:
    """Return the histogram of all elements of some tensors, between their smallest and largest."""
    chunks = [chunk for tensor in tensors for chunk in torch.split(tensor.detach().float().flatten(), _EXACT_COUNTS)]
    lows, highs = zip(*(chunk.aminmax() for chunk in chunks), strict=True)
    low, high = torch.stack(lows).min(), torch.stack(highs).max()
    counts = torch.zeros(num_bins, dtype=torch.int64, device=low.device)
    span = (high - low).clamp(min=torch.finfo(torch.float32).tiny)
    for chunk in chunks:
        counts += torch.histc((chunk - low).div_(span), num_bins, 0.0, 1.0).long()
    total = torch.stack([chunk.sum() for chunk in chunks]).sum()
    squares = nn.utils.get_total_norm(chunks).square()
    return Histogram(counts, low, high, total, squares)
