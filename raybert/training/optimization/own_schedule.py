"""Learning rates by a scheduler of torch that a script gives, in place of the schedule of the configuration."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class OwnSchedule:
    """Lets a scheduler go on after every step, or, if it waits for a plateau, after every evaluation.

    Args:
        optimizer: whose rates it sets.
        scheduler: of torch, over this optimizer.

    Attributes:
        rate: of the optimizer's first group at the last step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.rate = float(optimizer.param_groups[0]["lr"])

    def stepped(self) -> None:
        """Go on after a step."""
        self.rate = float(self.optimizer.param_groups[0]["lr"])
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def evaluated(self, value: float) -> None:
        """Hear of the metric of an evaluation."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(value)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return dict(self.scheduler.state_dict())

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.scheduler.load_state_dict(saved)
