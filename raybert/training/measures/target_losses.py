"""Losses of sets of labels, and of numbers: one value per example, the mean over its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from raybert.config import LossConfig, import_attribute
from raybert.config.tasks import REGRESSION, Task
from raybert.errors import ConfigError
from raybert.training.measures.losses import LARGEST_POS_WEIGHT, LossFunction


@dataclass(frozen=True)
class TargetLoss:
    """What a training step minimises: sum(example weight * value) / number of examples.

    Attributes:
        function: (b, L) float32 outputs and targets -> (b,) what is minimised.
        task: of the targets.
        notes: what a user should know.
    """

    function: LossFunction
    task: Task
    notes: tuple[str, ...] = ()

    def values(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return (b,) float32 losses."""
        return self.function(outputs.float(), targets)

    def plain(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return (b,) losses that no setting changes: mean binary cross entropies, or squared errors in their unit."""
        if self.task == REGRESSION:
            return ((outputs.float() - targets) ** 2).mean(dim=1)
        return functional.binary_cross_entropy_with_logits(outputs.float(), targets, reduction="none").mean(dim=1)

    def denominator(self, targets: np.ndarray) -> float:
        """Return what the summed losses of a whole batch are divided by."""
        return float(len(targets))


def build_target_loss(
    config: LossConfig,
    task: Task,
    targets: np.ndarray,
    deviation: float,
    device: torch.device,
    *,
    function: LossFunction | None = None,
) -> TargetLoss:
    """Return the loss that a configuration describes.

    Args:
        config: section `train.loss`.
        task: of several labels, or of numbers.
        targets: (n, L) that weights are counted from: of the pool, or of the selection.
        deviation: of numbers: the standard deviation of the pool, in which errors are measured.
        device: of the outputs.
        function: in place of the one that is named.
    """
    if function is not None or ":" in config.name:
        own = function if function is not None else import_attribute(config.name, "train.loss.name")
        if not callable(own):
            raise ConfigError(f"train.loss.name: '{config.name}' must be callable (outputs, targets) -> losses (b,)")
        return TargetLoss(_checked(own, config.name), task)
    if config.name in ("mse", "huber"):
        delta = config.delta if config.name == "huber" else None
        return TargetLoss(lambda outputs, found: errors(outputs, found, deviation, delta), task)
    positives = (targets > 0).sum(axis=0).astype(np.float64)
    smoothing = config.label_smoothing
    if config.name == "focal":
        alpha = _alphas(config, positives, len(targets), device)
        return TargetLoss(lambda outputs, found: focal_of_labels(outputs, found, config.gamma, alpha, smoothing), task)
    weights = _positive_weights(config, positives, len(targets), device)
    return TargetLoss(lambda outputs, found: bce_of_labels(outputs, found, weights, smoothing), task)


def bce_of_labels(
    logits: torch.Tensor, targets: torch.Tensor, pos_weight: torch.Tensor | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """Return (b,) means over labels of their binary cross entropies, those of labels that are there times a weight.

    Args:
        logits: (b, L) float32.
        targets: (b, L) 0 or 1.
        pos_weight: (L,); as of `torch.nn.BCEWithLogitsLoss`.
        smoothing: share of a decision spread over yes and no.
    """
    wanted = targets * (1.0 - smoothing) + smoothing / 2
    terms = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=pos_weight)
    return terms.mean(dim=1)


def focal_of_labels(
    logits: torch.Tensor,
    targets: torch.Tensor,
    gamma: float = 2.0,
    alpha: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return (b,) means over labels of -a (1 - p)^gamma ln p of yes, and the same of no; gamma 0: cross entropy.

    Args:
        logits: (b, L) float32.
        targets: (b, L) 0 or 1.
        gamma: how much decisions that are sure count less.
        alpha: (L,) weight of yes; no has 1 - alpha.
        smoothing: share of a decision spread over yes and no.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, arXiv 1708.02002, of every label.
    """
    wanted = targets * (1.0 - smoothing) + smoothing / 2
    yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    of_yes = -wanted * (1.0 - yes.exp()) ** gamma * yes
    of_no = -(1.0 - wanted) * (1.0 - no.exp()) ** gamma * no
    if alpha is not None:
        of_yes, of_no = of_yes * alpha, of_no * (1.0 - alpha)
    return (of_yes + of_no).mean(dim=1)


def errors(outputs: torch.Tensor, targets: torch.Tensor, deviation: float, delta: float | None = None) -> torch.Tensor:
    """Return (b,) squared errors e^2 of standardised numbers; with a delta Huber's.

    Huber's is e^2 / 2 up to delta, and delta (|e| - delta / 2) beyond.
    """
    found, wanted = outputs / deviation, targets / deviation
    if delta is None:
        return ((found - wanted) ** 2).mean(dim=1)
    return functional.huber_loss(found, wanted, reduction="none", delta=delta).mean(dim=1)


def _positive_weights(
    config: LossConfig, positives: np.ndarray, count: int, device: torch.device
) -> torch.Tensor | None:
    if config.pos_weight is None:
        return None
    if config.pos_weight == "auto":
        found = np.minimum(LARGEST_POS_WEIGHT, (count - positives) / np.maximum(1, positives))
    else:
        found = np.full(len(positives), float(config.pos_weight))
    return torch.tensor(found, dtype=torch.float32, device=device)


def _alphas(config: LossConfig, positives: np.ndarray, count: int, device: torch.device) -> torch.Tensor | None:
    if config.alpha is None:
        return None
    if isinstance(config.alpha, str):
        found = (count - positives) / count if config.alpha == "inverse" else positives / count
    else:
        found = np.full(len(positives), float(config.alpha))
    return torch.tensor(found, dtype=torch.float32, device=device)


def _checked(function: LossFunction, name: str) -> LossFunction:
    def checked(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = function(outputs, targets)
        shape = tuple(getattr(values, "shape", ()))
        if shape != (len(targets),):
            raise ConfigError(
                f"train.loss.name: '{name}' must return one loss per example ({len(targets)},), got {shape}"
            )
        return values

    return checked
