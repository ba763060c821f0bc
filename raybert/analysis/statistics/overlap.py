"""How far strategies agree: in what they choose, and in how they rank the whole pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.subsets import Subset
from raybert.tables import AGREEMENT, OVERLAP

_EXACT = 1e-9
_NEARLY = 1e-3
"""Rankings that differ more than this are not the same one up to ties: a flag of two values ranks next to nothing."""
_FLOAT32_STEPS = 4 * float(np.finfo(np.float32).eps)


def compare_subsets(subsets: Sequence[Subset]) -> pd.DataFrame:
    """Return the agreement of every two subsets of one pool, budget, seed and fold: `AGREEMENT`.

    Strategies of budget kind `none` are left out: they share no budget with the others, and most train on the
    whole pool, whose overlap with anything says only how large that is.
    """
    subsets = [subset for subset in subsets if subset.has_budget]
    if len(subsets) < 2:
        return typed_frame([], AGREEMENT)
    # float32 products run on BLAS, and count exactly below 2^24.
    chosen = np.stack([subset.chosen for subset in subsets]).astype(np.float32)
    shared = (chosen @ chosen.T).astype(np.int64)
    correlations = rank_correlations([subset.pool_scores for subset in subsets])
    rows = []
    for a, b in combinations(range(len(subsets)), 2):
        one, other = subsets[a], subsets[b]
        size_a, size_b, both = int(shared[a, a]), int(shared[b, b]), int(shared[a, b])
        values = (
            *(one.budget, one.strategy, other.strategy, one.seed, one.fold, len(one.passes), size_a, size_b),
            both / (size_a + size_b - both),
            expected_jaccard(size_a, size_b, len(one.passes)),
            correlations[a, b],
            _ranking(one.pool_scores, other.pool_scores, float(correlations[a, b])),
        )
        rows.append(dict(zip(AGREEMENT.order(), values, strict=True)))
    return typed_frame(rows, AGREEMENT)


def overlap_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of every two strategies at each budget and grid point, over seeds and folds: `OVERLAP`.

    Args:
        pairs: rows of `compare_subsets`, perhaps with the columns of the grid.
    """
    grid = [str(name) for name in pairs if name not in AGREEMENT]
    keys = ["budget", *grid, "strategy_a", "strategy_b"]
    if pairs.empty:
        return typed_frame([], OVERLAP, grid)
    groups = pairs.groupby(keys, sort=False, dropna=False)
    means = [name for name in OVERLAP.order() if name in pairs and name not in keys]
    table = groups[means].mean()
    table["num_seeds"] = groups["seed"].nunique()
    return table.reset_index()


def same_rankings(pairs: pd.DataFrame) -> list[dict[str, int]]:
    """Return groups of strategies that rank the whole pool alike at every budget and seed at which both did.

    Returns:
        Of each group the strategies in order, with 1, or -1 for the reverse of the first one's ranking.
    """
    groups: list[dict[str, int]] = []
    known = pairs.dropna(subset=["ranking"])
    relation = {
        names: int(values.iloc[0]) if values.nunique() == 1 else 0
        for names, values in known.groupby(["strategy_a", "strategy_b"], sort=False)["ranking"]
    }
    for name in dict.fromkeys([*known["strategy_a"], *known["strategy_b"]]):
        for group in groups:
            first = next(iter(group))
            sign = relation.get((first, name), relation.get((name, first), 0))
            if sign:
                group[name] = sign
                break
        else:
            groups.append({name: 1})
    return [group for group in groups if len(group) > 1]


def same_choices(pairs: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return groups of strategies that chose the same examples at every budget (below the whole pool) and seed."""
    real = pairs[pairs["budget"] < pairs["pool_size"]]
    equal = (real["jaccard"] == 1).groupby([real["strategy_a"], real["strategy_b"]], sort=False).all()
    identical = {frozenset(names) for names in equal.index[equal]}
    groups: list[list[str]] = []
    for name in dict.fromkeys([*real["strategy_a"], *real["strategy_b"]]):
        home = next((group for group in groups if frozenset((group[0], name)) in identical), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return [tuple(group) for group in groups if len(group) > 1]


@lru_cache(maxsize=4096)
def expected_jaccard(size_a: int, size_b: int, pool_size: int) -> float:
    """Return the mean Jaccard overlap of two independent random draws without replacement.

    E[x / (a + b - x)], x hypergeometric: the examples of the second draw that the first one holds.
    """
    from scipy.stats import hypergeom  # slow to import

    shared = np.arange(max(0, size_a + size_b - pool_size), min(size_a, size_b) + 1)
    return float(hypergeom.pmf(shared, pool_size, size_a, size_b) @ (shared / (size_a + size_b - shared)))


def rank_correlations(scores: Iterable[np.ndarray | None]) -> np.ndarray:
    """Return (s, s) Spearman correlations of (n,) scores, each over the examples that both scored (ties: mean rank).

    NaN where one is None, fewer than three examples have both, or one is constant on these.
    """
    given = list(scores)
    matrix = np.full((len(given), len(given)), np.nan)
    rows = [i for i, values in enumerate(given) if values is not None]
    if rows:
        # Ranks first: the correlation of pandas takes infinite scores for missing ones.
        ranks = pd.DataFrame({i: given[i] for i in rows}).rank()
        matrix[np.ix_(rows, rows)] = ranks.corr(method="spearman", min_periods=3).to_numpy()
    return matrix


def _ranking(one: np.ndarray | None, other: np.ndarray | None, correlation: float) -> float:
    """Return 1 for the same ranking up to ties and float32 rounding, -1 for its reverse, 0 for another, or NaN."""
    if one is None or other is None or np.isnan(correlation):
        return float("nan")
    sign = float(np.sign(correlation))
    if abs(correlation) >= 1 - _EXACT:
        return sign
    if abs(correlation) < 1 - _NEARLY:
        return 0.0
    known = ~(np.isnan(one) | np.isnan(other))
    return sign if _never_disagree(one[known], sign * other[known]) else 0.0


def _never_disagree(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether no two examples are ordered one way by the first scores and the other way by the second."""
    other = other[np.lexsort((other, one))].astype(np.float64)
    highest = np.maximum.accumulate(other)
    return bool(np.isclose(other, highest, rtol=_FLOAT32_STEPS, atol=0).all())
