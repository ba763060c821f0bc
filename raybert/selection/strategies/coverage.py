"""Strategies that read embeddings: what covers the pool.

The maths is imported where it is done: torch and scikit-learn take seconds, and a plan needs neither.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config.tasks import EVERY_TASK, Task
from raybert.selection.geometry.parts import CENTRE_ROWS, GRAPH_ROWS, LARGEST_WHOLE, count_parts, is_cut
from raybert.selection.geometry.points import NeighbourMethod
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import register
from raybert.selection.strategy import Schedule, Strategy

SEARCH: Any = Field(
    "exact", description="of neighbours, where a graph is needed: exact, or ann (faiss, extra `ann`; may miss some)"
)
PASSES_OF_K_MEANS = 21
"""Over the pool, at most: 20 of mini-batches, and one that assigns."""
PARTS: Any = Field(
    None,
    ge=1,
    description=f"choose in so many parts of neighbours; null: above {LARGEST_WHOLE:,} examples in parts of at most "
    "65,536 (k-center) or 8,192; 1: always in one piece",
)


class CoverageStrategy(Strategy):
    """Base: `cover` finds what is to be chosen beside what earlier rounds chose."""

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    copies_of_embeddings: ClassVar[int] = 2

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
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = (
        "O(n k d) at most: distances that cannot change the choice are left out; in p parts O(n k d / p)"
    )
    added: ClassVar[frozenset[str]] = frozenset({"num_parts"})
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Sener & Savarese 2018, "Active Learning for CNNs: A Core-Set Approach", arXiv 1708.00489'

    num_parts: int | None = PARTS

    def chooses_in_parts(self, pool_size: int) -> bool:
        return is_cut(pool_size, self.num_parts)

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        return spread_out(pool, count, num_parts=self.num_parts, who=self.name, on_gpu=True)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return pool_size * budget / count_parts(pool_size, self.num_parts, CENTRE_ROWS)


@register
class FacilityLocation(CoverageStrategy):
    """Greedy facility location: every example similar to a chosen one, on average.

    Rule: repeat: the largest gain of F(S) = sum_v max_{s in S} (1 + cos(v, s)) / 2.
    """

    name: ClassVar[str] = "facility_location"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = (
        "O(n^2 d) at most; above 20,000 examples only of 100 neighbours each, which `search: ann` finds faster; in p "
        "parts O(n^2 d / p)"
    )
    added: ClassVar[frozenset[str]] = frozenset({"num_parts"})
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Mirzasoleiman et al. 2020, "Coresets for Data-efficient Training", arXiv 1906.01827'

    search: NeighbourMethod = SEARCH
    num_parts: int | None = PARTS

    def chooses_in_parts(self, pool_size: int) -> bool:
        return is_cut(pool_size, self.num_parts)

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry import by_parts
        from raybert.selection.geometry.facility_location import facility_location

        embeddings = pool.signals["embeddings"]
        cut = count_parts(len(pool), self.num_parts, GRAPH_ROWS)
        if cut > 1 and self.search == "exact":
            found = by_parts.facility_location_by_parts(
                embeddings, count, cut, selected=pool.selected, tie_keys=pool.tie_keys
            )
            lost = by_parts.coverage_loss(embeddings, count / len(pool), cut, pool.tie_keys)
            pool.notes.append(f"{self.name} chooses {found.note}; {lost}")
            return found.positions, found.values
        return facility_location(embeddings, count, selected=pool.selected, tie_keys=pool.tie_keys, method=self.search)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return 0.0 if self.search == "ann" else pool_size**2 / count_parts(pool_size, self.num_parts, GRAPH_ROWS)


@register
class Diversity(CoverageStrategy):
    """The examples nearest to the centroids of as many k-means clusters; or those of facility location.

    Rule: of each of k clusters the member nearest to the centroid, or the next nearest that is free.
    """

    name: ClassVar[str] = "diversity"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n k d) for k clusters"
    rule_version: ClassVar[int] = 2

    method: Literal["k_means", "facility_location"] = Field(
        "k_means", description="what spreads the choice; facility_location is the strategy of that name"
    )

    def chooses_in_parts(self, pool_size: int) -> bool:
        return self.method == "facility_location" and is_cut(pool_size)

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.clusters import nearest_to_centroids

        if self.method == "facility_location":
            return FacilityLocation().cover(pool, count)
        embeddings = pool.signals["embeddings"]
        return nearest_to_centroids(embeddings, count, pool.generator, selected=pool.selected, tie_keys=pool.tie_keys)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        if self.method == "facility_location":
            return FacilityLocation().comparisons(pool_size, budget, num_classes)
        return float(PASSES_OF_K_MEANS) * pool_size * budget


@register
class GraphCut(CoverageStrategy):
    """Greedy graph cut: examples that are similar to all of the pool and not to each other.

    Rule: repeat: the largest gain of F(S) = a sum_{v in V, s in S} sim(v, s) - sum_{s, t in S} sim(s, t).

    sim = (1 + cos) / 2. Sums of cosines are cosines with sums, so no similarities are kept and the pool may be large.
    """

    name: ClassVar[str] = "graph_cut"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n k d)"
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    weakness: ClassVar[str] = "while k is small against n what is chosen lies near the middle of the pool"
    citation: ClassVar[str] = 'Iyer et al. 2021, "Submodular Combinatorial Information Measures", arXiv 2006.15412'

    weight: float = Field(2.0, gt=0, description="a of the similarity to the pool; from 2 on F never falls")

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.herding import graph_cut

        embeddings = pool.signals["embeddings"]
        return graph_cut(embeddings, count, self.weight, selected=pool.selected, tie_keys=pool.tie_keys)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return float(pool_size) * budget


@register
class TypiClust(CoverageStrategy):
    """The most typical example of each of as many clusters as are chosen, at most 500, round and round.

    Rule: typicality = 1 / mean distance to the 20 nearest in the cluster; clusters with fewest chosen first.

    Neighbours are members that are not chosen yet, at most half of them; clusters of up to five members come last. The
    authors' code takes the mean of squared distances, here it is that of distances, as in the paper.
    """

    name: ClassVar[str] = "typiclust"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n c d + n^2 k d / c^2) for c clusters"
    citation: ClassVar[str] = 'Hacohen et al. 2022, "Active Learning on a Budget", algorithm 1, arXiv 2202.02794'

    max_clusters: int = Field(500, ge=1, description="clusters at most")

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.typical import typical_of_clusters

        return typical_of_clusters(
            pool.signals["embeddings"],
            count,
            pool.generator,
            max_clusters=self.max_clusters,
            selected=pool.selected,
            tie_keys=pool.tie_keys,
        )

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        clusters = max(1, min(budget, self.max_clusters))
        return float(PASSES_OF_K_MEANS) * pool_size * clusters + budget * (pool_size / clusters) ** 2


@register
class ProbCover(CoverageStrategy):
    """Balls of one radius around what is chosen that cover as much of the pool as possible.

    Rule: repeat: the example with most uncovered ones nearer than delta; when all is covered, anew with what is left.

    By default delta is the largest radius with which the share `purity` of all balls holds one pseudo-label only;
    pseudo-labels are k-means clusters, as many as classes. That needs no labels, and is a quantile of the distances to
    the nearest example of another cluster, where the paper tries a grid. Of pools above 5,000 so many balls are drawn.
    """

    name: ClassVar[str] = "probcover"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n^2 d) and O(n k d); again O(n^2 d) each time that all is covered"
    copies_of_embeddings: ClassVar[int] = 5  # in tie order for the radius, of length 1, and with twice the digits
    weakness: ClassVar[str] = "once all is covered (large budgets) it goes on in the densest places"
    citation: ClassVar[str] = 'Yehuda et al. 2022, "Active Learning Through a Covering Lens", arXiv 2205.11320'

    delta: float | None = Field(
        None, gt=0, le=2, description="radius, a Euclidean distance of unit embeddings; null: by purity"
    )
    purity: float = Field(0.95, gt=0, le=1, description="share of balls of one pseudo-label, by which delta is found")

    def cover(self, pool: Pool, count: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry.prob_cover import prob_cover

        delta = self.delta if self.delta is not None else self._radius(pool)
        return prob_cover(pool.signals["embeddings"], count, delta, selected=pool.selected, tie_keys=pool.tie_keys)

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        return float(pool_size) * (pool_size + budget)

    def _radius(self, pool: Pool) -> float:
        """Return delta by purity; the pool in tie order, so that a permuted one has the same."""
        from raybert.selection.geometry.prob_cover import pseudo_labels, purity_radius

        embeddings = pool.signals["embeddings"][np.argsort(pool.tie_keys, kind="stable")]
        labels = pseudo_labels(embeddings, pool.num_classes, pool.generator)
        return max(purity_radius(labels, embeddings, self.purity), 1e-6)


def spread_out(
    pool: Pool, count: int, *, num_parts: int | None = None, who: str, on_gpu: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k-center of a pool beside what is chosen already, and distances: in parts, where it is so large.

    Args:
        pool: with embeddings.
        count: new positions.
        num_parts: see `PARTS`.
        who: asks, for the note on what parts lose.
        on_gpu: whether one that is there is used, where the pool is not cut.
    """
    from raybert.selection.geometry import by_parts
    from raybert.selection.geometry.k_center import k_center

    embeddings = pool.signals["embeddings"]
    cut = count_parts(len(pool), num_parts, CENTRE_ROWS)
    if cut == 1 or count == 0:
        device = _gpu() if on_gpu else None
        return k_center(embeddings, count, selected=pool.selected, tie_keys=pool.tie_keys, device=device)
    found = by_parts.k_center_by_parts(embeddings, count, cut, selected=pool.selected, tie_keys=pool.tie_keys)
    lost = by_parts.centres_loss(embeddings, count / len(pool), cut, pool.tie_keys)
    pool.notes.append(f"{who} chooses {found.note}; {lost}")
    return found.positions, found.values


def _gpu() -> str | None:
    import torch

    return "cuda" if torch.cuda.is_available() else None
