"""What a margin allows to claim: as good as (non-inferiority), and no difference (equivalence, two one-sided tests).

That a test finds no difference says nothing: with few seeds it rarely finds any. Both tests here turn the burden
around: what they reject is that a configuration loses (or differs by) the margin or more.

- non-inferiority: H0 gain <= -margin; t = (gain + margin) / se, one-sided
- equivalence: H0 |difference| >= margin; the larger p-value of both one-sided tests

`se` is that of the paired t-test: over folds with the variance of Nadeau and Bengio.

Source: Schuirmann 1987, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach"; Walker and Nowacki
2011, "Understanding Equivalence and Noninferiority Testing".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.intervals import FEWEST, LEVEL, NO_SPREAD


def non_inferiority_p(gain: Any, std: Any, count: Any, margin: Any, test_ratio: Any = 0.0) -> np.ndarray:
    """Return one-sided p-values of H0: the gain is -margin or less.

    NaN where there are fewer than three replicates, or all are equal: no spread is no evidence of certainty.

    Args:
        gain: means of paired differences, positive = better.
        std: of the differences, ddof 1.
        count: how many replicates.
        margin: > 0, in units of the metric.
        test_ratio: n_test / n_train of folds; 0 for independent replicates.
    """
    from scipy import stats

    error, freedom = _standard_error(std, count, test_ratio)
    return np.asarray(stats.t.sf((np.asarray(gain, dtype=np.float64) + np.asarray(margin)) / error, freedom))


def equivalence_p(difference: Any, std: Any, count: Any, margin: Any, test_ratio: Any = 0.0) -> np.ndarray:
    """Return p-values of two one-sided tests (TOST) of H0: the difference is margin or more, in either direction.

    Args:
        difference: as `gain` in `non_inferiority_p`, as are the other arguments and what is NaN; its sign does not
            matter.
        std: likewise.
        count: likewise.
        margin: likewise.
        test_ratio: likewise.
    """
    distance = -np.abs(np.asarray(difference, dtype=np.float64))
    return non_inferiority_p(distance, std, count, margin, test_ratio)


def worst_gain(gain: Any, std: Any, count: Any, test_ratio: Any = 0.0) -> np.ndarray:
    """Return the lower ends of one-sided 95 % intervals of gains; above -margin where `non_inferiority_p` is below .05.

    Args:
        gain: as in `non_inferiority_p`, as are `std`, `count`, `test_ratio` and what is NaN.
        std: likewise.
        count: likewise.
        test_ratio: likewise.
    """
    from scipy import stats

    error, freedom = _standard_error(std, count, test_ratio)
    return np.asarray(np.asarray(gain, dtype=np.float64) - stats.t.ppf(LEVEL, freedom) * error)


def ratios_of(folds: pd.Series[int]) -> pd.Series[float]:
    """Return n_test / n_train of comparisons over m folds: 1 / (m - 1), and 0 without folds."""
    return (1 / (folds - 1).where(folds > 1)).fillna(0.0)


def within_margin(table: pd.DataFrame, *, both_sides: bool, sign: float = 1.0) -> pd.Series[bool]:
    """Tell of which comparisons the interval over test examples lies within the margin; where there is none, it does.

    Args:
        table: with `examples_low`, `examples_high` and `margin`.
        both_sides: else only on the side where the strategy loses.
        sign: of the metric, -1 where less is better.
    """
    low, high = table["examples_low"], table["examples_high"]
    is_low_in, is_high_in = low > -table["margin"], high < table["margin"]
    inside = is_low_in & is_high_in if both_sides else is_low_in if sign > 0 else is_high_in
    return low.isna() | inside


def _standard_error(std: Any, count: Any, test_ratio: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return standard error and degrees of freedom; NaN the first one where there is no test."""
    std, count, test_ratio = (np.asarray(x, dtype=np.float64) for x in (std, count, test_ratio))
    known = (count >= FEWEST) & (std > NO_SPREAD)
    safe = np.where(known, count, 2.0)
    return np.where(known, std * np.sqrt(1 / safe + test_ratio), np.nan), safe - 1
