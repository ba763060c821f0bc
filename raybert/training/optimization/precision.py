"""In which number format the encoder computes, and whether its gradients need scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from raybert.errors import ConfigError

_BF16_CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@dataclass(frozen=True)
class Precision:
    """A resolved `train.precision`. Weights and optimizer state are float32 in all of them.

    Attributes:
        name: what runs.
        dtype: of matrix products under autocast; None: no autocast.
        scales_gradients: whether a GradScaler is needed (float16 gradients underflow).
    """

    name: Literal["fp32", "tf32", "bf16", "fp16"]
    dtype: torch.dtype | None
    scales_gradients: bool

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context that the encoder runs in."""
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype is not None)


FP32 = Precision("fp32", None, scales_gradients=False)
TF32 = Precision("tf32", None, scales_gradients=False)
"""The loop rounds matrix products of float32 where this is asked for; scores are float32 all the same."""
BF16 = Precision("bf16", torch.bfloat16, scales_gradients=False)
FP16 = Precision("fp16", torch.float16, scales_gradients=True)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Return what `train.precision` means on a device.

    `auto` takes bf16 on processors with bf16 instructions and on GPUs from Ampere on, fp16 on older GPUs, and
    fp32 elsewhere. On a CPU bf16 and fp16 work everywhere when asked for, without such instructions slower than
    fp32 (fp16 on AVX-512 without FP16: 3 times slower than bf16, measured).

    Raises:
        ConfigError: the device cannot compute in that format.
    """
    if name == "auto":
        return _best_precision(device)
    precision = {"fp32": FP32, "tf32": TF32, "bf16": BF16, "fp16": FP16}[name]
    if precision.name == "tf32" and not (device.type == "cuda" and _is_ampere(device)):
        raise ConfigError("train.precision: tf32 needs an NVIDIA GPU from Ampere on; use fp32, bf16 or auto")
    if precision.name == "bf16" and device.type == "cuda" and not _is_ampere(device):
        gpu = torch.cuda.get_device_name(device)
        raise ConfigError(f"train.precision: bf16 needs an Ampere GPU or newer, got {gpu}; use fp16 or auto")
    if precision.dtype is not None and device.type not in ("cpu", "cuda"):
        raise ConfigError(f"train.precision: must be fp32 or auto on {device.type} devices, got {name}")
    return precision


def _best_precision(device: torch.device) -> Precision:
    if device.type == "cuda":
        return BF16 if _is_ampere(device) else FP16
    return BF16 if device.type == "cpu" and _cpu_has_bf16() else FP32


def _cpu_has_bf16() -> bool:
    features = torch.cpu.get_capabilities()
    return any(features.get(name, False) for name in _BF16_CPU_FEATURES)


def _is_ampere(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)
