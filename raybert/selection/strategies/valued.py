"""Strategies that rank by what an example is worth, which is not how hard it is: high is good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config import Section
from raybert.selection.pool import Pool
from raybert.selection.ranking import Direction, Order
from raybert.selection.registry import register
from raybert.selection.scorers.target import VALIDATION
from raybert.selection.strategies.ranked import RankedStrategy

_DIRECTIONS: Mapping[str, Direction] = {"top": "hard", "bottom": "easy", "middle": "middle"}
"""Of a worth nobody knows whether high is hard: its ends have names of their own."""


class ValuedStrategy(RankedStrategy):
    """Base of rankings by a number of which the highest is kept, unless `direction` says otherwise."""

    direction: Literal["top", "bottom", "middle"] | None = Field(  # type: ignore[assignment]  # see _DIRECTIONS
        None, description="which values are kept: top (the highest), bottom or middle; null: top"
    )
    drop_hardest: float | None = Field(None, ge=0, lt=1, description="share of the highest values to drop first")

    def default_direction(self) -> str:
        return "top"

    def kept_order(self, budget_fraction: float) -> Order:
        kept = super().kept_order(budget_fraction)
        return replace(kept, direction=_DIRECTIONS[self.direction or "top"])


class TargetConfig(Section):
    """The labelled examples that a pool is scored for."""

    stands_for: ClassVar[str] = "source"

    source: str = Field(
        VALIDATION, min_length=1, description="`validation`, or a file of labelled examples with the columns of `data`"
    )

    def __str__(self) -> str:
        """Return the source alone, as labels in tables show it."""
        return self.source


class TargetedStrategy(ValuedStrategy):
    """Base of rankings by a signal that a target changes: `<name>` of validation, `<name>:<file>` of a file."""

    target: TargetConfig = TargetConfig()

    @property
    def signal(self) -> str:
        """Name of the signal that it reads."""
        return self.name if self.target.source == VALIDATION else f"{self.name}:{self.target.source}"

    def required_signals(self) -> frozenset[str]:
        return frozenset({self.signal})


@register
class Influence(TargetedStrategy):
    """Examples whose last-layer gradient agrees with that of target examples (TracIn with one checkpoint).

    Rule: score = <g, G> or cos(g, G), g = (p - onehot(y)) [h; 1]^T, G the mean g of the target.

    A step on an example of high product lowers the loss of the target. Long gradients win by the product: `cosine`
    takes the length out. By default the target is the validation split, which chooses the best evaluation of every
    trial as well: its numbers flatter this strategy, those of test do not.
    """

    name: ClassVar[str] = "influence"
    needs: ClassVar[frozenset[str]] = frozenset({"influence"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'Pruthi et al. 2020, "Estimating Training Data Influence by Tracing Gradient Descent", arXiv 2002.08484'
    )

    measure: Literal["cosine", "product"] = Field("cosine", description="of the agreement of two gradients")

    def scores(self, pool: Pool) -> np.ndarray:
        return np.asarray(pool.signals[self.signal][:, 1 if self.measure == "cosine" else 0], np.float64)


@register
class KnnShapley(TargetedStrategy):
    """Examples by their exact Shapley value for a nearest-neighbour classifier of target examples.

    Rule: by distance, s_i = s_{i+1} + (1[y_i = y] - 1[y_{i+1} = y]) min(K, i) / (K i); what follows the last counts 0.

    The mean over target examples, on embeddings. `selection.scorers.knn_shapley.neighbours` is K. By default the target
    is the validation split, which chooses the best evaluation of every trial as well.
    """

    name: ClassVar[str] = "knn_shapley"
    needs: ClassVar[frozenset[str]] = frozenset({"knn_shapley"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Jia et al. 2019, "Efficient Task-Specific Data Valuation", theorem 1, arXiv 1908.08619'

    def scores(self, pool: Pool) -> np.ndarray:
        return np.asarray(pool.signals[self.signal], np.float64)


@register
class DataOob(ValuedStrategy):
    """Examples by how often models that were trained without them predict their label (Data-OOB).

    Rule: score = share of right ones among the bootstrap models that did not draw the example.

    Models are ridge classifiers on embeddings, where the paper has decision trees. The lowest values are wrong labels;
    the highest are what any model knows, so `middle` is worth a try. `selection.scorers.data_oob.models` says how many
    models there are.
    """

    name: ClassVar[str] = "data_oob"
    needs: ClassVar[frozenset[str]] = frozenset({"data_oob"})
    uses_seed: ClassVar[bool] = False
    weakness: ClassVar[str] = "its top is the easiest of each class, where a small budget learns little"
    citation: ClassVar[str] = 'Kwon & Zou 2023, "Data-OOB", arXiv 2304.07718'

    def scores(self, pool: Pool) -> np.ndarray:
        return np.asarray(pool.signals["data_oob"], np.float64)
