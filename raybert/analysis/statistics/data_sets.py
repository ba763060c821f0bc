"""Strategies over several data sets: mean ranks, whether they differ at all, and which do.

The data sets are the sample: a value of a strategy is its mean on one of them, whatever it was over. Friedman's test
asks whether the ranks differ at all; only if they do, the critical difference of Nemenyi tells which of all pairs do,
and Holm's procedure which strategies differ from one baseline. From five data sets on: with fewer no such test has
power.

Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from raybert.analysis.statistics.decision import BETTER, NOT_COMPARED, UNDECIDED, WORSE
from raybert.analysis.statistics.intervals import LEVEL, holm
from raybert.analysis.statistics.ranks import FEWEST_DATA_SETS, FEWEST_STRATEGIES, critical_difference, mean_ranks


@dataclass(frozen=True)
class RankTest:
    """Mean ranks over data sets, and what they show.

    Attributes:
        ranks: strategy -> mean rank, 1 = best; the best first.
        num_data_sets: behind them.
        friedman_p: of the hypothesis that no strategy ranks differently; NaN: fewer than five data sets or three
            strategies.
        difference: by how much two mean ranks must differ (Nemenyi); NaN likewise.
        holm_p: of each strategy against the baseline, with Holm's correction; NaN: not tested, or the baseline.
    """

    ranks: pd.Series[float]
    num_data_sets: int
    friedman_p: float
    difference: float
    holm_p: pd.Series[float]

    @property
    def is_tested(self) -> bool:
        """Whether there are enough data sets and strategies."""
        return not np.isnan(self.friedman_p)

    @property
    def differs(self) -> bool:
        """Whether Friedman's test shows any difference."""
        return self.friedman_p < 1 - LEVEL

    def verdicts(self, baseline: str | None) -> pd.Series[str]:
        """Return of each strategy whether it ranks better or worse than the baseline."""
        if baseline is None or baseline not in self.ranks or not self.is_tested:
            return pd.Series(NOT_COMPARED, index=self.ranks.index)
        sure = self.differs & (self.holm_p < 1 - LEVEL)
        gain = self.ranks[baseline] - self.ranks
        words = np.select([sure & (gain > 0), sure & (gain < 0), self.holm_p.notna()], [BETTER, WORSE, UNDECIDED], "")
        found = pd.Series(words, index=self.ranks.index)
        return found.where(found != "", NOT_COMPARED)


def rank_data_sets(values: pd.DataFrame, metric: str, baseline: str | None = None) -> RankTest:
    """Return the mean ranks of strategies over data sets, and which of them differ.

    Args:
        values: a row per data set, a column per strategy; nothing may be missing.
        metric: that they are of: whether more is better.
        baseline: a column; None: strategies are compared with none.
    """
    from scipy.stats import friedmanchisquare, norm

    ranks = mean_ranks(values, metric).sort_values(kind="stable")
    n, k = len(values), values.shape[1]
    none = pd.Series(np.nan, index=ranks.index)
    if n < FEWEST_DATA_SETS or k < FEWEST_STRATEGIES:
        return RankTest(ranks, n, np.nan, np.nan, none)
    is_one_rank = bool((values.nunique(axis=1) == 1).all())  # of which the statistic is 0 / 0
    p = 1.0 if is_one_rank else float(friedmanchisquare(*(values[name] for name in values)).pvalue)
    corrected = none
    if baseline is not None and baseline in ranks:
        z = (ranks - ranks[baseline]).drop(baseline) / np.sqrt(k * (k + 1) / (6 * n))
        raw = 2 * norm.sf(np.abs(z.to_numpy()))
        corrected = pd.Series(holm(raw), index=z.index).reindex(ranks.index)
    return RankTest(ranks, n, p, critical_difference(k, n), corrected)
