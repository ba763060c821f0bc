"""Means over documents and seeds with the uncertainty of both: log-perplexities, their differences and ratios.

A model is one or several seeds; its log-perplexity is the mean over them, measured on the same documents. Two things
could have been otherwise: which documents were drawn (bootstrap over documents, the same resamples for every model, so
that differences are paired) and which seeds (their spread). Documents that belong together (speeches of a sitting) are
alike, so where there are groups whole groups are drawn. The standard error of a mean is the root of both variances, the
interval a Student-t one with degrees of freedom after Welch and Satterthwaite; documents give as many as there are
groups (or documents) less one, and their variance is that of the resamples times G / (G - 1). What seeds make of single
documents is in both variances, so with seeds this errs on the side of no difference; of a model with one seed it holds
for that seed only.

Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 6; Cameron & Miller 2015, "A
Practitioner's Guide to Cluster-Robust Inference", section VI (few groups: t with G - 1, variance * G / (G - 1));
Satterthwaite 1946, "An Approximate
Distribution of Estimates of Variance Components".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_CHUNK = 1 << 22
"""Weights of documents that are held at once."""


@dataclass(frozen=True)
class Estimate:
    """A number with what it would have been with other documents and other seeds.

    Attributes:
        value: of all documents, mean over seeds.
        draws: (B,) of resampled documents, mean over seeds.
        seeds: arrays whose means add up to the value, each over seeds that are independent of those of the others.
        num_units: groups, or documents, that were drawn; of several corpora those of the smallest.
    """

    value: float
    draws: np.ndarray
    seeds: tuple[np.ndarray, ...]
    num_units: int

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference; the draws of both must be of the same resamples, or of independent ones.

        Seeds are paired where both have as many: the same seed is the same start and order. Else both spreads add up.
        """
        is_paired = len(self.of_seeds) == len(other.of_seeds)
        seeds = (self.of_seeds - other.of_seeds,) if is_paired else (*self.seeds, *other.seeds)
        num_units = min(self.num_units, other.num_units)
        return Estimate(self.value - other.value, self.draws - other.draws, seeds, num_units)

    @property
    def of_seeds(self) -> np.ndarray:
        """(S,) of all documents, of each seed."""
        return self.seeds[0]

    @property
    def documents_deviation(self) -> float:
        """Standard error from the documents; NaN: there is one group (or document), which tells nothing of others."""
        if self.num_units < 2:
            return float("nan")
        return float(self.draws.std(ddof=1)) * float(np.sqrt(self.num_units / (self.num_units - 1)))

    @property
    def seeds_deviation(self) -> float:
        """Deviation over seeds (ddof 1); NaN of one."""
        return float(self.of_seeds.std(ddof=1)) if len(self.of_seeds) > 1 else float("nan")

    @property
    def error(self) -> tuple[float, float]:
        """Return standard error and degrees of freedom, from documents and seeds together."""
        variances = [float(part.var(ddof=1)) / len(part) if len(part) > 1 else 0.0 for part in self.seeds]
        documents = self.documents_deviation**2
        total = documents + sum(variances)
        known = sum(v**2 / (len(part) - 1) for v, part in zip(variances, self.seeds, strict=True) if v > 0)
        if documents > 0:
            known += documents**2 / (self.num_units - 1)
        return float(np.sqrt(total)), total**2 / known if known > 0 else float("inf")

    def interval(self) -> tuple[float, float]:
        """Return the ends of the 95 % interval over documents and seeds."""
        from scipy import stats

        deviation, freedom = self.error
        half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * deviation
        return self.value - half, self.value + half

    def documents_interval(self) -> tuple[float, float]:
        """Return the 95 % interval over documents alone, for the seeds that there are."""
        from scipy import stats

        half = float(stats.t.ppf((1 + LEVEL) / 2, max(self.num_units - 1, 1))) * self.documents_deviation
        return self.value - half, self.value + half

    def p_value(self) -> float:
        """Return the two-sided p-value of the value being 0; where nothing varies 1 if it is 0, NaN if it is not."""
        from scipy import stats

        deviation, freedom = self.error
        if deviation <= 1e-12:
            return 1.0 if abs(self.value) <= 1e-12 else float("nan")
        return float(2 * stats.t.sf(abs(self.value) / deviation, freedom))


def mean_of(parts: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates of the same seeds on other documents."""
    return Estimate(
        float(np.mean([part.value for part in parts])),
        np.mean([part.draws for part in parts], axis=0),
        (np.mean([part.of_seeds for part in parts], axis=0),),
        min(part.num_units for part in parts),
    )


def range_of(parts: Sequence[Estimate]) -> Estimate:
    """Return largest less smallest of estimates of the same seeds, found anew in every resample and seed."""
    return Estimate(
        max(part.value for part in parts) - min(part.value for part in parts),
        np.ptp(np.stack([part.draws for part in parts]), axis=0),
        (np.ptp(np.stack([part.of_seeds for part in parts]), axis=0),),
        min(part.num_units for part in parts),
    )


def mean_losses(
    losses: np.ndarray, counts: np.ndarray, *, resamples: int, seed: int, groups: np.ndarray | None = None
) -> Estimate:
    """Return the mean loss per piece (or word) of a model: sum over documents / sum of counts.

    Args:
        losses: (S, n) sums over each document, of every seed.
        counts: (n,) pieces or words of each document.
        resamples: of documents, or of groups.
        seed: of the resamples; the same seed, n and groups draw the same documents.
        groups: (n,) whole numbers from 0: documents with the same one are drawn together; default: each alone.
    """
    total = counts.sum()
    if total == 0:
        raise ValueError("counts: must have a piece or word that is measured, got none")
    of_seeds = losses.sum(axis=1) / total
    values = np.vstack([losses.mean(axis=0), counts])
    if groups is not None:
        values = np.stack([np.bincount(groups, weights=row) for row in values])
    draws = resampled_sums(values, resamples, seed)
    return Estimate(float(of_seeds.mean()), draws[:, 0] / np.maximum(draws[:, 1], 1), (of_seeds,), values.shape[1])


def resampled_sums(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return (B, k) sums of (k, n) values over n units (documents, groups) that are drawn with replacement, B times."""
    count = values.shape[1]
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // count)
    shares = np.full(count, 1 / count)
    parts = []
    for start in range(0, resamples, rows):
        drawn = generator.multinomial(count, shares, size=min(rows, resamples - start))
        parts.append(drawn.astype(np.float64) @ values.T)
    return np.concatenate(parts)
