"""Whether another round is still worth it: how much the model of a round differs from that of the round before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

STABLE_KAPPA = 0.99
WINDOW = 3
"""Bloodgood & Vijay-Shanker 2009, "A Method for Stopping Active Learning Based on Stabilizing Predictions": Cohen's
kappa of successive models on examples set aside is 0.99 or more on average over three comparisons."""
LOW_ENTROPY = 0.05
"""Zhu et al. 2008, "Multi-criteria-based strategy to stop active learning", overall uncertainty: they stop below a
threshold of the mean entropy; as a share of that of equal probabilities here, so that it fits any number of classes."""


@dataclass(frozen=True)
class Certainty:
    """What the model of a round says of the texts without a label, and how that differs from the round before.

    Attributes:
        mean_confidence: mean probability of the most probable class; NaN: there is no model.
        mean_entropy: mean entropy, as a share of that of equal probabilities.
        changed: share of texts that the model before calls another class; NaN: there is none before.
        kappa: Cohen's kappa of the two models' classes.
    """

    mean_confidence: float = np.nan
    mean_entropy: float = np.nan
    changed: float = np.nan
    kappa: float = np.nan


def normalised_entropy(probs: np.ndarray) -> np.ndarray:
    """Return (n,) entropies of (n, C) probabilities, as shares of that of C equal ones."""
    safe = np.clip(probs.astype(np.float64), np.finfo(np.float64).tiny, None)
    return np.asarray(-(probs * np.log(safe)).sum(axis=1) / np.log(probs.shape[1]))


def cohens_kappa(one: Sequence[str] | np.ndarray, other: Sequence[str] | np.ndarray) -> float:
    """Return Cohen's kappa of two ways to call the same n examples; 1 where both call all of them one class.

    Args:
        one: (n,) names.
        other: (n,) names.
    """
    first, second = np.asarray(one), np.asarray(other)
    names = np.union1d(first, second)
    shares = [np.array([(called == name).mean() for name in names]) for called in (first, second)]
    by_chance = float(shares[0] @ shares[1])
    agreed = float((first == second).mean())
    return 1.0 if by_chance == 1.0 else (agreed - by_chance) / (1.0 - by_chance)


def measure(state: pd.DataFrame, before: pd.DataFrame | None) -> Certainty:
    """Return what a round's model says, compared with the model before on the texts that both were asked about.

    Args:
        state: `raybert.tables.annotation.STATES`, of this round.
        before: of the round before; None: it had no model.
    """
    confidence, entropy = float(state["confidence"].mean()), float(state["entropy"].mean())
    if before is None:
        return Certainty(confidence, entropy)
    both = state.merge(before, on="example_id", suffixes=("", "_before"))
    if not len(both):
        return Certainty(confidence, entropy)
    now, then = both["predicted"].to_numpy(), both["predicted_before"].to_numpy()
    return Certainty(confidence, entropy, float((now != then).mean()), cohens_kappa(now, then))


def criteria_met(kappas: Sequence[float], changed: float, mean_entropy: float) -> tuple[str, ...]:
    """Return the criteria by which labelling may stop.

    Args:
        kappas: of all rounds up to this one, in order; NaN where there was nothing to compare.
        changed: of this round.
        mean_entropy: of this round.
    """
    met = []
    last = np.array(kappas[-WINDOW:], float)
    if len(last) == WINDOW and np.isfinite(last).all() and round(float(last.mean()), 9) >= STABLE_KAPPA:
        met.append(f"kappa (mean of {WINDOW} rounds >= {STABLE_KAPPA:g})")
    if changed == 0:
        met.append("classification change (none)")
    if mean_entropy < LOW_ENTROPY:
        met.append(f"uncertainty (mean entropy < {LOW_ENTROPY:g})")
    return tuple(met)
