"""What a scorer is: a small picklable description that, where the work is done, becomes a function of positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from raybert.data.examples import ExampleData

ScoreFunction = Callable[[np.ndarray], dict[str, np.ndarray]]
"""(b,) int64 positions -> signal name -> (b, ...) float32, in the order of the positions."""


@dataclass(frozen=True)
class Arithmetic:
    """How a model computes its outputs, on which their last bits depend.

    Attributes:
        precision: as in `train.precision`; resolved where it runs on a CPU.
        max_tokens: word pieces per forward pass, padding included.
        device: `cpu` or `cuda`.
    """

    precision: str = "auto"
    max_tokens: int = 16384
    device: str = "cpu"


@dataclass(frozen=True)
class ScoringData:
    """What scorers read, shared by all of them through the object store.

    Attributes:
        data: token tables of the splits.
        texts: the pool with columns text and maybe text_pair, and those of the source that are signals.
        arithmetic: how models compute.
    """

    data: ExampleData
    texts: pa.Table
    arithmetic: Arithmetic = Arithmetic()

    def with_arithmetic(self, arithmetic: Arithmetic) -> ScoringData:
        """Return the same data for models that compute in another way."""
        return replace(self, arithmetic=arithmetic)


@runtime_checkable
class Scorer(Protocol):
    """Computes one or more signals of the pool. Implementations are frozen dataclasses."""

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the arrays that its score function returns."""

    @property
    def uses_model(self) -> bool:
        """Whether it wants a GPU where there is one."""

    @property
    def passes(self) -> int:
        """How many forward passes of a model an example costs; 0 for statistics of its text."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Trial ids of the training runs whose models it loads."""

    def identity(self) -> dict[str, Any]:
        """Return everything but the data that the values depend on, as JSON."""

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the score function; what is heavy is loaded here."""


@runtime_checkable
class PoolScorer(Protocol):
    """Computes signals of the whole pool at once, after all others: from these, or from what runs left behind."""

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the arrays that it computes."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the signals that it computes them from."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Trial ids of the training runs whose files it reads."""

    def identity(self) -> dict[str, Any]:
        """Return everything but the data and the signals it reads that the values depend on, as JSON."""

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return signal name -> (n, ...) float32 in pool order, from the signals that it reads."""
