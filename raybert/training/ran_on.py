"""On what a run computes and how, as it turned out: what `auto` became on the device that was there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from raybert.training.optimization.precision import Precision


@dataclass(frozen=True)
class RanOn:
    """What a run computes on, and how.

    Attributes:
        device: name of the GPU, as torch says it; `cpu`.
        precision: fp32, tf32, bf16 or fp16.
        attention: implementation of attention in the encoder, as transformers calls it; None: it has no choice.
        micro_batch_size: most examples of a forward pass; None: a batch goes through whole.
    """

    device: str
    precision: str
    attention: str | None
    micro_batch_size: int | None

    @classmethod
    def of(cls, model: nn.Module, precision: Precision, micro_batch_size: int | None) -> RanOn:
        """Return what is known of a model on its device."""
        config = getattr(getattr(model, "base_model", None), "config", None)
        attention = getattr(config, "_attn_implementation", None)
        return cls(device_name(next(model.parameters()).device), precision.name, attention, micro_batch_size)

    def columns(self) -> dict[str, Any]:
        """Return what `result.json` and the table `trials` hold of it."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"on {self.device if self.device != 'cpu' else 'the CPU'} in {self.precision}"]
        parts += [f"{self.attention} attention"] if self.attention else []
        parts += [f"micro-batches of at most {self.micro_batch_size} examples"] if self.micro_batch_size else []
        return ", ".join(parts)


def device_name(device: torch.device) -> str:
    """Return how a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
