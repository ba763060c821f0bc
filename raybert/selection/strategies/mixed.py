"""Strategies that weigh difficulty and coverage: probabilities and embeddings together.

The maths is imported where it is done, as in `coverage`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from raybert.config.tasks import EVERY_TASK, Task
from raybert.errors import SelectionError
from raybert.selection.geometry.d2 import d2_select
from raybert.selection.geometry.parts import CENTRE_ROWS, GRAPH_ROWS, count_parts, is_cut
from raybert.selection.geometry.points import NeighbourMethod, unit_rows
from raybert.selection.keys import keys_for
from raybert.selection.losses import mean_probs
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import CLASS_ERROR, Direction, Order, choose_per_class, class_weights, rank
from raybert.selection.registry import register
from raybert.selection.strategies.coverage import PARTS, SEARCH, spread_out
from raybert.selection.strategies.proxies import El2n, uncertainty
from raybert.selection.strategies.ranked import QUOTAS, RankedStrategy, describe_orders, middle_then_hard
from raybert.selection.strategy import Schedule, Strategy


class MixedStrategy(Strategy):
    """Base: `pick` chooses from a pool, class by class unless `balance` is none."""

    balance: Literal["class", "equal", "none", "error"] = Field(
        "class", description=f"{QUOTAS}; none: all are chosen together"
    )

    def pick(self, pool: Pool, budget: int) -> Selection:
        """Return `budget` positions, earlier choices first."""
        raise NotImplementedError

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        groups = 1 if self.balance == "none" else max(1, num_classes)
        return groups * self.pairs(max(1, pool_size // groups), max(1, budget // groups))

    def pairs(self, pool_size: int, budget: int) -> float:
        """Return how many pairs of embeddings it compares at most where it chooses k of n examples of a class."""
        return 0.0

    def choose(self, pool: Pool, budget: int) -> Selection:
        if self.balance == "none":
            return self.pick(pool, budget)
        return choose_per_class(pool, budget, self.pick, class_weights(self.balance, pool))

    def all_signals(self) -> frozenset[str]:
        return super().all_signals() | ({CLASS_ERROR} if self.balance == "error" else frozenset())


@register
class EntropyDiversity(MixedStrategy):
    """Uncertain examples, and among these the ones that cover them best.

    Rule: k-center among the beta k with H nearest to its median; or repeat: the largest rank x distance to the chosen.

    The most uncertain ones of all (`direction: hard`) are those that no label fits: what two classes share, and errors.
    """

    name: ClassVar[str] = "entropy_diversity"
    operations: ClassVar[str] = "O(n log n + b k^2 d), b = `beta`; with `method: greedy` O(n k d)"
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    uses_seed: ClassVar[bool] = False
    weakness: ClassVar[str] = (
        "with `direction: hard` small budgets hold what no label fits, and a model may stay at chance (SST-2, 10 %)"
    )

    method: Literal["filter", "greedy"] = Field(
        "filter",
        description="filter: k-center among the first beta k by entropy; greedy: largest entropy rank times distance",
    )
    beta: float = Field(3.0, ge=1, description="candidates in budgets, for the method filter")
    direction: Direction | None = Field(
        None, description="which entropies are preferred: hard (highest), middle or easy; null: its own default"
    )

    def chooses_in_parts(self, pool_size: int) -> bool:
        return self.method == "filter" and is_cut(pool_size)

    def pairs(self, pool_size: int, budget: int) -> float:
        if self.method == "greedy":
            return float(pool_size) * budget
        candidates = min(pool_size, round(self.beta * budget))
        return candidates * budget / count_parts(candidates, None, CENTRE_ROWS)

    def default_direction(self) -> str:
        """Return in words which entropies are preferred for small and for large budgets."""
        return describe_orders(middle_then_hard)

    def pick(self, pool: Pool, budget: int) -> Selection:
        entropy = normalised_entropy(pool)
        order = middle_then_hard(pool.fraction(budget)) if self.direction is None else Order(self.direction)
        ranking, num_kept = rank(entropy, pool.tie_keys, order)
        if self.method == "filter":
            num_kept = min(num_kept, max(budget, round(self.beta * budget)))
        candidates = np.union1d(ranking[:num_kept], pool.selected)
        inner, count = pool.subset(candidates), min(budget, len(candidates))
        cover = _spread_out if self.method == "filter" else _greedy_rank_distance
        chosen = candidates[cover(inner, _places(candidates, ranking), count)]
        back = ranking[~np.isin(ranking, candidates)][: budget - count]
        positions = np.concatenate([chosen, back]).astype(np.int64)
        return Selection(positions, entropy[positions], refilled=len(back))


@register
class QditLite(MixedStrategy):
    """Greedy sum of confidence and coverage: quality q = 1 - entropy, gain of facility location.

    Rule: repeat: the largest (1 - a) q + a gain / G, q = 1 - H / ln C, gain of facility location, G the largest left.

    The paper adds the gain itself; it shrinks with every choice, until confidence decides alone.
    """

    name: ClassVar[str] = "qdit_lite"
    operations: ClassVar[str] = (
        "O(n^2 d) at most; of more than 20,000 examples only 100 neighbours each count; in p parts O(n^2 d / p)"
    )
    rule_version: ClassVar[int] = 2
    added: ClassVar[frozenset[str]] = frozenset({"num_parts"})
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "embeddings"})
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Bukharin & Zhao 2023, "Data Diversity Matters for Robust Instruction Tuning", 2311.14736'

    alpha: float = Field(0.5, ge=0, le=1, description="weight a of coverage")
    num_parts: int | None = PARTS

    def chooses_in_parts(self, pool_size: int) -> bool:
        return is_cut(pool_size, self.num_parts)

    def pairs(self, pool_size: int, budget: int) -> float:
        return pool_size**2 / count_parts(pool_size, self.num_parts, GRAPH_ROWS)

    def pick(self, pool: Pool, budget: int) -> Selection:
        from raybert.selection.geometry import by_parts
        from raybert.selection.geometry.facility_location import qdit_greedy

        entropy = normalised_entropy(pool)
        cut = count_parts(len(pool), self.num_parts, GRAPH_ROWS)
        if cut > 1:
            found = by_parts.qdit_by_parts(
                1.0 - entropy,
                self.alpha,
                budget - len(pool.selected),
                cut,
                embeddings=pool.signals["embeddings"],
                selected=pool.selected,
                tie_keys=pool.tie_keys,
            )
            pool.notes.append(f"{self.name} chooses {found.note}")
            positions = np.concatenate([pool.selected, found.positions])
            return Selection(positions, entropy[positions])
        positions, _ = qdit_greedy(
            1.0 - entropy,
            self.alpha,
            budget - len(pool.selected),
            embeddings=pool.signals["embeddings"],
            selected=pool.selected,
            tie_keys=pool.tie_keys,
        )
        positions = np.concatenate([pool.selected, positions])
        return Selection(positions, entropy[positions])


@register
class EdfsLite(MixedStrategy):
    """Easy, medium and hard tertiles of entropy by fixed shares, k-center in each (our own definition).

    Rule: tertiles of H get .5, .3 and .2 of k, easy first; k-center in each; what one lacks goes to the next.

    In rounds the tertiles are those of the current model. What earlier rounds chose counts in the tertile that it is in
    now, and as centers there; easy ones are filled up first, so where earlier choices have become easy the hard ones
    may get fewer than their share.
    """

    name: ClassVar[str] = "edfs_lite"
    operations: ClassVar[str] = "O(n k d) at most"
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    uses_seed: ClassVar[bool] = False

    shares: tuple[float, float, float] = Field((0.5, 0.3, 0.2), description="of easy, medium and hard examples")

    def chooses_in_parts(self, pool_size: int) -> bool:
        return is_cut(pool_size)

    def pairs(self, pool_size: int, budget: int) -> float:
        tertile = max(1, pool_size // 3)
        return pool_size * budget / (3 * count_parts(tertile, None, CENTRE_ROWS))

    def pick(self, pool: Pool, budget: int) -> Selection:
        entropy = normalised_entropy(pool)
        tertiles = np.array_split(np.lexsort((pool.tie_keys, entropy)), 3)
        quotas = spill_over(budget, self.shares, [len(part) for part in tertiles])
        chosen, left = [pool.selected], budget - len(pool.selected)
        for rows, quota in zip(tertiles, quotas, strict=True):
            before = np.flatnonzero(np.isin(rows, pool.selected))
            count = min(left, max(0, quota - len(before)))
            if count == 0:
                continue
            inner, _ = spread_out(pool.subset(rows), count, who=self.name)
            chosen.append(rows[inner])
            left -= count
        positions = np.concatenate(chosen)
        return Selection(positions, entropy[positions])


@register
class D2(MixedStrategy):
    """Difficulty spread over a graph of neighbours, then greedy with the neighbours of what is chosen discounted.

    Rule: x_i = s_i + sum_{N(i)} exp(-d_ij^2) s_j; repeat: the largest x_i, then x_j -= exp(-gamma d_ij^2) x_i.
    """

    name: ClassVar[str] = "d2"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = (
        "O(n^2 d) for the graph of neighbours (less with `search: ann`; in p parts O(n^2 d / p)), then O((n + k) log n)"
    )
    added: ClassVar[frozenset[str]] = frozenset({"num_parts"})
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "embeddings"})
    uses_seed: ClassVar[bool] = False
    nested: ClassVar[bool] = True
    citation: ClassVar[str] = 'Maharana et al. 2023, "D2 Pruning", arXiv 2310.07931'

    score: SerializeAsAny[RankedStrategy] = Field(El2n(), description="strategy whose score is the difficulty")
    neighbours: int = Field(5, ge=1, description="per example, in the graph")
    gamma: float = Field(0.1, ge=0, description="of the discount: the smaller, the more diverse")
    search: NeighbourMethod = SEARCH
    num_parts: int | None = PARTS

    def chooses_in_parts(self, pool_size: int) -> bool:
        return is_cut(pool_size, self.num_parts)

    def pairs(self, pool_size: int, budget: int) -> float:
        return 0.0 if self.search == "ann" else pool_size**2 / count_parts(pool_size, self.num_parts, GRAPH_ROWS)

    def required_signals(self) -> frozenset[str]:
        return self.score.required_signals() | {"embeddings"}

    def pick(self, pool: Pool, budget: int) -> Selection:
        scores = finite_scores(self.score.scores(pool))
        scores = scores - min(0.0, float(scores.min()))
        width = min(self.neighbours, len(pool) - 1)
        if width == 0:
            return Selection(np.arange(len(pool)), scores)
        graph = self._graph(pool, width)
        positions, values = d2_select(scores, *graph, budget, self.gamma, tie_keys=pool.tie_keys)
        return Selection(positions, values)

    def _graph(self, pool: Pool, width: int) -> tuple[np.ndarray, np.ndarray]:
        from raybert.selection.geometry import by_parts
        from raybert.selection.geometry.neighbours import knn_graph

        embeddings = pool.signals["embeddings"]
        cut = min(count_parts(len(pool), self.num_parts, GRAPH_ROWS), len(pool) // (4 * width))
        if cut < 2 or self.search == "ann":
            return knn_graph(embeddings, width, tie_keys=pool.tie_keys, method=self.search)
        neighbours, cosines, note = by_parts.knn_by_parts(embeddings, width, cut, tie_keys=pool.tie_keys)
        pool.notes.append(f"{self.name} looks for neighbours {note}")
        return neighbours, cosines


@register
class Ccs(MixedStrategy):
    """Random draws from equal-width strata of a score, evenly, after its hardest share is dropped.

    Rule: drop the hardest share, cut the scores into strata of equal width, fill k evenly, draw at random inside.

    There are at most as many strata as examples to choose (of a class, with quotas): with more, some would get none,
    and these would be the smallest, which hold the hardest examples.
    """

    name: ClassVar[str] = "ccs"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n)"
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    citation: ClassVar[str] = 'Zheng et al. 2023, "Coverage-centric Coreset Selection", arXiv 2210.15809'

    score: SerializeAsAny[RankedStrategy] = Field(El2n(), description="strategy whose score is stratified")
    strata: int = Field(50, ge=1, description="most strata, of equal width in the score")
    drop_hardest: float | None = Field(
        None, ge=0, lt=1, description="share dropped first; default .3 up to a 10 % budget, .2 above"
    )

    def required_signals(self) -> frozenset[str]:
        return self.score.required_signals()

    def choose(self, pool: Pool, budget: int) -> Selection:
        if self.drop_hardest is not None:
            return super().choose(pool, budget)
        share = 0.3 if pool.fraction(budget) <= 0.1 else 0.2  # of the whole budget, whatever the quota of a class
        return self.model_copy(update={"drop_hardest": share}).choose(pool, budget)

    def pick(self, pool: Pool, budget: int) -> Selection:
        scores = self.score.scores(pool)
        return draw_from_strata(pool, budget, scores, strata=self.strata, drop=self.drop_hardest or 0.0, purpose="ccs")


def draw_from_strata(
    pool: Pool, budget: int, scores: np.ndarray, *, strata: int, drop: float, purpose: str
) -> Selection:
    """Return draws from strata of equal width of a score, evenly, after its hardest share is dropped.

    Args:
        pool: keys of ties and draws.
        budget: examples in all.
        scores: (n,); what is not finite is dropped.
        strata: at most so many, and not more than the budget.
        drop: share of the hardest; taken back where the rest is not enough.
        purpose: a word: draws of different purposes are independent.
    """
    ranking = np.lexsort((pool.tie_keys, np.where(np.isfinite(scores), scores, np.inf)))
    num_scored = int(np.isfinite(scores).sum())
    num_kept = num_scored - int(drop * num_scored)
    kept, dropped = ranking[:num_kept], ranking[num_kept:]
    num_strata = min(strata, budget)
    numbers = equal_width_strata(scores[kept], num_strata)
    quotas = water_fill(min(budget, num_kept), np.bincount(numbers, minlength=num_strata))
    keys = keys_for(purpose, pool.draw_keys)
    drawn = [
        members[np.argsort(keys[members], kind="stable")][:quota]
        for members, quota in ((kept[numbers == i], quota) for i, quota in enumerate(quotas) if quota)
    ]
    back = dropped[: max(0, budget - num_kept)]
    positions = np.concatenate([*drawn, back]).astype(np.int64)
    return Selection(positions, scores[positions], refilled=len(back))


def normalised_entropy(pool: Pool) -> np.ndarray:
    """Return (n,) float64 entropy of the mean probabilities over ln C, in 0..1.

    Raises:
        SelectionError: probabilities are not finite.
    """
    entropy = uncertainty(mean_probs(pool.signals["probs"]), "entropy") / np.log(max(2, pool.num_classes))
    return finite_scores(entropy)


def finite_scores(scores: np.ndarray) -> np.ndarray:
    """Return the scores, which a greedy sum cannot take unless they are finite.

    Raises:
        SelectionError: some are NaN or infinite.
    """
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise SelectionError(
            f"scores: must be finite, got {scores[broken[0]]} at position {broken[0]} and {len(broken)} in all"
        )
    return scores


def spill_over(budget: int, shares: tuple[float, ...], sizes: list[int]) -> list[int]:
    """Return how many to take of each part: its share of the budget, in order; what does not fit goes to the next.

    What is left after the last part goes to the first ones that have room.

    Args:
        budget: at most sum(sizes).
        shares: relative, >= 0.
        sizes: of the parts.
    """
    ends = np.floor(budget * np.cumsum(shares) / np.sum(shares) + 0.5).astype(int)
    wanted = np.diff(ends, prepend=0).tolist()
    taken, spill = [], 0
    for share, size in zip(wanted, sizes, strict=True):
        taken.append(min(share + spill, size))
        spill += share - taken[-1]
    for i, size in enumerate(sizes):
        more = min(spill, size - taken[i])
        taken[i] += more
        spill -= more
    return taken


def equal_width_strata(scores: np.ndarray, count: int) -> np.ndarray:
    """Return (m,) int64 stratum 0..count-1 of each score, of equal widths from the lowest to the highest."""
    if len(scores) == 0:
        return np.empty(0, np.int64)
    low, high = float(scores.min()), float(scores.max())
    if not high > low:
        return np.zeros(len(scores), np.int64)
    return np.minimum(((scores - low) / (high - low) * count).astype(np.int64), count - 1)


def water_fill(budget: int, sizes: np.ndarray) -> list[int]:
    """Return how many to take of each stratum: as even as their sizes allow, smallest strata first.

    Args:
        budget: at most sum(sizes).
        sizes: (S,) examples per stratum.
    """
    taken = [0] * len(sizes)
    left = budget
    for done, stratum in enumerate(np.argsort(sizes, kind="stable").tolist()):
        taken[stratum] = min(int(sizes[stratum]), left // (len(sizes) - done))
        left -= taken[stratum]
    return taken


def _places(rows: np.ndarray, ranking: np.ndarray) -> np.ndarray:
    """Return the (m,) places of rows in the order of a ranking of more of them."""
    place = np.empty(len(ranking), np.int64)
    place[ranking] = np.arange(len(ranking))
    return np.argsort(place[rows], kind="stable")


def _spread_out(pool: Pool, ranking: np.ndarray, budget: int) -> np.ndarray:
    """Return what earlier rounds chose and the k-center beside it."""
    chosen, _ = spread_out(pool, budget - len(pool.selected), who="entropy_diversity")
    return np.concatenate([pool.selected, chosen])


def _greedy_rank_distance(pool: Pool, ranking: np.ndarray, budget: int) -> np.ndarray:
    """Return the greedy argmax of rank (1 is the first) times distance to what is chosen."""
    ranks = np.empty(len(pool))
    ranks[ranking] = np.arange(len(pool), 0, -1) / len(pool)
    points = unit_rows(pool.signals["embeddings"]).astype(np.float64)
    norms = np.einsum("ij,ij->i", points, points)
    chosen = pool.selected.tolist() or [int(ranking[0])]
    nearest = np.full(len(pool), np.inf)

    def see(row: int) -> None:
        squared = norms + norms[row] - 2.0 * (points @ points[row])
        np.minimum(nearest, squared.clip(min=0.0), out=nearest)
        nearest[row] = -1.0

    for row in chosen:
        see(row)
    while len(chosen) < budget:
        value = np.where(nearest < 0, -1.0, np.rint(ranks * np.sqrt(nearest.clip(min=0.0)) * 2**30))
        row = _first_of_largest(value, pool.tie_keys)
        chosen.append(row)
        see(row)
    return np.array(chosen, np.int64)


def _first_of_largest(values: np.ndarray, keys: np.ndarray) -> int:
    top = np.flatnonzero(values == values.max())
    return int(top[keys[top].argmin()])
