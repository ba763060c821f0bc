"""Losses with one value per example, and weights of classes, as sweeps and `raybert.fit` compute them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from raybert.config import LossConfig
from raybert.config.load import validate_model
from raybert.errors import DataError
from raybert.training.measures import losses as _losses
from raybert.training.measures.losses import binary_cross_entropy, focal

__all__ = ["binary_cross_entropy", "class_weights", "cross_entropy", "focal", "focal_alpha", "positive_weight"]


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return (b,) cross entropies -ln p_y, or with smoothing those of labels of which a share is spread.

    Args:
        logits: (b, C) float32.
        labels: (b,) class numbers.
        smoothing: share of the label spread over all classes.
        weight: (C,) class weights.
    """
    return functional.cross_entropy(logits, labels, weight=weight, reduction="none", label_smoothing=smoothing)


def class_weights(
    labels: Any,
    rule: Literal["inverse", "effective"] = "inverse",
    *,
    beta: float = 0.999,
    num_classes: int | None = None,
) -> np.ndarray:
    """Return (C,) weights of the classes: rare ones weigh more; a class without examples weighs 0.

    inverse: n / (C n_c). effective: (1 - beta) / (1 - beta^n_c), scaled to sum C (over the classes that are there).

    Args:
        labels: (n,) class numbers.
        rule: which of the two.
        beta: of `effective`, in (0, 1).
        num_classes: C; default: the largest label + 1.

    Raises:
        DataError: labels are no class numbers.
        ConfigError: an unknown rule, or `beta` out of range.

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", arXiv 1901.05555, eq. 4.
    """
    config = validate_model(LossConfig, {"class_weights": rule, "beta": beta})
    counts = _counts(labels, num_classes)
    weights, _ = _losses.class_weights(config, counts)
    return np.ones(len(counts)) if weights is None else weights


def positive_weight(labels: Any) -> float:
    """Return negatives / positives of 0/1 labels, at most 100: `pos_weight` of a binary cross entropy.

    Args:
        labels: (n,) 0 or 1.

    Raises:
        DataError: labels are others.
    """
    return _losses.positive_weight(LossConfig(name="bce", pos_weight="auto"), _counts(labels, 2))


def focal_alpha(labels: Any, rule: Literal["inverse", "balanced"] = "inverse") -> float:
    """Return the weight of class 1 in the focal loss; that of class 0 is 1 - alpha.

    inverse: n_neg / n, which weighs the rare class up. balanced: n_pos / n, which weighs the rare class *down*.

    Args:
        labels: (n,) 0 or 1.
        rule: which of the two.

    Raises:
        DataError: labels are others.
    """
    found = _losses.focal_alpha(LossConfig(name="focal", alpha=rule), _counts(labels, 2))
    assert found is not None
    return found


def _counts(labels: Any, num_classes: int | None) -> np.ndarray:
    """Return (C,) examples per class."""
    found = np.asarray(labels)
    limit = np.inf if num_classes is None else num_classes
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iub" or found.min() < 0 or found.max() >= limit:
        wanted = "0..C-1" if num_classes is None else f"0..{num_classes - 1}"
        raise DataError(f"labels: must be (n,) class numbers {wanted}, got {found.dtype} of shape {found.shape}")
    return np.bincount(found.astype(np.int64), minlength=num_classes or 0)
