"""Strategies that rank by the outputs of proxy models."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config.tasks import EVERY_TASK, LABELS, Task
from raybert.selection.losses import mean_cross_entropy, mean_probs
from raybert.selection.passes import PassRequest
from raybert.selection.pool import Pool
from raybert.selection.ranking import Order
from raybert.selection.registry import register
from raybert.selection.strategies.ranked import RankedStrategy, hard_without_noise, middle_then_hard
from raybert.selection.strategy import NullInputs, Schedule
from raybert.training.interface import PassPlan

Measure = Literal["entropy", "least_confidence", "margin"]


@register
class Confidence(RankedStrategy):
    """Examples by how unsure a proxy is: entropy, least confidence or margin.

    Rule: score = -sum p ln p (entropy), 1 - max p (least_confidence), or second largest p - largest p (margin).

    Of several labels: the entropies of all decisions summed, 1 - the mean over labels of max(p, 1 - p), or - the
    smallest |p - 1/2|.
    """

    name: ClassVar[str] = "confidence"
    tasks: ClassVar[frozenset[Task]] = LABELS
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds", "epoch")
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Settles 2009, "Active Learning Literature Survey", section 3.1'

    measure: Measure = Field("entropy", description="of uncertainty: entropy, least_confidence or margin")

    def scores(self, pool: Pool) -> np.ndarray:
        probs = mean_probs(pool.signals["probs"])
        return uncertainty(probs, self.measure) if pool.targets is None else label_uncertainty(probs, self.measure)

    def order(self, budget_fraction: float) -> Order:
        return Order("middle")


@register
class El2n(RankedStrategy):
    """Examples by the distance of a proxy's probabilities from the label (EL2N).

    Rule: score = norm2(p - onehot(y)), averaged over proxies.

    Of several labels y has a 1 for each; of numbers the score is the absolute error.

    With the schedule `epoch` the model in training scores the pool before passes (dynamic pruning; Attendu & Corbeil
    2023, arXiv 2306.03208): `warm_up` passes take all of it, then it is scored every `refresh` passes. With a
    warm-up no proxy is trained. The steps of a run stay those of its budget: a pass over the pool takes many of them.
    """

    name: ClassVar[str] = "el2n"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds", "epoch")
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'Paul et al. 2021, "Deep Learning on a Data Diet", eq. 4; on language models: arXiv 2211.05610'
    )
    added: ClassVar[frozenset[str]] = frozenset({"warm_up", "refresh"})

    warm_up: int = Field(
        0, ge=0, description="with the schedule `epoch`: passes over all of the pool before it chooses"
    )
    refresh: int = Field(1, ge=1, description="with the schedule `epoch`: passes from one scoring to the next")

    def full_passes(self) -> int:
        return self.warm_up

    def plan_pass(self, request: PassRequest) -> PassPlan:
        since = request.number - self.warm_up
        if since < 0:
            return PassPlan(np.arange(len(request.pool)))
        if since % self.refresh and request.previous is not None:
            return PassPlan(request.previous.positions, request.previous.weights)
        return super().plan_pass(request)

    def scores(self, pool: Pool) -> np.ndarray:
        return el2n(pool.signals["probs"], pool.answers)

    def order(self, budget_fraction: float) -> Order:
        return middle_then_hard(budget_fraction)


@register
class Grand(RankedStrategy):
    """Examples by the norm of their last-layer loss gradient under a proxy (GraNd).

    Rule: score = norm2(p - onehot(y)) sqrt(1 + norm2(h)^2), h the last layer's input, averaged over proxies.

    Of several labels, and of numbers, this is the norm up to a constant: the number of labels, or 2.
    """

    name: ClassVar[str] = "grand"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "feature_norms"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Paul et al. 2021, "Deep Learning on a Data Diet", eq. 2, last layer in closed form'

    def scores(self, pool: Pool) -> np.ndarray:
        return grand(pool.signals["probs"], pool.signals["feature_norms"], pool.answers)

    def order(self, budget_fraction: float) -> Order:
        return middle_then_hard(budget_fraction)


@register
class RhoLoss(RankedStrategy):
    """Examples by reducible loss: what a model has not learned, less what a model that never saw it cannot learn.

    Rule: score = -ln p_y - irreducible loss.
    """

    name: ClassVar[str] = "rho_loss"
    needs: ClassVar[frozenset[str]] = frozenset({"probs", "irreducible_loss"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds", "epoch")
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = (
        'Mindermann et al. 2022, "Prioritized Training on Points that are Learnable", arXiv 2206.07137'
    )

    def scores(self, pool: Pool) -> np.ndarray:
        losses = mean_cross_entropy(pool.signals["probs"], pool.labels)
        return losses - np.asarray(pool.signals["irreducible_loss"], np.float64)


@register
class Ifd(RankedStrategy):
    """Examples by instruction-following difficulty: the loss with the text over the loss without it, at most 1.

    Rule: score = loss with the text / loss without it; scores above 1 come last.

    Above 1 the text misleads the proxy, mostly because the label is wrong. For that reason the hardest of the others
    are dropped, too; `drop_hardest: 0` is the published rule. With `null_input: prior` the loss without the text is
    that of the class frequencies, so inside a class this is the ranking by loss.
    """

    name: ClassVar[str] = "ifd"
    rule_version: ClassVar[int] = 2
    weakness: ClassVar[str] = (
        "its hard end gathers wrong labels, the more the longer the proxy trains: the default drops the hardest"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"probs"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Li et al. 2023, "From Quantity to Quality", arXiv 2308.12032, eq. 3, for classes'

    null_input: Literal["prior", "empty", "mask"] = Field(
        "prior",
        description="what stands for no text: class frequencies, an empty text, or masked word pieces (then the "
        "proxy sees the null in training, as one input in ten)",
    )

    def required_signals(self) -> frozenset[str]:
        return self.needs if self.null_input == "prior" else self.needs | {"null_probs"}

    def null_inputs(self) -> NullInputs | None:
        return super().null_inputs() if self.null_input == "prior" else self.null_input

    def scores(self, pool: Pool) -> np.ndarray:
        losses = mean_cross_entropy(pool.signals["probs"], pool.labels)
        if self.null_input == "prior":
            frequencies = np.bincount(pool.labels, minlength=pool.num_classes) / len(pool)
            nulls = -np.log(frequencies[pool.labels].clip(max=1 - 1e-9))
        else:
            nulls = mean_cross_entropy(pool.signals["null_probs"], pool.labels).clip(min=1e-9)
        return np.asarray(losses / nulls)

    def order(self, budget_fraction: float) -> Order:
        return replace(hard_without_noise(budget_fraction), highest=1.0)


def uncertainty(probs: np.ndarray, measure: Measure) -> np.ndarray:
    """Return (n,) float64 uncertainty, higher = less sure.

    entropy: -sum p ln p; least_confidence: 1 - max p; margin: -(largest - second largest p).

    Args:
        probs: (n, C) float, rows sum to 1.
        measure: which.
    """
    probs = probs.astype(np.float64)
    if measure == "entropy":
        logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
        return np.asarray(-(probs * logs).sum(axis=1))
    if measure == "least_confidence":
        return np.asarray(1.0 - probs.max(axis=1))
    top = np.partition(probs, -2, axis=1)[:, -2:]
    return np.asarray(top[:, 0] - top[:, 1])


def label_uncertainty(probs: np.ndarray, measure: Measure) -> np.ndarray:
    """Return (n,) float64 uncertainty about several labels, higher = less sure.

    entropy: the sum over labels of -p ln p - (1 - p) ln (1 - p); least_confidence: 1 - the mean over labels of
    max(p, 1 - p); margin: -(the smallest |p - 1/2|).

    Args:
        probs: (n, L) float, of every label alone.
        measure: which.
    """
    probs = probs.astype(np.float64)
    if measure == "entropy":
        both = np.stack([probs, 1.0 - probs], axis=-1).reshape(-1, 2)
        return np.asarray(uncertainty(both, "entropy").reshape(probs.shape).sum(axis=1))
    if measure == "least_confidence":
        return np.asarray(1.0 - np.maximum(probs, 1.0 - probs).mean(axis=1))
    return np.asarray(-np.abs(probs - 0.5).min(axis=1))


def _errors(stacked: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return (n, m, C) float64 p - y of class numbers (n,), or of targets (n, L)."""
    errors = stacked.astype(np.float64)
    if answers.ndim == 2:
        return np.asarray(errors - answers[:, None, :])
    errors[np.arange(len(answers)), :, answers] -= 1.0
    return errors


def el2n(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 norm2(p - onehot(y)), averaged over proxies.

    Args:
        probs: (n, C) of one model or (n, m, C) of m proxies.
        labels: (n,) class numbers, or targets (n, C) of several labels or of a number.
    """
    stacked = probs[:, None] if probs.ndim == 2 else probs  # (n, m, C)
    return np.asarray(np.linalg.norm(_errors(stacked, labels), axis=2).mean(axis=1))


def grand(probs: np.ndarray, feature_norms: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float64 norm2(p - onehot(y)) * sqrt(1 + norm2(h)^2), averaged over proxies.

    This is the exact norm of the cross entropy's gradient in weights and bias of the last layer.

    Args:
        probs: (n, C) of one model or (n, m, C) of m proxies.
        feature_norms: (n,) or (n, m), norms of the last layer's inputs h.
        labels: (n,) class numbers, or targets (n, C).
    """
    stacked = probs[:, None] if probs.ndim == 2 else probs  # (n, m, C)
    norms = feature_norms[:, None] if feature_norms.ndim == 1 else feature_norms
    errors = _errors(stacked, labels)
    return np.asarray((np.linalg.norm(errors, axis=2) * np.sqrt(1.0 + norms.astype(np.float64) ** 2)).mean(axis=1))
