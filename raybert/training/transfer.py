"""Batches on their way from the CPU to the device that trains."""

from __future__ import annotations

import torch


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Return a batch on a device; on a GPU without waiting for what it still computes.

    A copy out of ordinary memory waits until the GPU has done everything before it, so that the next step is only
    begun when the last one is over. Out of page-locked memory it does not, and torch keeps such memory for the next
    batch until the copy is done.

    Args:
        batch: on the CPU.
        device: to take it to.
    """
    if device.type == "cuda":
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
