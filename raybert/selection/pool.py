"""The candidates of a selection, and what is chosen of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from raybert.selection.keys import keys_for


@dataclass(frozen=True)
class Pool:
    """The candidates of one selection and what is known about them.

    Attributes:
        labels: (n,) int64 class numbers 0..C-1; of another task than classification numbers of strata.
        num_classes: C, or strata.
        tie_keys: (n,) uint64, keyed hash of (seed, example_id): breaks ties.
        signals: per-example arrays by name, each of length n: `probs` (n, C), `embeddings` (n, d), ...; `texts` are
            str, a `column:<name>` of the data holds numbers, truth values or str (None: missing).
        generator: everything else random; seeded from the trial's seed.
        selected: (s,) int64 positions that earlier rounds chose; they stay, and count towards the budget.
        budget_fraction: what share of the whole pool the budget is, where this pool is a part of it or another number
            is asked for (`pre`, `then`, `rounds`); None: what is asked for over the pool's size.
        draw_keys: (n,) uint64, another keyed hash of (seed, example_id), independent of `tie_keys`: the first k of
            their order are a random draw; other draws mix a purpose in (see `keys`). Default: from `tie_keys`.
        notes: what strategies have to say of how they chose; parts of a pool write into the same list.
        targets: of another task (n, L) float32: 1 where an example has a label, or (n, 1) numbers; None: of classes.
    """

    labels: np.ndarray
    num_classes: int
    tie_keys: np.ndarray
    signals: Mapping[str, np.ndarray]
    generator: np.random.Generator
    selected: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    budget_fraction: float | None = None
    draw_keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    notes: list[str] = field(default_factory=list)
    targets: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.draw_keys):
            object.__setattr__(self, "draw_keys", keys_for("draw", self.tie_keys))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def answers(self) -> np.ndarray:
        """What is predicted: class numbers (n,), or the targets (n, L) of another task."""
        return self.labels if self.targets is None else self.targets

    def fraction(self, budget: int) -> float:
        """Return the share of the whole pool that a strategy's rules for small and large budgets go by."""
        return budget / len(self) if self.budget_fraction is None else self.budget_fraction

    def subset(self, rows: np.ndarray) -> Pool:
        """Return the pool of some rows; earlier choices that are not among them are left out.

        Args:
            rows: (m,) positions in this pool.
        """
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        selected = place[self.selected]
        return replace(
            self,
            labels=self.labels[rows],
            tie_keys=self.tie_keys[rows],
            draw_keys=self.draw_keys[rows],
            targets=None if self.targets is None else self.targets[rows],
            signals={name: values[rows] for name, values in self.signals.items()},
            selected=selected[selected >= 0],
        )


@dataclass(frozen=True)
class Selection:
    """What a strategy chose.

    Attributes:
        positions: (k,) int64 pool rows, distinct, in the order of selection (best first).
        scores: (k,) float64, the score that each was ranked by (higher = harder); NaN where there is none.
        weights: (k,) float32 loss weights, or None for all 1.
        refilled: how many positions, at the end, were taken back from those that a filter had dropped.
        pool_scores: (n,) the score of every pool example, where the strategy ranks all of them.
        conflicts: (m, 2) pool positions that a filter found to be near-duplicates with different labels.
        notes: what a user should know of how it was chosen: in parts, and what that loses.
    """

    positions: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None = None
    refilled: int = 0
    pool_scores: np.ndarray | None = None
    conflicts: np.ndarray | None = None
    notes: tuple[str, ...] = ()
