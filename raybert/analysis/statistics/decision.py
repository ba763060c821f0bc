"""When a difference counts: a t-test with few replicates, further tests that must agree with more.

| replicates | what decides |
|---|---|
| 1, 2 | nothing: there are no tests |
| 3, 4 | the paired t-test with Holm's correction |
| 5 to 8 | the same, and a paired bootstrap over test examples must agree; the p-value of sign flips is reported |
| 9 and more | the same, and sign flips with Holm's correction must agree, too |

Sign flips need no normal distribution: were there no difference, every difference could as well have the other sign. Of
n differences the p-value is at least 2 / 2^n, so below nine no family of more than a few can pass. It is exact up to
2^16 flips, and drawn beyond. Folds share training examples, their differences are not independent, and there are no
flips of them.

The bootstrap over test examples asks another question than seeds do: would the same runs differ on another test set of
this size? Where predictions are gone, or the metric is one of a user's own, it is not asked.

What a t-test finds and another test does not is "not settled". What it does not find is "no difference shown", and "no
difference" only where equivalence within a margin passes: `raybert.analysis.statistics.margins`.

Source: SciPy's `permutation_test` and `bootstrap`; Efron 1987 (BCa).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.intervals import LEVEL, NO_SPREAD, holm

BY_EXAMPLES_FROM = 5
"""Replicates from which on the bootstrap over test examples must agree, and sign flips are reported."""
BY_FLIPS_FROM = 9
"""Replicates from which on sign flips must agree."""
BY_BOOTSTRAP_FROM = 10
"""Replicates from which on there are a BCa interval and an interquartile mean: of fewer they are worth little."""
BETTER, WORSE, UNDECIDED, NOT_COMPARED = "better", "worse", "no difference shown", "not compared"
NOT_SETTLED, EQUIVALENT = "not settled", "no difference"
MOST_FLIPS = 2**16
MOST_MORE_SEEDS = 30
"""More are not counted: nobody plans a sweep by a guess that uncertain."""
_RESAMPLES = 9_999


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of sign flips of (..., n) differences, exact where there are at most 2^16.

    Args:
        differences: finite; the last axis is that of replicates.
    """
    from scipy import stats

    found = stats.permutation_test(
        (np.asarray(differences, dtype=np.float64),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        n_resamples=MOST_FLIPS,
        vectorized=True,
        axis=-1,
        batch=MOST_FLIPS // 16,
        rng=np.random.default_rng(0),
    )
    return np.asarray(found.pvalue)


def bca_interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % BCa interval of the mean; NaN without any spread."""
    from scipy import stats

    if np.std(differences) <= NO_SPREAD:
        return float("nan"), float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # its NaN says so
        found = stats.bootstrap(
            (differences,), np.mean, method="BCa", n_resamples=_RESAMPLES, rng=np.random.default_rng(0)
        )
    low, high = found.confidence_interval
    return float(low), float(high)


def further_evidence(
    differences: np.ndarray, on_examples: tuple[float, float] | None, *, has_folds: bool
) -> dict[str, float]:
    """Return what is known of a difference beside its t-test: the columns of `EVIDENCE`, NaN for what is not.

    Args:
        differences: (n,) of replicates, finite.
        on_examples: the ends of the interval over test examples; None: not known.
        has_folds: whether replicates are folds.
    """
    from scipy import stats

    found = dict.fromkeys(EVIDENCE, float("nan"))
    count = len(differences)
    if count >= BY_EXAMPLES_FROM and not has_folds:
        found["sign_flip_p"] = float(sign_flip_p(differences))
    if count >= BY_EXAMPLES_FROM and on_examples is not None:
        found["examples_low"], found["examples_high"] = on_examples
    if count >= BY_BOOTSTRAP_FROM and not has_folds:
        found["bca_low"], found["bca_high"] = bca_interval(differences)
        found["interquartile_mean"] = float(stats.trim_mean(differences, 0.25))
    return found


EVIDENCE = ("sign_flip_p", "examples_low", "examples_high", "bca_low", "bca_high", "interquartile_mean")


def decide(table: pd.DataFrame, families: pd.Series[Any], sign: float) -> np.ndarray:
    """Return the verdict of every row, by the rule for its number of replicates.

    Args:
        table: with `difference`, `num_replicates`, `p`, `holm_p`, `folds` and the columns of `EVIDENCE`; gets
            `sign_flip_holm_p`.
        families: of Holm's correction.
        sign: 1 where more of the metric is better, else -1.
    """
    alpha = 1 - LEVEL
    flips = table.groupby(families, sort=False)["sign_flip_p"]
    table["sign_flip_holm_p"] = flips.transform(lambda p: holm(p.to_numpy()))
    difference, count = table["difference"], table["num_replicates"]
    on_examples = np.where(difference > 0, table["examples_low"] > 0, table["examples_high"] < 0)
    confirmed = table["examples_low"].isna() | on_examples
    confirmed &= (count < BY_FLIPS_FROM) | (table["folds"] > 1) | (table["sign_flip_holm_p"] < alpha)
    found = table["holm_p"] < alpha
    gain = sign * difference
    return np.select(
        [found & ~confirmed, found & (gain > 0), found & (gain < 0), table["p"].notna()],
        [NOT_SETTLED, BETTER, WORSE, UNDECIDED],
        default=NOT_COMPARED,
    )


def more_seeds(difference: float, std: float, count: int, tests: int) -> float:
    """Return how many more seeds would settle a difference of the size seen; infinite: more than 30.

    The deviation is taken at its upper 95 % limit, since that of few seeds is often far too small, and the t-test at
    the strictest step of Holm's correction.

    Args:
        difference: mean over seeds.
        std: of the differences, ddof 1.
        count: seeds so far, at least 2.
        tests: size of the family.
    """
    from scipy import stats

    upper = std * np.sqrt((count - 1) / stats.chi2.ppf(1 - LEVEL, count - 1))
    totals = count + np.arange(1, MOST_MORE_SEEDS + 1)
    needed = stats.t.isf((1 - LEVEL) / (2 * tests), totals - 1) * upper / np.sqrt(totals)
    enough = np.flatnonzero(needed <= abs(difference))
    return float(enough[0] + 1) if len(enough) else float("inf")
