"""Strategies that go by the place of an example among its class, or among its neighbours, in embedding space.

The maths is imported where it is done, as in `coverage`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.selection.geometry.points import as_points
from raybert.selection.losses import mean_probs
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import Order
from raybert.selection.registry import register
from raybert.selection.strategies.mixed import MixedStrategy, finite_scores
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Schedule

_LEAST = 1e-8
"""Probabilities below it count as it: the logarithm of 0 has no value."""


@register
class Moderate(RankedStrategy):
    """Examples whose distance from the centre of their class is the median one (moderate coreset).

    Rule: score = norm2(e - centre of the class); the middle of the ranking.

    As in the authors' code the centre is the median of each coordinate (`centre: mean` is the paper's words); they
    rank all classes together, which is `balance: none`.
    """

    name: ClassVar[str] = "moderate"
    operations: ClassVar[str] = "O(n d + n log n)"
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Xia et al. 2023, "Moderate Coreset", ICLR'

    centre: Literal["median", "mean"] = Field("median", description="of a class, coordinate by coordinate")

    def scores(self, pool: Pool) -> np.ndarray:
        return distance_from_class(pool.signals["embeddings"], pool.labels, self.centre)

    def order(self, budget_fraction: float) -> Order:
        return Order("middle")


@register
class Herding(MixedStrategy):
    """Examples whose running mean stays near the mean of their class (herding).

    Rule: w = mu; repeat: the largest w . e of what is left, then w += mu - e.
    """

    name: ClassVar[str] = "herding"
    operations: ClassVar[str] = "O(n k d / C) for C classes"
    copies_of_embeddings: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Welling 2009, "Herding Dynamical Weights to Learn", ICML'

    def pick(self, pool: Pool, budget: int) -> Selection:
        from raybert.selection.geometry.herding import herding

        count = budget - len(pool.selected)
        embeddings = pool.signals["embeddings"]
        positions, values = herding(embeddings, count, selected=pool.selected, tie_keys=pool.tie_keys)
        scores = np.concatenate([np.full(len(pool.selected), np.nan), values])
        return Selection(np.concatenate([pool.selected, positions]), scores)

    def pairs(self, pool_size: int, budget: int) -> float:
        return float(pool_size) * budget


@register
class Cal(RankedStrategy):
    """Examples of which a proxy says something else than of their nearest neighbours (contrastive active learning).

    Rule: score = mean over the k nearest examples v of KL(p_v || p), the largest first.

    Neighbours are those that the model has learned from: the whole pool, and in rounds what is chosen so far. The paper
    finds them by the classifier's own vectors: `selection.embedding.of: proxy`; by default it is the frozen encoder's.
    """

    name: ClassVar[str] = "cal"
    operations: ClassVar[str] = "O(n^2 d) for the neighbours"
    copies_of_embeddings: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Margatina et al. 2021, "Active Learning by Acquiring Contrastive Examples", 2109.03764'

    neighbours: int = Field(10, ge=1, description="k, of each example")

    def scores(self, pool: Pool) -> np.ndarray:
        from raybert.selection.geometry.neighbours import knn_graph, nearest_among

        probs = finite_scores(mean_probs(pool.signals["probs"]))
        embeddings = pool.signals["embeddings"]
        if len(pool.selected):
            graph = nearest_among(embeddings, pool.selected, min(self.neighbours, len(pool.selected)))
        elif len(pool) > 1:
            width = min(self.neighbours, len(pool) - 1)
            graph, _ = knn_graph(embeddings, width, tie_keys=pool.tie_keys)
        else:
            graph = np.zeros((1, 1), np.int64)  # itself
        return contrast(probs, graph)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return float(pool_size) ** 2


def distance_from_class(embeddings: np.ndarray, labels: np.ndarray, centre: Literal["median", "mean"]) -> np.ndarray:
    """Return (n,) float64 Euclidean distances from the centre of the example's own class.

    Args:
        embeddings: (n, d) rows, as they are.
        labels: (n,) class numbers.
        centre: of a class: median or mean of each coordinate.

    Raises:
        SelectionError: embeddings are not finite.
    """
    points = as_points(embeddings)
    distances = np.empty(len(points))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        members = points[rows].astype(np.float64)
        middle = np.median(members, axis=0) if centre == "median" else members.mean(axis=0)
        distances[rows] = np.linalg.norm(members - middle, axis=1)
    return np.round(distances, 9)  # what is equal stays equal, whatever the order of a sum


def contrast(probs: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return (n,) float64 mean over an example's neighbours v of KL(p_v || p).

    Args:
        probs: (n, C) rows sum to 1.
        neighbours: (n, k) positions.
    """
    logs = np.log(np.maximum(probs.astype(np.float64), _LEAST))
    entropy_terms = (probs * logs).sum(axis=1)  # sum p ln p
    total = np.zeros(len(probs))
    for column in neighbours.T:
        total += entropy_terms[column] - (probs[column] * logs).sum(axis=1)
    return np.asarray(total / neighbours.shape[1])
