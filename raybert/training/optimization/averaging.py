"""Averages of the weights over training: exponential (EMA) or of the last part (SWA)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from raybert.config import AveragingConfig


class WeightAverage:
    """A second set of the trainable weights, which is what gets evaluated and kept.

    torch's `AveragedModel` deep-copies the module, which would leave the copy's head calling the original's forward
    (see `models.keep_head_in_float32`); the arithmetic is torch's own.
    """

    def __init__(self, model: nn.Module, config: AveragingConfig) -> None:
        self.config = config
        self.parameters: list[torch.Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.average: list[torch.Tensor] = []
        self.count = 0
        self._combine: Any
        if config.kind == "ema":
            self._combine = get_ema_multi_avg_fn(config.decay)  # type: ignore[no-untyped-call]
        else:
            self._combine = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self, step: float, total_steps: int) -> None:
        """Take the weights at a position, `step` (1, 2, ...) of T, into the average, if it has begun."""
        if self.config.kind == "none" or step < self.config.start * total_steps:
            return
        current = [parameter.detach() for parameter in self.parameters]
        if self.count == 0:
            self.average = [tensor.clone() for tensor in current]
        else:
            self._combine(self.average, current, torch.tensor(self.count))
        self.count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averaged weights for a moment, once there are any."""
        if not self.average:
            yield
            return
        with torch.no_grad():
            kept = [parameter.detach().clone() for parameter in self.parameters]
            torch._foreach_copy_(self.parameters, self.average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, kept)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"count": self.count, "average": self.average}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.count = int(state["count"])
        device = self.parameters[0].device
        self.average = [tensor.to(device) for tensor in state["average"]]
