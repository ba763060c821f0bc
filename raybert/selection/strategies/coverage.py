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


@register
class KCenter(Strategy):
    """Greedy k-center over embeddings: every example near a chosen one.

    Rule: repeat: the example whose nearest chosen one is farthest, on unit embeddings; first the medoid.
    """

    name: ClassVar[str] = "k_center"
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Sener & Savarese 2018, "Active Learning for CNNs: A Core-Set Approach", arXiv 1708.00489'

    def choose(self, pool: Pool, budget: int) -> Selection:
        import torch

        from raybert.selection.geometry.k_center import k_center

        positions, distances = k_center(
            pool.signals["embeddings"],
            budget - len(pool.selected),
            selected=pool.selected,
            tie_keys=pool.tie_keys,
            device="cuda" if torch.cuda.is_available() else None,
        )
        return _after_selected(pool, positions, distances)


@register
class Diversity(Strategy):
    """The examples nearest to the centroids of as many k-means clusters; or those of facility location.

    Rule: of each of k clusters the member nearest to the centroid, or the next nearest that is free.
    """

    name: ClassVar[str] = "diversity"
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")

    method: Literal["k_means", "facility_location"] = Field("k_means", description="what spreads the choice")

    def choose(self, pool: Pool, budget: int) -> Selection:
        count = budget - len(pool.selected)
        embeddings, selected, keys = pool.signals["embeddings"], pool.selected, pool.tie_keys
        if self.method == "facility_location":
            from raybert.selection.geometry.facility_location import facility_location

            found = facility_location(embeddings, count, selected=selected, tie_keys=keys)
        else:
            from raybert.selection.geometry.clusters import nearest_to_centroids

            found = nearest_to_centroids(embeddings, count, pool.generator, selected=selected, tie_keys=keys)
        return _after_selected(pool, *found)


@register
class FacilityLocation(Strategy):
    """Greedy facility location: every example similar to a chosen one, on average.

    Rule: repeat: the largest gain of F(S) = sum_v max_{s in S} (1 + cos(v, s)) / 2.
    """

    name: ClassVar[str] = "facility_location"
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Mirzasoleiman et al. 2020, "Coresets for Data-efficient Training", arXiv 1906.01827'

    search: NeighbourMethod = SEARCH

    def choose(self, pool: Pool, budget: int) -> Selection:
        from raybert.selection.geometry.facility_location import facility_location

        found = facility_location(
            pool.signals["embeddings"],
            budget - len(pool.selected),
            selected=pool.selected,
            tie_keys=pool.tie_keys,
            method=self.search,
        )
        return _after_selected(pool, *found)


def _after_selected(pool: Pool, positions: np.ndarray, scores: np.ndarray) -> Selection:
    old = np.full(len(pool.selected), np.nan)
    return Selection(np.concatenate([pool.selected, positions]), np.concatenate([old, scores]).astype(np.float64))
