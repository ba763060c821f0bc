"""What a run does when the device's memory runs out: smaller micro-batches, the same batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from raybert.errors import TrialError
from raybert.training import checkpoint
from raybert.training.memory.micro_batch import find_micro_batch_size
from raybert.training.optimization.gradients import BatchPart, GradientMaker
from raybert.training.ranks import gather_objects
from raybert.training.state import RunState

_log = logging.getLogger(__name__)


def accumulate_what_fits(
    gradients: GradientMaker,
    batch: np.ndarray,
    weights: np.ndarray | None,
    state: RunState,
    folder: Path | None,
    watch: Callable[[], AbstractContextManager[None]],
) -> list[BatchPart]:
    """Add the gradient of a batch; what does not fit into memory is tried again in parts of half the size.

    Args:
        gradients: computes it.
        batch: positions of all ranks together.
        weights: (n,) example weights by pool position, or None for all 1.
        state: holds the size of the parts, and every time that it was made smaller.
        folder: of the checkpoints, where several ranks record a smaller size.
        watch: entered around every try.

    Raises:
        TrialError: one example alone does not fit; or one of several ranks ran out of memory, and all have to restart
            from the last checkpoint with what this one recorded: they wait in the exchange of gradients, which
            this one cannot join any more.
    """
    step = state.step + 1
    while True:
        try:
            with watch():
                return gradients.accumulate(batch, weights, state.micro_batch_size)
        except torch.cuda.OutOfMemoryError as error:
            size = smaller_micro_batch(state.micro_batch_size, -(-len(batch) // gradients.world_size), step)
            if gradients.world_size > 1:
                if folder is not None:
                    checkpoint.write_limit(folder, size)
                raise TrialError(
                    f"step {step}: rank {gradients.rank} ran out of memory; micro-batches of {size} are next: "
                    f"{str(error).splitlines()[0]}",
                    kind="oom",
                ) from error
        # Outside the handler: the error holds the tensors of the frames that it went through.
        if gradients.device.type == "cuda":
            torch.cuda.empty_cache()
        _reduce(state, size)


def smaller_micro_batch(current: int | None, share: int, step: int) -> int:
    """Return half of what did not fit into memory.

    Args:
        current: examples per forward pass; None: the whole share.
        share: examples of the batch on this rank.
        step: at which memory ran out, for the error.

    Raises:
        TrialError: one example alone does not fit.
    """
    size = min(current or share, share)
    if size <= 1:
        raise TrialError(
            f"step {step}: one example must fit into the device's memory, got an out-of-memory error; lower "
            "data.max_length, set train.gradient_checkpointing: true, or take a smaller encoder",
            kind="oom",
        )
    return size // 2


def largest_micro_batch(gradients: GradientMaker, parameters: list[torch.nn.Parameter]) -> int:
    """Return how many of the longest examples fit into memory on every rank."""
    sizes: list[int] = gather_objects(find_micro_batch_size(gradients, parameters), gradients.world_size)
    return min(sizes)


def obey_limit(state: RunState, folder: Path | None) -> None:
    """Take the smaller micro-batch that a rank which ran out of memory has recorded."""
    limit = checkpoint.read_limit(folder) if folder is not None else None
    if limit is not None and limit < (state.micro_batch_size or math.inf):
        _reduce(state, limit)


def memory_notes(state: RunState) -> tuple[str, ...]:
    """Say when memory ran out, and what followed."""
    return tuple(
        f"memory ran out at step {step}: micro-batches of {size} from there on" for step, size in state.reductions
    )


def _reduce(state: RunState, size: int) -> None:
    state.micro_batch_size = size
    _log.warning("memory ran out at step %d: micro-batches of %d from here on", state.step + 1, size)
    state.reductions.append([state.step + 1, size])
