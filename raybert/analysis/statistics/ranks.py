"""Which place each strategy takes among others: over data sets with a critical difference, over seeds without a claim.

Ranks begin at 1, the best; equal values share the mean of their ranks.

Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, section 3.2.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from raybert.analysis.statistics.configurations import has_budget
from raybert.analysis.statistics.intervals import mean_interval
from raybert.analysis.statistics.scales import Scale

FEWEST_DATA_SETS = 5
"""From so many on mean ranks are compared; over fewer the Friedman test has no power worth a picture."""
FEWEST_STRATEGIES = 3
"""Of two a difference says more than their ranks."""
RANK_COLUMNS = ("budget", "strategy", "mean", "low", "high", "num_strategies", "num_replicates", "num_dropped", "ranks")


def critical_difference(num_strategies: int, num_data_sets: int, level: float = 0.05) -> float:
    """Return by how much two mean ranks must differ to be different by the Nemenyi test.

    CD = q sqrt(k (k + 1) / (6 N)), q being the studentized range statistic for k strategies, divided by sqrt(2).

    Args:
        num_strategies: k >= 2.
        num_data_sets: N >= 1.
        level: of all comparisons together.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, num_strategies, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(num_strategies * (num_strategies + 1) / (6 * num_data_sets)))


def alike_groups(ranks: Mapping[str, float], difference: float) -> list[tuple[str, ...]]:
    """Return the largest groups of neighbours whose mean ranks differ by less than a critical difference.

    Args:
        ranks: of each strategy its mean rank.
        difference: the critical one.

    Returns:
        Groups of two at least, names by rank; the group of the best first.
    """
    names = sorted(ranks, key=lambda name: ranks[name])
    groups: list[tuple[str, ...]] = []
    end = 0
    for i, first in enumerate(names):
        last = max(j for j, name in enumerate(names) if ranks[name] - ranks[first] < difference or j == i)
        if last > max(end, i):
            groups.append(tuple(names[i : last + 1]))
            end = last
    return groups


def mean_ranks(values: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Return the mean rank of each column, 1 = best.

    Args:
        values: a row per data set (or seed), a column per strategy; nothing may be missing.
        metric: that they are of: whether more is better.
    """
    return ranks_of(values, metric).mean()


def ranks_of(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rank of every value in its row, 1 = best; equal values share the mean of theirs."""
    return values.rank(axis=1, ascending=Scale(metric).sign < 0, method="average")


def ranks_over_replicates(trials: pd.DataFrame, metric: str, order: Sequence[str] = ()) -> pd.DataFrame:
    """Return a row per budget and strategy: its ranks on test among the strategies with that budget, seed by seed.

    Only seeds (or folds, whose seeds are averaged) count that every one of the strategies has finished, or a strategy
    would gain by what others lack.

    Args:
        trials: a row per trial, as in `Sweep.trials`, of one point of the grid; only complete ones with a budget count.
        metric: what they are ranked by.
        order: of strategies with equal ranks.

    Returns:
        `RANK_COLUMNS`: mean rank with its 95 % interval, which stays in 1..`num_strategies`, and the single ranks.
    """
    value = f"test_{metric}"
    own = trials[(trials["status"] == "complete") & (trials["role"] == "trial") & has_budget(trials)]
    by = "fold" if trials["fold"].nunique() > 1 else "seed"
    place = {name: i for i, name in enumerate(order)}
    rows = []
    for budget, at_budget in own.groupby("budget", sort=True):
        reached = at_budget.pivot_table(index=by, columns="strategy", values=value, aggfunc="mean", observed=True)
        whole = reached.dropna()
        if whole.shape[1] < FEWEST_STRATEGIES or whole.empty:
            continue
        ranks = ranks_of(whole, metric)
        count, most = len(ranks), ranks.shape[1]
        means, deviations = ranks.mean(), ranks.std(ddof=1)
        lows, highs = mean_interval(means, deviations, count, lowest=1.0, highest=float(most))
        for i, name in enumerate(ranks):
            found = (float(means.iloc[i]), float(lows[i]), float(highs[i]), most, count, len(reached) - count)
            rows.append((int(str(budget)), str(name), *found, tuple(ranks[name])))
    table = pd.DataFrame(rows, columns=list(RANK_COLUMNS))
    return table.assign(_place=table["strategy"].map(place)).sort_values(["budget", "mean", "_place"], kind="stable")[
        list(RANK_COLUMNS)
    ]
