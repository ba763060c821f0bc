"""The losses that training runs over the whole pool have left behind: no model has to run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybert.errors import ScoringError
from raybert.files import reading_back
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoringData


@dataclass(frozen=True)
class TrainingLossScorer:
    """`loss` (n,): each example's last training loss, the mean over the runs that trained on it; NaN: none did."""

    signals = ("loss",)
    reads = ()

    runs: tuple[str, ...]
    files: tuple[Path, ...]

    def identity(self) -> dict[str, Any]:
        """Return the runs' trial ids."""
        return {"scorer": "loss", "runs": list(self.runs)}

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Average what the runs have written."""
        return {"loss": mean_loss([_read(path) for path in self.files])}


def training_loss_scorer(request: ScorerRequest) -> TrainingLossScorer:
    """Return what gives a trial the training losses of its proxies, or of its run behind the dynamics."""
    runs = request.runs(request.selection.scorers.loss.of).runs
    return TrainingLossScorer(runs, tuple(request.losses_of(run) for run in runs))


def mean_loss(losses: Sequence[np.ndarray]) -> np.ndarray:
    """Return (n,) float32 means over runs of (n,) losses, NaN where no run has one."""
    stacked = np.stack(losses).astype(np.float64)
    counts = (~np.isnan(stacked)).sum(axis=0)
    means = np.divide(np.nansum(stacked, axis=0), counts, out=np.full(stacked.shape[1], np.nan), where=counts > 0)
    return np.asarray(means, np.float32)


def _read(path: Path) -> np.ndarray:
    """Return the (n,) losses that a run wrote.

    Raises:
        ScoringError: it wrote none.
    """
    try:
        remedy = "delete the run's folder to run it again"
        with reading_back(path, remedy), np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["loss"])
    except FileNotFoundError:
        raise ScoringError(
            f"{path}: no such file: the run is of raybert 0.1, which wrote no losses; delete its folder to run it again"
        ) from None
