"""Losses: one value per example, class weights from labels, and one rule for dividing their sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from raybert.config import LossConfig, import_attribute
from raybert.errors import ConfigError

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(b, C) float32 logits and (b,) labels -> (b,) losses, unweighted."""
LARGEST_POS_WEIGHT = 100.0


@dataclass(frozen=True)
class Loss:
    """What a training step minimises: sum(example weight * value) / sum(class weight of its label).

    Both sums are over the whole batch: all micro-batches of an accumulation group, on all ranks.

    Attributes:
        function: values before class weights, or with them where they belong inside (`cross_entropy`).
        class_weights: (C,) float32, or None for all 1.
        notes: what a user should know, e.g. a class that is missing.
        is_plain: whether values are plain cross entropies, of classes of equal weight.
    """

    function: LossFunction
    class_weights: torch.Tensor | None = None
    notes: tuple[str, ...] = ()
    is_plain: bool = False

    def values(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return (b,) float32 losses with their class weights."""
        return self.function(logits.float(), labels)

    def denominator(self, labels: np.ndarray) -> float:
        """Return what the summed losses of a whole batch are divided by.

        Args:
            labels: of all its examples.
        """
        if self.class_weights is None:
            return float(len(labels))
        total = float(self.class_weights[torch.from_numpy(np.array(labels))].sum())
        return total or 1.0  # only classes of weight 0: nothing is learned from this batch


def build_loss(
    config: LossConfig,
    labels: np.ndarray,
    num_classes: int,
    device: torch.device,
    *,
    function: LossFunction | None = None,
    weights: Sequence[float] | None = None,
) -> Loss:
    """Return the loss that a configuration describes, with weights from labels.

    Args:
        config: section `train.loss`.
        labels: (n,) that weights are counted from: of the pool, or of the selection.
        num_classes: C.
        device: of the logits.
        function: in place of the one that is named.
        weights: (C,) of the classes, in place of the rule that is named.

    Raises:
        ConfigError: a binary loss for more classes, or a callable that cannot be found.
    """
    if num_classes != 2:
        for key in ("pos_weight", "alpha"):
            if getattr(config, key) is not None:
                raise ConfigError(f"train.loss.{key}: must be left out with {num_classes} classes, it is for two")
        if config.name == "bce":
            raise ConfigError(f"train.loss.name: must not be `bce` with {num_classes} classes, it is for two")
    counts = np.bincount(labels, minlength=num_classes)
    found, notes = class_weights(config, counts) if weights is None else (np.asarray(weights), ())
    tensor = None if found is None else torch.tensor(found, dtype=torch.float32, device=device)
    host = None if found is None else torch.tensor(found, dtype=torch.float32)
    if function is not None:
        return Loss(_weighted(_checked(function, "loss"), tensor), host, notes)
    is_plain = config == LossConfig() and weights is None
    return Loss(_function(config, counts, tensor), host, notes, is_plain)


def class_weights(config: LossConfig, counts: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return (C,) weights of the classes, and a note for every class without examples, whose weight is 0.

    inverse: n / (C n_c). effective: (1 - b) / (1 - b^n_c), scaled to sum C (over the classes that are there).

    Args:
        config: rule and its `beta`.
        counts: (C,) examples per class.

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", arXiv 1901.05555, eq. 4.
    """
    if config.class_weights == "none":
        return None, ()
    present = counts > 0
    weights = np.zeros(len(counts))
    if config.class_weights == "inverse":
        weights[present] = counts.sum() / (len(counts) * counts[present])
    else:
        weights[present] = (1.0 - config.beta) / -np.expm1(counts[present] * math.log(config.beta))
        weights *= present.sum() / weights.sum()
    missing = np.flatnonzero(~present).tolist()
    notes = tuple(f"class {c} has no example to take its weight from: its weight is 0" for c in missing)
    return weights, notes


def positive_weight(config: LossConfig, counts: np.ndarray) -> float:
    """Return the factor of the losses of class 1: negatives / positives if `auto`, at most 100."""
    if config.pos_weight == "auto":
        return min(LARGEST_POS_WEIGHT, float(counts[0] / max(1, counts[1])))
    return 1.0 if config.pos_weight is None else float(config.pos_weight)


def focal_alpha(config: LossConfig, counts: np.ndarray) -> float | None:
    """Return the weight of class 1 in the focal loss; that of class 0 is 1 - alpha.

    inverse: n_neg / n, which weighs the rare class up. balanced: n_pos / n, which weighs the rare class *down*.
    """
    if config.alpha == "inverse":
        return float(counts[0] / counts.sum())
    if config.alpha == "balanced":
        return float(counts[1] / counts.sum())
    return None if config.alpha is None else float(config.alpha)


def focal(
    logits: torch.Tensor,
    labels: torch.Tensor,
    gamma: float = 2.0,
    alpha: float | None = None,
    smoothing: float = 0.0,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return (b,) focal losses -sum_c q_c w_c a_c (1 - p_c)^gamma ln p_c, q the smoothed labels.

    With gamma 0 and no alpha this is cross entropy.

    Args:
        logits: (b, C) float32.
        labels: (b,) class numbers.
        gamma: how much the confident count less.
        alpha: weight of class 1 of two; class 0 has 1 - alpha.
        smoothing: share of the label spread over all classes.
        weight: (C,) class weights.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, arXiv 1708.02002.
    """
    num_classes = logits.shape[1]
    log_probs = functional.log_softmax(logits, dim=1)
    targets = functional.one_hot(labels, num_classes).to(log_probs.dtype)
    targets = targets * (1.0 - smoothing) + smoothing / num_classes
    terms = targets * -log_probs * (1.0 - log_probs.exp()).clamp(min=0.0) ** gamma
    if alpha is not None:
        terms = terms * terms.new_tensor([1.0 - alpha, alpha])
    if weight is not None:
        terms = terms * weight
    return terms.sum(dim=1)


def binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, pos_weight: float = 1.0, smoothing: float = 0.0
) -> torch.Tensor:
    """Return (b,) binary cross entropies of the logit difference z_1 - z_0, those of class 1 times `pos_weight`.

    Smoothing spreads its share over both classes.

    Args:
        logits: (b, 2) float32.
        labels: (b,) 0 or 1.
        pos_weight: as of `torch.nn.BCEWithLogitsLoss`.
        smoothing: share of the label spread over both classes.
    """
    margin = logits[:, 1] - logits[:, 0]
    targets = labels.to(margin.dtype) * (1.0 - smoothing) + smoothing / 2
    factor = margin.new_tensor(pos_weight)
    return functional.binary_cross_entropy_with_logits(margin, targets, reduction="none", pos_weight=factor)


def _function(config: LossConfig, counts: np.ndarray, weight: torch.Tensor | None) -> LossFunction:
    smoothing = config.label_smoothing
    if config.name == "focal":
        alpha = focal_alpha(config, counts)
        return lambda logits, labels: focal(logits, labels, config.gamma, alpha, smoothing, weight)
    if config.name == "bce":
        factor = positive_weight(config, counts)
        return _weighted(lambda logits, labels: binary_cross_entropy(logits, labels, factor, smoothing), weight)
    if config.name == "cross_entropy":
        return lambda logits, labels: functional.cross_entropy(
            logits, labels, weight=weight, reduction="none", label_smoothing=smoothing
        )
    return _weighted(_imported(config.name), weight)


def _weighted(function: LossFunction, weight: torch.Tensor | None) -> LossFunction:
    if weight is None:
        return function
    return lambda logits, labels: function(logits, labels) * weight[labels]


def _imported(name: str) -> LossFunction:
    """Return a user's own loss, `module:callable`."""
    function = import_attribute(name, "train.loss.name")
    if not callable(function):
        raise ConfigError(f"train.loss.name: '{name}' must be callable (logits, labels) -> one loss per example")
    return _checked(function, f"train.loss.name: '{name}'")


def _checked(function: LossFunction, what: str) -> LossFunction:
    """Return a user's own loss that is refused where it does not return one value per example."""

    def checked(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = function(logits, labels)
        shape = tuple(getattr(values, "shape", ()))
        if shape != labels.shape:
            mean = "; a loss of torch does with `reduction='none'`" if shape == () else ""
            raise ConfigError(f"{what} must return one loss per example {tuple(labels.shape)}, got {shape}{mean}")
        return values

    return checked
