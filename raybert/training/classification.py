"""The objective of a classifier: a loss per example, its class the prediction, metrics of labels and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from raybert.config import METRICS
from raybert.config.tasks import CLASSIFICATION
from raybert.data import TokenizedData
from raybert.data.examples import ExampleData, answers_of, extra_tests_of
from raybert.errors import TrialError
from raybert.models.unpadded import reads_unpadded, with_lengths
from raybert.tables import EVALUATIONS
from raybert.training.inference import Inference
from raybert.training.interface import PassPlan
from raybert.training.measures.early_stopping import check_metrics, stopping_metric
from raybert.training.measures.losses import Loss, build_loss
from raybert.training.measures.metrics import classification_metrics, validation_metrics
from raybert.training.measures.own_metrics import import_metrics, own_values
from raybert.training.objective import Losses, Measured, MeasuredElsewhere
from raybert.training.request import FitRequest
from raybert.training.state import Row


class Classification:
    """What a classifier minimises and is measured by.

    The loss of a step is sum(w_i * l_i) / sum(c_i) over the examples of the whole batch: w_i are example weights, l_i
    losses with the weight c_i of their class, all 1 by default.

    Args:
        model: a classifier of `raybert.models`, on the device to use.
        data: pool, validation and test.
        request: of the run.

    Attributes:
        loss: what is minimised.

    Raises:
        ConfigError: a metric of two classes for more.
    """

    identity: Mapping[str, Any] = {}
    group_size = 1

    def __init__(self, model: nn.Module, data: ExampleData, request: FitRequest) -> None:
        self._data, self._request, self._config = data, request, request.config
        self._device = next(model.parameters()).device
        self._unpadded = reads_unpadded(model)
        self._inference = Inference(model, data, request.config.precision)
        self._own_metrics = import_metrics(request.config.metrics)
        if data.task == CLASSIFICATION:
            check_metrics(request.config, data.num_classes)
        self._notes: dict[str, None] = {}
        self._labels = np.asarray(data.train.labels)
        self._number = 0
        self.loss: Loss = self._weigh_classes(self._labels)

    @property
    def notes(self) -> tuple[str, ...]:
        """Classes without examples to take weights from, each once."""
        return tuple(self._notes)

    def begin_pass(self, plan: PassPlan, number: int) -> None:
        self._number = number
        if self._config.loss.weights_from == "selection":
            self.loss = self._weigh_classes(self._labels[plan.positions])

    def inputs(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs and `labels` of some examples, changed where that was asked for."""
        batch = self._batch(positions if len(positions) else np.zeros(1, np.int64), changed=len(positions) > 0)
        return with_lengths(batch) if self._unpadded else batch

    def _batch(self, positions: np.ndarray, *, changed: bool) -> dict[str, torch.Tensor]:
        augmentation = self._request.augmentation
        if augmentation is None or not changed:
            return self._data.batch(self._data.train, positions)
        if not isinstance(self._data, TokenizedData):
            raise TrialError("data.augment: needs examples of word pieces")
        return augmentation.batch(self._data, positions, self._request.seed, self._number)

    def denominators(self, batch: np.ndarray) -> tuple[float, ...]:
        return (self.loss.denominator(self._labels[batch]),)

    def forward(self, module: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return (b, C) logits."""
        logits: torch.Tensor = module(**{name: each for name, each in inputs.items() if name != "labels"}).logits
        return logits

    def losses(self, outputs: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Losses:
        labels = inputs["labels"]
        values = self.loss.values(outputs, labels)
        hits = outputs.detach().argmax(dim=-1) == labels
        return Losses((values,), _plain_losses(self.loss, outputs, labels, values), hits)

    def evaluate(self) -> dict[str, float]:
        probs = self._inference.probs(self._data.validation)
        wanted = {self._config.best_metric, stopping_metric(self._config)} & METRICS.keys()
        labels = np.asarray(self._data.validation.labels)
        return validation_metrics(labels, probs, [*wanted]) | own_values(self._own_metrics, labels, probs)

    def row(self, values: Mapping[str, Any]) -> Row:
        return EVALUATIONS.row(dict(values))

    def finish(self, *, evaluate_test: bool) -> Measured:
        validation_probs = self._inference.probs(self._data.validation)
        if not evaluate_test:
            return Measured(validation_probs)
        test = self._measured(self._data.test)
        extra = {name: self._measured(table) for name, table in extra_tests_of(self._data).items()}
        return Measured(validation_probs, test.probs, test.metrics, extra)

    def _measured(self, table: Any) -> MeasuredElsewhere:
        answers, probs = answers_of(table), self._inference.probs(table)
        own = own_values(self._own_metrics, answers, probs)
        return MeasuredElsewhere(probs, classification_metrics(answers, probs) | own)

    def stepped(self, batch: np.ndarray) -> None:
        """Count nothing."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from nothing."""

    def _weigh_classes(self, labels: np.ndarray) -> Loss:
        """Return the loss, whose classes may be weighted by how often they are among some labels."""
        own = self._request.own
        loss = build_loss(
            self._config.loss,
            labels,
            self._data.num_classes,
            self._device,
            function=own.loss,
            weights=own.class_weights,
        )
        self._notes.update(dict.fromkeys(loss.notes))
        return loss


def _plain_losses(loss: Loss, logits: torch.Tensor, labels: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return (b,) cross entropies for the history, whatever is minimised; not finite where the loss is not."""
    if loss.is_plain:
        return values.detach()
    with torch.no_grad():
        plain = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return plain + 0.0 * values
