"""What the training loop sees of the world around it: where it runs, and what each pass trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from raybert.lazy import old_names

if TYPE_CHECKING:
    from raybert.training.ran_on import RanOn


class Surroundings(Protocol):
    """Where a training run happens: a reused Tune actor, a Ray Train worker, or a plain process."""

    @property
    def rank(self) -> int:
        """Number of this worker."""

    @property
    def world_size(self) -> int:
        """Number of workers."""

    @property
    def checkpoint_folder(self) -> Path | None:
        """`last/` and `best/` are written below it (by rank 0); None: nothing is kept on disk."""

    def report(self, row: Mapping[str, Any]) -> None:
        """Take the row of one evaluation."""

    def begun(self, ran_on: RanOn) -> None:
        """Learn on what and how the run computes, before its first step. Rank 0 only."""

    def should_stop(self) -> bool:
        """Tell whether to stop now, resumable; asked between any two steps."""

    def stepped(self, step: int) -> None:
        """Learn that step 1, 2, ... of T is done (the position, rounded down); must be quick. Rank 0 only."""

    def complete_model(self, folder: Path) -> None:
        """Add to the folder of the best model what belongs beside its weights; it counts as whole afterwards."""


@dataclass
class LocalSurroundings:
    """One process, nothing shared: rows are collected in `rows`."""

    checkpoint_folder: Path | None = None
    rank: int = 0
    world_size: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)

    def report(self, row: Mapping[str, Any]) -> None:
        """Collect a row."""
        self.rows.append(dict(row))

    def begun(self, ran_on: RanOn) -> None:
        """Ignore it."""

    def should_stop(self) -> bool:
        """Never stop early."""
        return False

    def stepped(self, step: int) -> None:
        """Ignore it."""

    def complete_model(self, folder: Path) -> None:
        """Leave the weights alone in their folder."""


@dataclass(frozen=True)
class PassPlan:
    """What one pass trains on.

    Attributes:
        positions: (m,) int64 pool rows, distinct within a pass; without `batches` the loop shuffles them.
        weights: (m,) float32 factor of each example's loss, or None for all 1.
        max_steps: the pass ends after this many optimizer steps; None: when all positions are used.
        record: what else is known of the choice, by name; the loop does not read it. `scores` (m,) are kept in
            `selection.parquet`.
        batches: the positions of every optimizer step, in order; the loop keeps both. See `of_batches`, `in_order`.
            None: it shuffles, and puts examples of similar length together.
    """

    positions: np.ndarray
    weights: np.ndarray | None = None
    max_steps: int | None = None
    record: Mapping[str, np.ndarray] = field(default_factory=dict)
    batches: tuple[np.ndarray, ...] | None = None

    @classmethod
    def of_batches(cls, batches: Sequence[Any] | np.ndarray, weights: np.ndarray | None = None) -> PassPlan:
        """Return a plan that says who is together in an optimizer step, and in which order the steps come.

        Args:
            batches: pool rows of each step, at most `batch_size` of them; no row twice in a pass.
            weights: (m,) of the examples, in the order of the batches.
        """
        parts = tuple(np.asarray(batch) for batch in batches)
        positions = np.concatenate([part.reshape(-1) for part in parts]) if parts else np.empty(0, np.int64)
        return cls(positions, weights, batches=parts)

    @classmethod
    def in_order(cls, positions: np.ndarray, batch_size: int, weights: np.ndarray | None = None) -> PassPlan:
        """Return a plan that trains on positions in their order: the first `batch_size` of them are the first step.

        Args:
            positions: (m,) pool rows, distinct.
            batch_size: examples per optimizer step; the last one may have fewer.
            weights: (m,) of the examples.
        """
        cuts = range(batch_size, len(positions), batch_size)
        return cls.of_batches(np.split(np.asarray(positions), list(cuts)), weights)

    @property
    def batch_sizes(self) -> list[int] | None:
        """How many of the positions, in their order, are in each batch; None: the loop decides."""
        return None if self.batches is None else [len(batch) for batch in self.batches]

    def cut(self, sizes: Sequence[int] | None) -> PassPlan:
        """Return the plan with its positions cut into batches of some sizes; None: the loop decides."""
        if sizes is None:
            return self
        return replace(self, batches=tuple(np.split(self.positions, np.cumsum(sizes)[:-1])))


class PoolView(Protocol):
    """What a schedule may ask of the current model while a trial trains."""

    @property
    def step(self) -> int:
        """Optimizer steps done."""

    @property
    def total_steps(self) -> int:
        """Optimizer steps T of the whole run; of one that is as long as its passes the length of its schedule."""

    @property
    def position(self) -> float:
        """Where the run stands on its schedule, from 0 to T: position / T is the share that is done.

        That is the steps done where the length of the run is in steps, and the share of passes or examples elsewhere.
        """

    @property
    def passes(self) -> float | None:
        """E, if the run ends after so many passes over whatever is planned; None: it does not."""

    def steps_to(self, position: float, num_examples: int) -> int:
        """Return after how many steps of passes over so many examples the run stands at a position; <= 0: it does."""

    @property
    def train_losses(self) -> np.ndarray:
        """(n,) float32, the loss of each pool example when it was last trained on; NaN: never."""

    @property
    def train_loss_passes(self) -> np.ndarray:
        """(n,) int32, the pass (0, 1, 2, ...) of that loss; -1: never."""

    def predict(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (m, C) float32 probabilities of the current model in eval mode, pool order by default.

        Head and softmax run in float32 outside autocast. The scored examples are counted as cost.
        """

    def predict_with_features(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (m, C), as `predict`, and features (m, h), the input of the last layer."""

    def embed(self, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """Return (m, d) float32 L2-normalised pooled embeddings of the current model in eval mode."""


class PassPlanner(Protocol):
    """Decides before every pass what it trains on. A pure function of its arguments and its own fields.

    Purity makes continuation from a checkpoint exact: `previous` is stored there, nothing else is needed.
    """

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView, /) -> PassPlan:
        """Return the plan of pass 0, 1, 2, ...; `previous` is that of the pass before."""


@dataclass(frozen=True)
class FixedPasses:
    """Every pass trains on the same positions."""

    positions: np.ndarray
    weights: np.ndarray | None = None

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView) -> PassPlan:
        """Return the same plan for every pass."""
        return PassPlan(self.positions, self.weights)


__getattr__ = old_names(__name__, {"EpochPlan": "raybert.training.interface:PassPlan"})
