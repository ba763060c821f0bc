"""How long a run is, in optimizer steps, passes or examples; and where on its schedule it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raybert.training.state import RunState

_ROUNDING = 1e-9
"""What sums of shares of passes may be off by: no further step is done for it."""


@dataclass(frozen=True)
class RunLength:
    """Where a run stands between 0 and T, whatever its end is counted in: rates and evaluations follow this position.

    - steps: the position is the optimizer steps done.
    - passes: (passes done + share of the current one) / E * T, where a pass that a plan cuts counts by its share.
    - examples: examples seen / N * T.

    Attributes:
        total_steps: T; of a run by passes or examples those of as many over everything that it may choose.
        batch_size: examples per optimizer step.
        passes: E, if it ends after so many; a part of one at the end is whole batches, rounded up.
        examples: N, if it ends after so many, exactly: the last batch is cut.
    """

    total_steps: int
    batch_size: int
    passes: float | None = None
    examples: int | None = None

    def position(self, state: RunState, num_batches: int) -> float:
        """Return where a run stands.

        Args:
            state: of the run.
            num_batches: of the current pass, were it not cut; 0: none is under way.
        """
        if self.passes is not None:
            # One division at the end: what is a whole number comes out as one.
            whole = max(1, num_batches)
            done = state.whole_passes * whole + state.batch
            return min(float(self.total_steps), done * self.total_steps / (self.passes * whole))
        if self.examples is not None:
            return state.examples_seen * self.total_steps / self.examples
        return state.step

    def position_of(self, row: Mapping[str, Any]) -> float:
        """Return where a run stood at an evaluation, as far as the digits of its pass tell.

        Args:
            row: with `pass`, `step` and `examples_seen`.
        """
        if self.passes is not None:
            return min(1.0, float(row["pass"]) / self.passes) * self.total_steps
        if self.examples is not None:
            return float(row["examples_seen"]) * self.total_steps / self.examples
        return float(row["step"])

    def steps_to(self, position: float, num_examples: int, state: RunState) -> int:
        """Return after how many steps of passes over so many examples a run stands at a position; <= 0: it is there.

        Args:
            position: 0..T.
            num_examples: of the passes.
            state: between two passes.
        """
        if self.passes is not None:
            passes = position * self.passes / self.total_steps - state.whole_passes
            return math.ceil(passes * math.ceil(num_examples / self.batch_size) - _ROUNDING)
        if self.examples is not None:
            left = position * self.examples / self.total_steps - state.examples_seen
            return math.ceil(left / self.batch_size - _ROUNDING)
        return math.ceil(position) - state.step

    def examples_left(self, state: RunState) -> int | None:
        """Return how many examples a run may still see; None: any number."""
        return None if self.examples is None else self.examples - state.examples_seen
