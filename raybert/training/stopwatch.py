"""How long steps of training take, by the loop itself: for estimates, which throw the model away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from raybert.training.interface import LocalSurroundings
from raybert.training.ran_on import RanOn


@dataclass
class Stopwatch(LocalSurroundings):
    """Surroundings that note when each step was done, and stop the run when enough is timed.

    Attributes:
        is_enough: `times` so far -> whether to stop; default: never.
        times: seconds, of a clock that starts anywhere: when each step was done, on a GPU too, which works behind the
            program's back.
        ran_on: what `auto` became; None: not begun.
    """

    is_enough: Callable[[Sequence[float]], bool] = lambda times: False
    times: list[float] = field(default_factory=list)
    ran_on: RanOn | None = None

    def begun(self, ran_on: RanOn) -> None:
        """Note it."""
        self.ran_on = ran_on

    def stepped(self, step: int) -> None:
        """Note the time, once the step is over."""
        if self.ran_on is not None and self.ran_on.device != "cpu":
            torch.accelerator.synchronize()
        self.times.append(time.perf_counter())

    def should_stop(self) -> bool:
        """Tell whether enough is timed."""
        return self.is_enough(self.times)
