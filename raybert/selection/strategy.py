"""What a selection strategy is: a frozen, registered class whose fields are its keys in the sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config import Section

BudgetKind = Literal["distinct", "per_epoch", "none"]
Schedule = Literal["once", "rounds", "epoch"]


@dataclass(frozen=True)
class Pool:
    """The candidates of one selection and what is known about them.

    Attributes:
        labels: (n,) int64 class numbers 0..C-1.
        num_classes: C.
        tie_keys: (n,) uint64, keyed hash of (seed, example_id): breaks ties and orders random draws.
        signals: per-example arrays by name, each of length n: `probs` (n, C), `embeddings` (n, d), ...
        generator: everything else random; seeded from the trial's seed.
        selected: (s,) int64 positions that earlier rounds chose; they stay, and count towards the budget.
    """

    labels: np.ndarray
    num_classes: int
    tie_keys: np.ndarray
    signals: Mapping[str, np.ndarray]
    generator: np.random.Generator
    selected: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Selection:
    """What a strategy chose.

    Attributes:
        positions: (k,) int64 pool rows, distinct, in the order of selection (best first).
        scores: (k,) float64, the score that each was ranked by (higher = harder); NaN where there is none.
        weights: (k,) float32 loss weights, or None for all 1.
        refilled: how many positions, at the end, were taken back from those that a filter had dropped.
    """

    positions: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None = None
    refilled: int = 0


class Strategy(Section):
    """Base of all strategies. Subclasses are frozen: fields are parameters, class variables are facts.

    A subclass sets `name`, `needs` and `source`, and implements `choose`; its first docstring line is what
    `raybert ls strategies` prints.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    budget_kind: ClassVar[BudgetKind] = "distinct"
    schedules: ClassVar[tuple[Schedule, ...]] = ("once",)
    nested: ClassVar[bool] = False
    """Whether a smaller budget's selection is contained in a larger one's."""
    uses_seed: ClassVar[bool] = True
    """Whether the seed matters beyond ties (given the same signals)."""
    source: ClassVar[str] = ""

    schedule: Schedule = Field("once", description="when the strategy is asked")

    def required_signals(self) -> frozenset[str]:
        """Return the signals that these parameters need; by default `needs`."""
        return self.needs

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return exactly `budget` distinct positions of the pool, in the order of selection."""
        raise NotImplementedError
