"""How far two suggestions may differ by chance, and which may therefore be the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from raybert.analysis.statistics.configurations import KEY

CONFIDENCE = 0.95
BORROWED_COVERAGE = 0.7
"""How often the set of what may be the best held the truly best in use (issue 12), where the noise is that of the
comparison's runs, which need not be that of suggestions with one seed each."""
_NODES = 200


@dataclass(frozen=True)
class Noise:
    """The standard deviation of one seed's value around its configuration's, seeds' common part left out.

    Attributes:
        std: in units of the metric.
        degrees: of freedom of its estimate.
        source: in words.
        is_own: whether it is that of the suggestions themselves, not borrowed from the comparison after the search.
    """

    std: float
    degrees: int
    source: str = ""
    is_own: bool = True

    @property
    def coverage(self) -> float:
        """How often the set of what may be the best holds the truly best."""
        return CONFIDENCE if self.is_own else BORROWED_COVERAGE


def block_noise(values: np.ndarray) -> Noise | None:
    """Return the noise of (n, k) values: n configurations, each with the same k seeds.

    The residual of configuration + seed effects (randomised complete blocks): what a seed does to all configurations
    alike does not count, since it does not change which is better. None where there are no degrees of freedom.
    """
    n, k = values.shape if values.ndim == 2 else (0, 0)
    degrees = (n - 1) * (k - 1)
    if degrees < 1:
        return None
    residuals = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True) + values.mean()
    return Noise(math.sqrt(float((residuals**2).sum()) / degrees), degrees)


def pooled(noises: Iterable[Noise | None], source: str) -> Noise | None:
    """Return one noise from several, weighed by their degrees of freedom; None where there is none."""
    known = [noise for noise in noises if noise is not None]
    degrees = sum(noise.degrees for noise in known)
    if not degrees:
        return None
    variance = sum(noise.degrees * noise.std**2 for noise in known) / degrees
    return Noise(math.sqrt(variance), degrees, source)


def suggestion_noise(complete: pd.DataFrame, maximize: bool) -> Noise | None:
    """Return the noise between the seeds of complete suggestions, pooled over arms; None with one seed each.

    Of each arm's better half: what diverges says nothing about the noise near the best.

    Args:
        complete: rows of `suggestions_table`.
        maximize: whether more is better.
    """
    most = complete["num_seeds"].max() if len(complete) else 0
    noises = []
    for _, arm in complete[complete["num_seeds"] == most].groupby("arm", sort=False):
        num_better = max(2, math.ceil(len(arm) / 2))
        better = arm.sort_values("value", ascending=not maximize, kind="stable").head(num_better)
        noises.append(block_noise(np.array(better["seed_values"].tolist(), dtype=np.float64)))
    return pooled(noises, f"the {most} seeds of each suggestion")


def comparison_noise(trials: pd.DataFrame, metric: str) -> Noise | None:
    """Return the noise between the seeds of the compare phase, pooled over budgets and folds, or None.

    Args:
        trials: `Sweep.trials`.
        metric: of the validation split.
    """
    column = f"validation_{metric}"
    if column not in trials:
        return None
    done = trials[(trials["status"] == "complete") & (trials["role"] == "trial")].dropna(subset=column)
    noises = []
    for _, alike in done.groupby(["fold", "budget"]):
        values = alike.pivot_table(index=KEY, columns="seed", values=column).dropna()
        noises.append(block_noise(values.to_numpy(np.float64)))
    noise = pooled(noises, f"the {done['seed'].nunique()} seeds of the comparison")
    return None if noise is None else replace(noise, is_own=False)


def subset_quantile(num_others: int, degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return h: the best of m + 1 is within h standard errors of a difference of the best one seen, with confidence.

    Solves E_s[E_z[Phi(z + sqrt(2) h s)^m]] = confidence for normal z and s = sqrt(chi2(degrees) / degrees).

    Source: Gupta 1965, "On Some Multiple Decision (Selection and Ranking) Rules"; the one-sided quantile of Dunnett
    1955 for equal sample sizes.
    """
    from scipy.optimize import brentq
    from scipy.stats import chi2, norm

    if num_others < 1:
        return 0.0
    z = norm.ppf((np.arange(_NODES) + 0.5) / _NODES)[:, None]
    s = np.sqrt(chi2.ppf((np.arange(_NODES) + 0.5) / _NODES, degrees) / degrees)[None, :]

    def missed(h: float) -> float:
        return float((norm.cdf(z + math.sqrt(2) * h * s) ** num_others).mean()) - confidence

    return float(brentq(missed, 0.0, 100.0 if degrees > 1 else 1000.0, xtol=1e-3))
