"""Strategies that read embeddings: what covers the pool.

The maths is imported where it is done: torch and scikit-learn take seconds, and a plan needs neither.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.selection.geometry.points import NeighbourMethod
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import register
from raybert.selection.strategy import Schedule, Strategy

SEARCH: Any = Field(
    "exact", description="of neighbours, where a graph is needed: exact, or ann (faiss, extra `ann`; may miss some)"
)


class CoverageStrategy(Strategy):
    """Base: `cover` finds what is to be chosen beside what earlier rounds chose."""

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` new positions in the order of selection, and their scores."""
        raise NotImplementedError

    def choose(self, pool: Pool, budget: int) -> Selection:
        positions, scores = self.cover(pool, budget - len(pool.selected))
        scores = np.concatenate([np.full(len(pool.selected), np.nan), scores])
        return Selection(np.concatenate([pool.selected, positions]), scores.astype(np.float64))


@register
class KCenter(CoverageStrategy):
    """Greedy k-center over embeddings: every example near a chosen one.

    Rule: repeat: the example whose nearest chosen one is farthest, on unit embeddings; first the medoid.
    """

    name: ClassVar[str] = "k_center"
    operations: ClassVar[str] = "O(n k d) at most: distances that cannot change the choice are left out"
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Sener & Savarese 2018, "Active Learning for CNNs: A Core-Set Approach", arXiv 1708.00489'

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from raybert.selection.geometry.k_center import k_center

        device = "cuda" if torch.cuda.is_available() else None
        embeddings = pool.signals["embeddings"]
        return k_center(embeddings, count, selected=pool.selected, tie_keys=pool.tie_keys, device=device)


@register
class FacilityLocation(CoverageStrategy):
    """Greedy facility location: every example similar to a chosen one, on average.

    Rule: repeat: the largest gain of F(S) = sum_v max_{s in S} (1 + cos(v, s)) / 2.
    """

    name: ClassVar[str] = "facility_location"
    operations: ClassVar[str] = (
        "O(n^2 d) at most; above 20,000 examples only of 100 neighbours each, which `search: ann` finds faster"
    )
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Mirzasoleiman et al. 2020, "Coresets for Data-efficient Training", arXiv 1906.01827'

    search: NeighbourMethod = SEARCH

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.facility_location import facility_location

        embeddings = pool.signals["embeddings"]
        return facility_location(embeddings, count, selected=pool.selected, tie_keys=pool.tie_keys, method=self.search)


@register
class Diversity(CoverageStrategy):
    """The examples nearest to the centroids of as many k-means clusters; or those of facility location.

    Rule: of each of k clusters the member nearest to the centroid, or the next nearest that is free.
    """

    name: ClassVar[str] = "diversity"
    operations: ClassVar[str] = "O(n k d) for k clusters"
    rule_version: ClassVar[int] = 2

    method: Literal["k_means", "facility_location"] = Field(
        "k_means", description="what spreads the choice; facility_location is the strategy of that name"
    )

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.clusters import nearest_to_centroids

        if self.method == "facility_location":
            return FacilityLocation().cover(pool, count)
        embeddings = pool.signals["embeddings"]
        return nearest_to_centroids(embeddings, count, pool.generator, selected=pool.selected, tie_keys=pool.tie_keys)
