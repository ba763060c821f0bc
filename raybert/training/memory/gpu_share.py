"""A GPU that several workers share: what a run needs of its memory, which share that is, and that nobody takes more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

MARGIN = 1.2
"""Of the peak that was measured: longer batches come, and memory is torn into pieces."""
OUTSIDE_BYTES = 600 * 2**20
"""Of a process, that torch does not count: the context of CUDA and the code of its libraries."""
MOST_SHARING = 8
"""Workers on one GPU: more of them wait for each other."""


@dataclass(frozen=True)
class GpuMemory:
    """What a run took of its GPU.

    Attributes:
        peak_bytes: that torch had reserved at most.
        total_bytes: of the GPU.
    """

    peak_bytes: int
    total_bytes: int

    @property
    def needed_bytes(self) -> float:
        """What a worker should have: the peak with a margin, and what torch does not count."""
        return self.peak_bytes * MARGIN + OUTSIDE_BYTES

    @property
    def share(self) -> float:
        """The share of the GPU that a worker needs: 1, 1/2, 1/3, ..., rounded down as Ray counts them."""
        workers = max(1, min(MOST_SHARING, int(self.total_bytes / self.needed_bytes)))
        return 1.0 if workers == 1 else int(10_000 / workers) / 10_000


def read_cuda() -> tuple[int, int]:
    """Return the bytes that torch had reserved at most on the GPU of this process, and those of the GPU."""
    return torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory


class PeakWatch:
    """Measures what is taken of the GPU from now on; without one, nothing.

    Args:
        reset: forgets what was taken before; default: torch's own.
        read: returns the most bytes since, and those of the GPU; default: `read_cuda`.
        has_gpu: whether there is one.
    """

    def __init__(
        self,
        *,
        has_gpu: bool,
        reset: Callable[[], None] = torch.cuda.reset_peak_memory_stats,
        read: Callable[[], tuple[int, int]] = read_cuda,
    ) -> None:
        self._has_gpu, self._read = has_gpu, read
        if has_gpu:
            torch.cuda.empty_cache()
            reset()

    def peak(self) -> GpuMemory | None:
        """Return what was taken; None: there is no GPU."""
        return GpuMemory(*self._read()) if self._has_gpu else None


def keep_to_share(share: float) -> None:
    """Let this process take no more than its share of the memory of its GPU: who takes more runs out of memory alone.

    Micro-batches are then found within the share, whatever the others do.

    Args:
        share: of a worker, `resources.gpus_per_worker`; whole GPUs are not limited.
    """
    if not share or not torch.cuda.is_available():  # who trains on the CPU takes nothing of a GPU
        return
    limit = 1.0
    if share < 1:
        limit = max(share - OUTSIDE_BYTES / torch.cuda.get_device_properties(0).total_memory, share / 2)
    torch.cuda.set_per_process_memory_fraction(limit)
