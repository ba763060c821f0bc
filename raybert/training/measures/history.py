"""What training itself measures: every example's last loss, and the mean of all since the last evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from raybert.errors import TrialError
from raybert.training.ranks import gather_objects


class LossHistory:
    """The last training loss of every example and its pass, read from the device once for many steps.

    Losses of earlier passes are not kept: memory and checkpoints are O(n), however long a run is.

    Args:
        example_ids: (n,) str, of every pool position.
        world_size: ranks whose losses are gathered.
        observe: is shown positions, losses and steps, each (m,), of what is read, before it is checked.

    Attributes:
        losses: (n,) float32, of the last time that an example was trained on; NaN: never.
        loss_passes: (n,) int32, the pass (0, 1, 2, ...) of that loss; -1: never.
        current_pass: number of the pass that losses are of now; -1: none has begun.
        window: sums of loss, of correct predictions and of all predictions since the last evaluation.
        saved_step: of the last checkpoint, for errors.
    """

    def __init__(
        self,
        example_ids: np.ndarray,
        world_size: int,
        observe: Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None = None,
    ) -> None:
        self.example_ids, self.world_size, self.observe = example_ids, world_size, observe
        self.losses = np.full(len(example_ids), np.nan, np.float32)
        self.loss_passes = np.full(len(example_ids), -1, np.int32)
        self.current_pass = -1
        self.window = np.zeros(3)
        self.saved_step: int | None = None
        self._unread: list[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor | None, int]] = []

    def begin_pass(self) -> None:
        """Count what follows as the next pass; what was added before must have been read."""
        self.current_pass += 1

    def add(
        self,
        positions: np.ndarray,
        losses: torch.Tensor,
        correct: torch.Tensor,
        step: int,
        counts: torch.Tensor | None = None,
    ) -> None:
        """Take the losses of some examples and their correct predictions, all (b,) and still on the device.

        Args:
            positions: pool rows.
            losses: mean over the predictions of each example.
            correct: how many of them were right.
            step: of training.
            counts: how many predictions each had; None: one.
        """
        self._unread.append((positions, losses, correct, counts, step))

    def read(self) -> None:
        """Take over what was added on any rank; all ranks must call it at the same step.

        Raises:
            TrialError: a loss is not finite; names the first such step and its examples.
        """
        ranks = gather_objects(self._take_unread(), self.world_size)
        positions, losses, correct, counts, steps = (np.concatenate(parts) for parts in zip(*ranks, strict=True))
        if self.observe is not None:
            self.observe(positions, losses, steps)
        self._check_finite(positions, losses, steps)
        if len(positions):
            self.losses[positions] = losses
            self.loss_passes[positions] = self.current_pass
            self.window += ((losses * counts).sum(dtype=np.float64), correct.sum(), counts.sum(dtype=np.float64))

    def close_window(self) -> tuple[float, float]:
        """Return the mean loss and accuracy since the last call, NaN if nothing was trained on."""
        loss, correct, count = self.window
        self.window = np.zeros(3)
        return (loss / count, correct / count) if count else (math.nan, math.nan)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "losses": torch.from_numpy(self.losses.copy()),
            "loss_passes": torch.from_numpy(self.loss_passes.copy()),
            "current_pass": self.current_pass,
            "window": torch.from_numpy(self.window.copy()),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, or from the checkpoint of raybert 0.1, which kept a row a pass."""
        self.window = saved["window"].numpy()
        losses = saved["losses"].numpy()
        if losses.ndim == 2:  # (passes, n) of raybert 0.1
            self.current_pass = len(losses) - 1
            for number, row in enumerate(losses):
                seen = ~np.isnan(row)
                self.losses[seen], self.loss_passes[seen] = row[seen], number
            return
        self.losses, self.loss_passes = losses, saved["loss_passes"].numpy()
        self.current_pass = saved["current_pass"]

    @property
    def last_checkpoint(self) -> str:
        """What an error says of it."""
        return "there is no checkpoint" if self.saved_step is None else f"last checkpoint: step {self.saved_step}"

    def _take_unread(self) -> tuple[np.ndarray, ...]:
        """Return positions, losses, correct predictions, all predictions and steps, (m,) each."""
        if not self._unread:
            return tuple(np.empty(0, kind) for kind in (np.int64, np.float32, bool, np.float32, np.int64))
        positions, losses, correct, counts, steps = zip(*self._unread, strict=True)
        self._unread = []
        known = [np.ones(len(p), np.float32) if c is None else c for p, c in zip(positions, counts, strict=True)]
        return (
            np.concatenate(positions),
            torch.cat(losses).float().cpu().numpy(),
            torch.cat(correct).cpu().numpy(),
            np.concatenate([c if isinstance(c, np.ndarray) else c.float().cpu().numpy() for c in known]),
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
