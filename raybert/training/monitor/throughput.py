"""How fast training is, and which share of the device's peak that is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from raybert.training.monitor.layers import trained_layers
from raybert.training.optimization.precision import Precision

# TFLOP/s of dense matrix products, accumulated in float32, by `torch.cuda.get_device_name`: bf16, fp16, tf32, fp32;
# None: the device has no such units. Not those with 2:4 sparsity, twice as much, which data sheets print.
# Sources: NVIDIA's data sheets of A100, H100, H200, L4, L40S, T4, V100 and A10; RTX 3090: NVIDIA, "Ampere GA102 GPU
# Architecture", appendix A; RTX 4090: NVIDIA, "Ada GPU Architecture", appendix A.
_PEAKS: tuple[tuple[str, tuple[float | None, float, float | None, float]], ...] = (
    (r"NVIDIA A100(-SXM4|-PCIE|-PCIe)-(40|80)GB|NVIDIA A100 80GB PCIe", (312.0, 312.0, 156.0, 19.5)),
    (r"NVIDIA H100 80GB HBM3|NVIDIA H200", (989.4, 989.4, 494.7, 66.9)),
    (r"NVIDIA H100 PCIe", (756.0, 756.0, 378.0, 51.2)),
    (r"NVIDIA H100 NVL|NVIDIA H200 NVL", (835.5, 835.5, 417.5, 60.0)),
    (r"NVIDIA L4", (121.0, 121.0, 60.0, 30.3)),
    (r"NVIDIA L40S", (362.05, 362.05, 183.0, 91.6)),
    (r"(NVIDIA|Tesla) T4", (None, 65.0, None, 8.1)),
    (r"(NVIDIA|Tesla) V100-SXM2-(16|32)GB(-N|-LS)?", (None, 125.0, None, 15.7)),
    (r"(NVIDIA|Tesla) V100-PCIE-(16|32)GB", (None, 112.0, None, 14.0)),
    (r"NVIDIA A10", (125.0, 125.0, 62.5, 31.2)),
    (r"(NVIDIA )?GeForce RTX 3090", (71.0, 71.0, 35.6, 35.6)),
    (r"(NVIDIA )?GeForce RTX 4090", (165.2, 165.2, 82.6, 82.6)),
)
_FORMATS = ("bf16", "fp16", "tf32", "fp32")


def peak_flops(device_name: str, number_format: str) -> float:
    """Return a GPU's peak FLOP/s, NaN for what the table does not have (parts of a GPU, other models, CPUs).

    Args:
        device_name: as `torch.cuda.get_device_name` says it.
        number_format: bf16, fp16, tf32 or fp32.
    """
    for pattern, peaks in _PEAKS:
        if re.fullmatch(pattern, device_name):
            peak = peaks[_FORMATS.index(number_format)]
            return math.nan if peak is None else peak * 1e12
    return math.nan


def device_peak(device: torch.device, precision: Precision) -> float:
    """Return the peak FLOP/s of a device in the format that its matrix products run in, NaN if unknown."""
    if device.type != "cuda":
        return math.nan
    return peak_flops(torch.cuda.get_device_name(device), precision.name)


@dataclass(frozen=True)
class StepFlops:
    """The floating-point operations that training a model takes.

    6 N per token, forward and backward, plus 12 L d s for attention to s tokens: N parameters besides the embeddings, L
    layers of width d. Tokens are word pieces, s is the length of their own example: padding is no useful work.

    Attributes:
        num_parameters: N.
        attention_factor: 12 L d.

    Source: Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with Pathways", appendix B.
    """

    num_parameters: int
    attention_factor: int

    @classmethod
    def of(cls, model: nn.Module) -> StepFlops | None:
        """Return those of a transformers encoder, or None where the formula does not hold.

        That is where the model is no encoder, and where layers are frozen, which saves part of the backward pass.
        """
        config = getattr(getattr(model, "base_model", None), "config", None)
        if config is None:
            return None
        layers = trained_layers(model)
        embeddings = {id(p) for p in layers.get("embeddings", [])}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in embeddings]
        if any(f"layer.{i}" not in layers for i in range(config.num_hidden_layers)):
            return None
        return cls(sum(p.numel() for p in others), 12 * config.num_hidden_layers * config.hidden_size)

    def __call__(self, lengths: np.ndarray) -> float:
        """Return the operations of one forward and backward pass over examples of these lengths."""
        tokens = lengths.astype(np.float64)
        return float((6 * self.num_parameters * tokens + self.attention_factor * tokens**2).sum())


@dataclass
class ThroughputMeter:
    """Adds up what steps did and how long they took.

    Attributes:
        flops: of the model; None: unknown.
        peak: FLOP/s of all devices together, NaN if unknown.
    """

    flops: StepFlops | None
    peak: float
    _sums: dict[str, float] = field(default_factory=dict)

    def add(self, lengths: np.ndarray, padded: Sequence[np.ndarray], seconds: float) -> None:
        """Take a step.

        Args:
            lengths: (batch,) word pieces of every example, on all ranks.
            padded: the lengths of each micro-batch of this rank.
            seconds: of the step.
        """
        step = {
            "seconds": seconds,
            "examples": len(lengths),
            "tokens": float(lengths.sum()),
            "flops": self.flops(lengths) if self.flops else math.nan,
            "own_tokens": float(sum(part.sum() for part in padded)),
            "own_places": float(sum(part.max(initial=0) * len(part) for part in padded)),
        }
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in step.items()}

    def read(self) -> dict[str, float]:
        """Return the rates since the last call, and begin anew.

        `mfu` is NaN where the device's peak is unknown or `StepFlops` does not hold.
        """
        sums, self._sums = self._sums, {}
        places = sums["own_places"]
        return {
            "examples_per_second": sums["examples"] / sums["seconds"],
            "tokens_per_second": sums["tokens"] / sums["seconds"],
            "padding_fraction": 1.0 - sums["own_tokens"] / places if places else math.nan,
            "mfu": sums["flops"] / sums["seconds"] / self.peak,
        }
