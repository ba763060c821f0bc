"""What a script gives as objects: a loss, class weights, an optimizer, a scheduler; and what identifies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from raybert.config import TrainConfig
from raybert.errors import ConfigError
from raybert.fitting.identity import (
    fit_data_identity,
    identity_of,
    model_identity,
    named_identity,
    optimizer_identity,
    schedule_identity,
)
from raybert.fitting.tables import FitData
from raybert.training.request import OwnParts


def own_parts(
    model: nn.Module,
    config: TrainConfig,
    *,
    loss: Any,
    weights: str | Sequence[float],
    optimizer: Any,
    scheduler: Any,
    data: FitData,
    chosen: Any,
    compared: bool,
) -> OwnParts:
    """Return the objects of a script's own, checked.

    Args:
        model: whose parameters are trained.
        config: the train section.
        loss: see `raybert.fit`, as the next three.
        weights: see there.
        optimizer: see there.
        scheduler: see there.
        data: of the run.
        chosen: identity of what is trained on.
        compared: whether the run has a checkpoint, which belongs to these parts, this model and these data.

    Raises:
        ConfigError: one of them does not fit the others.
    """
    function = None if isinstance(loss, str | Mapping) else loss
    if function is not None and not callable(function):
        raise ConfigError(f"loss: must be a name, a section, or callable (logits, labels) -> (b,), got {loss!r}")
    numbers = None if isinstance(weights, str) else tuple(float(weight) for weight in weights)
    if numbers is not None and (len(numbers) != data.num_classes or min(numbers) < 0):
        raise ConfigError(f"class_weights: must be {data.num_classes} numbers >= 0, one per class, got {numbers}")
    made = _optimizer(model, optimizer)
    plan = None if scheduler is None or isinstance(scheduler, str | Mapping) else scheduler
    if plan is not None and (made is None or getattr(plan, "optimizer", None) is not made):
        raise ConfigError("schedule: must be a name, or a torch scheduler of the `optimizer` that is given too")
    identity: dict[str, Any] = {}
    if compared:
        identity = {"model": model_identity(model), "data": fit_data_identity(data), "chosen": chosen}
        identity |= {"class_weights": numbers, "loss": None if function is None else identity_of(function, "loss")}
        identity |= {"optimizer": optimizer_identity(made), "schedule": schedule_identity(plan)}
        identity |= {"named": named_identity(config)}
    return OwnParts(function, numbers, made, plan, identity)


def _optimizer(model: nn.Module, given: Any) -> torch.optim.Optimizer | None:
    """Return an optimizer of the model's parameters; None: that of the train section.

    Raises:
        ConfigError: it is none, or has other parameters.
    """
    if given is None or isinstance(given, str | Mapping):
        return None
    if not isinstance(given, torch.optim.Optimizer) and callable(given):
        given = given([parameter for parameter in model.parameters() if parameter.requires_grad])
    if not isinstance(given, torch.optim.Optimizer):
        raise ConfigError(
            f"optimizer: must be a torch optimizer, or make one of parameters, got {type(given).__name__}"
        )
    own = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) not in own for group in given.param_groups for parameter in group["params"]):
        raise ConfigError("optimizer: must be over the parameters of `model`, has others")
    return given
