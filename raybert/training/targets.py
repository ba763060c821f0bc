"""The objective of a model of several labels, or of numbers; and which objective data have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from raybert.config import METRICS
from raybert.config.tasks import CLASSIFICATION, REGRESSION
from raybert.data.examples import ExampleData, answers_of
from raybert.models.tasks import fold_scale, scale_outputs
from raybert.tables import EVALUATIONS
from raybert.training.classification import Classification
from raybert.training.measures.early_stopping import stopping_metric
from raybert.training.measures.metrics import validation_metrics
from raybert.training.measures.own_metrics import own_values
from raybert.training.measures.target_losses import TargetLoss, build_target_loss
from raybert.training.objective import Losses, Measured
from raybert.training.request import FitRequest
from raybert.training.state import Row

_OF_CLASSES = ("validation_accuracy", "validation_macro_f1")
"""Columns that every evaluation has, and that are not defined here."""


def objective_of(model: nn.Module, data: ExampleData, request: FitRequest) -> Classification:
    """Return what a model of some data minimises and is measured by."""
    kind = Classification if data.task == CLASSIFICATION else TargetObjective
    return kind(model, data, request)


class TargetObjective(Classification):
    """What a model of several labels, or of numbers, minimises and is measured by.

    Numbers are standardised by mean and deviation of the pool while they are learned; the model says them in their own
    unit all along, and in the end its last layer does (`raybert.models.tasks`).
    """

    loss: TargetLoss  # type: ignore[assignment]

    def __init__(self, model: nn.Module, data: ExampleData, request: FitRequest) -> None:
        self._model, self._deviation = model, 1.0
        self._all = answers_of(data.train)
        if data.task == REGRESSION:
            numbers = self._all.astype(np.float64)
            self._deviation = float(numbers.std()) or 1.0
            scale_outputs(model, float(numbers.mean()), self._deviation)
        super().__init__(model, data, request)
        self._labels = self._all

    @property
    def _is_regression(self) -> bool:
        return self._data.task == REGRESSION

    def losses(self, outputs: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Losses:
        targets = inputs["labels"]
        values = self.loss.values(outputs, targets)
        with torch.no_grad():
            plain = self.loss.plain(outputs, targets) + 0.0 * values
        if self._is_regression:
            return Losses((values,), plain, torch.zeros_like(plain))
        hits = ((outputs.detach() >= 0) == (targets > 0)).float()
        return Losses((values,), plain, hits.mean(dim=1))

    def evaluate(self) -> dict[str, float]:
        wanted = {self._config.best_metric, stopping_metric(self._config)} & METRICS.keys()
        targets, probs = answers_of(self._data.validation), self._inference.probs(self._data.validation)
        return validation_metrics(targets, probs, sorted(wanted)) | own_values(self._own_metrics, targets, probs)

    def row(self, values: Mapping[str, Any]) -> Row:
        row = {**dict.fromkeys(_OF_CLASSES, math.nan), **values}
        if self._is_regression:
            row |= {"train_accuracy": math.nan, "validation_loss": float(values["validation_rmse"]) ** 2}
        return EVALUATIONS.row(row)

    def finish(self, *, evaluate_test: bool) -> Measured:
        fold_scale(self._model)
        return super().finish(evaluate_test=evaluate_test)

    def _weigh_classes(self, labels: np.ndarray) -> TargetLoss:  # type: ignore[override]
        targets = labels if labels.ndim == 2 else self._all  # strata, before the targets take their place
        own = self._request.own
        return build_target_loss(
            self._config.loss, self._data.task, targets, self._deviation, self._device, function=own.loss
        )
