"""What training itself measures: every example's loss, per pass, and their mean since the last evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from raybert.errors import TrialError
from raybert.training.ranks import gather_objects


class LossHistory:
    """The training losses of every example, read from the device once for many steps.

    Args:
        example_ids: (n,) str, of every pool position.
        world_size: ranks whose losses are gathered.
        observe: is shown positions, losses and steps, each (m,), of what is read, before it is checked.

    Attributes:
        passes: per pass (n,) float32, NaN where an example was not in it.
        window: sums of loss, of correct predictions and of examples since the last evaluation.
        saved_step: of the last checkpoint, for errors.
    """

    def __init__(
        self,
        example_ids: np.ndarray,
        world_size: int,
        observe: Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None = None,
    ) -> None:
        self.example_ids, self.world_size, self.observe = example_ids, world_size, observe
        self.passes: list[np.ndarray] = []
        self.window = np.zeros(3)
        self.saved_step: int | None = None
        self._unread: list[tuple[np.ndarray, torch.Tensor, torch.Tensor, int]] = []

    def begin_pass(self) -> None:
        """Start a row of its own for the next pass."""
        self.passes.append(np.full(len(self.example_ids), np.nan, np.float32))

    def add(self, positions: np.ndarray, losses: torch.Tensor, correct: torch.Tensor, step: int) -> None:
        """Take the losses and hits of some examples, both (b,) and still on the device."""
        self._unread.append((positions, losses, correct, step))

    def read(self) -> None:
        """Move what was added on any rank into the passes; all ranks must call it at the same step.

        Raises:
            TrialError: a loss is not finite; names the first such step and its examples.
        """
        ranks = gather_objects(self._take_unread(), self.world_size)
        positions, losses, correct, steps = (np.concatenate(parts) for parts in zip(*ranks, strict=True))
        if self.observe is not None:
            self.observe(positions, losses, steps)
        self._check_finite(positions, losses, steps)
        if len(positions):
            self.passes[-1][positions] = losses
            self.window += (losses.sum(dtype=np.float64), correct.sum(), len(losses))

    def close_window(self) -> tuple[float, float]:
        """Return the mean loss and accuracy since the last call, NaN if nothing was trained on."""
        loss, correct, count = self.window
        self.window = np.zeros(3)
        return (loss / count, correct / count) if count else (math.nan, math.nan)

    def latest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each example's last training loss (n,) float32, NaN: none, and its pass (n,) int32, -1: none."""
        losses = np.full(len(self.example_ids), np.nan, np.float32)
        epochs = np.full(len(self.example_ids), -1, np.int32)
        for epoch, row in enumerate(self.passes):
            seen = ~np.isnan(row)
            losses[seen], epochs[seen] = row[seen], epoch
        return losses, epochs

    def stacked(self) -> np.ndarray:
        """Return all passes as (epochs, n) float32."""
        return np.stack(self.passes) if self.passes else np.empty((0, len(self.example_ids)), np.float32)

    @property
    def last_checkpoint(self) -> str:
        """What an error says of it."""
        return "there is no checkpoint" if self.saved_step is None else f"last checkpoint: step {self.saved_step}"

    def _take_unread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        if not self._unread:
            return np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, bool), np.empty(0, np.int64)
        positions, losses, correct, steps = zip(*self._unread, strict=True)
        self._unread = []
        return (
            np.concatenate(positions),
            torch.cat(losses).float().cpu().numpy(),
            torch.cat(correct).cpu().numpy(),
            np.repeat(steps, [len(part) for part in positions]),
        )

    def _check_finite(self, positions: np.ndarray, losses: np.ndarray, steps: np.ndarray) -> None:
        broken = ~np.isfinite(losses)
        if not broken.any():
            return
        step = steps[broken].min()
        first = np.flatnonzero(broken & (steps == step))
        examples = ", ".join(str(name) for name in self.example_ids[positions[first[:5]]])
        more = ", ..." if len(first) > 5 else ""
        raise TrialError(
            f"step {step}: the training loss must be finite, got {losses[first[0]]} for {len(first)} examples "
            f"({examples}{more}); {self.last_checkpoint}; lower train.learning_rate or set train.precision: fp32",
            kind="nan",
        )
