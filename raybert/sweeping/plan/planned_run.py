"""What views, estimates and trackers ask of a run, whether it is a trial of a sweep or a pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class PlannedRun(Protocol):
    """A run of a results folder, as whoever shows it knows it."""

    @property
    def trial_id(self) -> str:
        """Name of its folder."""

    @property
    def role(self) -> str:
        """What it is for, a word of `raybert.sweeping.plan.roles`."""

    @property
    def label(self) -> str:
        """What it is called in tables: a strategy, or a corpus."""

    @property
    def replicate(self) -> str:
        """Which of those with its label it is, in words."""

    @property
    def total_steps(self) -> int:
        """Optimizer steps T; 0: not known yet."""

    @property
    def passes(self) -> float | None:
        """E, if it ends after so many passes; None: it does not."""

    @property
    def examples(self) -> int | None:
        """N, if it ends after so many examples; None: it does not."""

    @property
    def best_metric(self) -> str:
        """Of validation, by which its best evaluation is chosen."""

    @property
    def reads_signals(self) -> bool:
        """Whether something has to be scored before it begins."""

    @property
    def trains_on(self) -> str:
        """On what, in words."""

    @property
    def size(self) -> str:
        """How much of its data it may take, in words; empty: all."""

    def position_of(self, row: Mapping[str, Any]) -> int:
        """Return how much of T is done at an evaluation."""

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`."""
