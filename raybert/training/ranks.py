"""What the workers of one training run agree on. With one worker everything is itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist


def broadcast_positions(positions: np.ndarray | None, world_size: int, device: torch.device) -> np.ndarray:
    """Return rank 0's positions on every rank, as int64 in a tensor of their own.

    Packed beside float32 losses they would be wrong above 2^24.
    """
    if world_size == 1:
        assert positions is not None
        return np.asarray(positions, np.int64)
    count = torch.tensor([0 if positions is None else len(positions)], dtype=torch.int64, device=device)
    dist.broadcast(count, src=0)
    if positions is None:
        tensor = torch.empty(int(count.item()), dtype=torch.int64, device=device)
    else:
        tensor = torch.from_numpy(np.array(positions, np.int64)).to(device)
    dist.broadcast(tensor, src=0)
    return tensor.cpu().numpy()


def broadcast_object(value: Any, world_size: int) -> Any:
    """Return rank 0's value on every rank."""
    if world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_objects(value: Any, world_size: int) -> list[Any]:
    """Return the values of all ranks, in rank order, on every rank."""
    if world_size == 1:
        return [value]
    values: list[Any] = [None] * world_size
    dist.all_gather_object(values, value)
    return values
