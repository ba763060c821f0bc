"""Probabilities of one model or of several, and the losses that follow from them."""

from __future__ import annotations

import numpy as np

_TINY = float(np.finfo(np.float32).tiny)


def cross_entropy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 losses -ln p_y, finite even where p_y underflowed.

    Args:
        probs: (n, C) float.
        labels: (n,) class numbers; or targets (n, C) 0 or 1 of several labels: the mean of their binary losses.
    """
    if labels.ndim == 2:
        known = np.clip(probs.astype(np.float64), _TINY, 1.0 - np.finfo(np.float32).eps)
        return np.asarray(-np.where(labels > 0, np.log(known), np.log1p(-known)).mean(axis=1))
    label_probs = probs[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(label_probs, _TINY, 1.0)))


def mean_cross_entropy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 losses averaged over models.

    Args:
        probs: (n, C) of one model or (n, m, C) of m models.
        labels: (n,) class numbers.
    """
    if probs.ndim == 2:
        return cross_entropy(probs, labels)
    return np.asarray(np.mean([cross_entropy(probs[:, member], labels) for member in range(probs.shape[1])], axis=0))


def mean_probs(probs: np.ndarray) -> np.ndarray:
    """Return (n, C) probabilities from (n, C) of one model or (n, m, C) of m proxies."""
    return probs if probs.ndim == 2 else probs.mean(axis=1)
