"""What a script gives as objects: a loss, class weights, an optimizer, a scheduler; and what identifies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from raybert.config import TrainConfig
from raybert.config.code_digest import code_digest
from raybert.errors import ConfigError
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
    shapes = [[name, list(parameter.shape)] for name, parameter in model.named_parameters()]
    identity = {
        "model": [type(model).__qualname__, shapes],
        "loss": None if function is None else _identity(function),
        "class_weights": numbers,
        "optimizer": None if made is None else [type(made).__qualname__, _plain(made.defaults)],
        "schedule": None if plan is None else type(plan).__qualname__,
        "chosen": chosen,
    }
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


def _identity(function: Any) -> list[Any]:
    kind = function if hasattr(function, "__qualname__") else type(function)
    is_torch_s = kind.__module__.partition(".")[0] == "torch"  # whose version says what its code is
    return [kind.__module__, kind.__qualname__, torch.__version__ if is_torch_s else code_digest(function)]


def _plain(defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in defaults.items() if isinstance(value, int | float | str | tuple | None)}
