"""A strategy and losses that misbehave on request: what a sweep has to survive, brought about from outside.

Trials meet traps, which are files in a folder: a trap that is sprung is gone, so that the next attempt gets through.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import torch
from torch.nn import functional

from raybert.selection.passes import PassRequest
from raybert.selection.strategies.baselines import RandomEpoch
from raybert.training.interface import PassPlan

_CHUNK_BYTES = 2**28
_LARGEST_HOG_FRACTION = 0.8
POLL_SECONDS = 0.01


class Trapped(RandomEpoch):
    """Draws anew for every pass, like `random_epoch`, but walks into a trap before the pass `at`.

    Attributes:
        folder: of the traps.
        at: number of the pass, from 0.
    """

    name: ClassVar[str] = "trapped"

    folder: str
    at: int = 2

    def plan_pass(self, request: PassRequest) -> PassPlan:
        plan = super().plan_pass(request)
        kind = spring(Path(self.folder)) if request.number == self.at else None
        if kind == "error":
            raise RuntimeError("sprung on purpose")
        if kind == "gate":
            wait_at_gate(Path(self.folder))
        if kind == "hog":
            hog_memory(Path(self.folder))
        if kind == "nan":
            return PassPlan(plan.positions, np.full(len(plan.positions), np.nan, np.float32))
        return plan


def spring(folder: Path) -> str | None:
    """Take one of the traps that are left, and return its kind."""
    for trap in sorted(folder.glob("*.trap")):
        try:
            trap.rename(trap.with_suffix(".sprung"))
        except FileNotFoundError:  # another trial was faster
            continue
        return trap.stem.split("-")[0]
    return None


def wait_at_gate(folder: Path) -> None:
    """Wait for a file; it is how a test and a trial agree on the moment of a fault."""
    (folder / f"{os.getpid()}.waiting").touch()
    while not (folder / "open").exists():
        time.sleep(POLL_SECONDS)


def hog_memory(folder: Path) -> None:
    """Take more and more memory until somebody ends this process."""
    free, hoard = psutil.virtual_memory().available, []
    while len(hoard) * _CHUNK_BYTES < _LARGEST_HOG_FRACTION * free:
        hoard.append(np.ones(_CHUNK_BYTES, np.uint8))
    wait_at_gate(folder)


def room_for_four(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy on a device that holds four examples at once."""
    if len(labels) > 4:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return functional.cross_entropy(logits, labels, reduction="none")


def room_for_none(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A device on which not even one example fits."""
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
