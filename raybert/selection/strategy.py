"""What a selection strategy is: a frozen, registered class whose fields are its keys in the sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from raybert.config import Section
from raybert.training.interface import EpochPlan, PoolView

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
    rounds: int = Field(5, ge=1, description="how often, if the schedule is `rounds`")

    @model_validator(mode="after")
    def _schedule_is_known(self) -> Strategy:
        if self.schedule not in self.schedules:
            raise ValueError(f"schedule: must be one of {', '.join(self.schedules)} for '{self.name}'")
        return self

    def required_signals(self) -> frozenset[str]:
        """Return the signals that these parameters need; by default `needs`."""
        return self.needs

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return exactly `budget` distinct positions of the pool, in the order of selection.

        Those in `pool.selected` come first and count. A strategy of budget kind `none` gets the pool size.
        """
        raise NotImplementedError

    def plan_epoch(self, request: EpochRequest) -> EpochPlan:
        """Return what one pass trains on, for the schedule `epoch`.

        By default pass 0 chooses by the pool's own signals and later ones by probabilities of the current model.
        """
        pool = request.pool
        if request.epoch > 0 and "probs" in self.required_signals():
            pool = replace(pool, signals={**pool.signals, "probs": request.view.predict()})
        selection = self.choose(pool, request.budget)
        return EpochPlan(selection.positions, selection.weights)


@dataclass(frozen=True)
class EpochRequest:
    """What a strategy with the schedule `epoch` is asked before every pass.

    Attributes:
        pool: as before training.
        budget: examples.
        epoch: 0, 1, 2, ...
        previous: plan of the pass before.
        view: the current model and its training losses.
        batch_size: examples per optimizer step.
    """

    pool: Pool
    budget: int
    epoch: int
    previous: EpochPlan | None
    view: PoolView
    batch_size: int


def mean_probs(probs: np.ndarray) -> np.ndarray:
    """Return (n, C) probabilities from (n, C) of one model or (n, m, C) of m proxies."""
    return probs if probs.ndim == 2 else probs.mean(axis=1)
