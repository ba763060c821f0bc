"""What a model's outputs mean for its task: probabilities of classes or of labels, or numbers in their own unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, TASK_OF, Task

_SCALE = "raybert_scale"


def task_of(model: Any) -> Task:
    """Return the task that a model's configuration says; who says none has classes."""
    return TASK_OF.get(str(getattr(getattr(model, "config", None), "problem_type", None)), CLASSIFICATION)


def activate(model: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return what a model predicts: softmax over classes, a sigmoid of every label, or the number itself.

    Args:
        model: whose configuration says the task.
        logits: (b, C) float32.
    """
    task = task_of(model)
    if task == MULTI_LABEL:
        return logits.sigmoid()
    return logits if task == REGRESSION else logits.softmax(dim=-1)


def last_linear(model: nn.Module) -> nn.Linear:
    """Return the layer that makes the logits."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def scale_outputs(model: Any, mean: float, deviation: float) -> None:
    """Let a model that learns standardised numbers say them in their own unit: logits become logits * deviation + mean.

    Its weights learn as if the numbers were standardised; `fold_scale` puts the two constants into them at the end.

    Args:
        model: of one output.
        mean: of the numbers of the pool.
        deviation: their standard deviation, > 0.
    """
    forget_scale(model)

    def rescaled(_: nn.Module, __: Any, output: Any) -> Any:
        output.logits = output.logits * deviation + mean
        return output

    setattr(model, _SCALE, (mean, deviation, model.register_forward_hook(rescaled)))


def fold_scale(model: Any) -> None:
    """Put the scale of a model into its last layer, so that whoever loads it gets numbers in their own unit."""
    if getattr(model, _SCALE, None) is None:
        return
    _scale_last_layer(model)
    forget_scale(model)


@contextmanager
def scale_folded(model: Any) -> Iterator[None]:
    """Let the last layer of a model hold its scale while it is written, inside of a `with` block: training goes on."""
    if getattr(model, _SCALE, None) is None:
        yield
        return
    last = last_linear(model)
    before = last.weight.detach().clone(), last.bias.detach().clone()
    try:
        _scale_last_layer(model)
        yield
    finally:
        with torch.no_grad():
            last.weight.copy_(before[0])
            last.bias.copy_(before[1])


def _scale_last_layer(model: Any) -> None:
    """Let the last layer say numbers in their own unit."""
    mean, deviation, _ = getattr(model, _SCALE)
    last = last_linear(model)
    with torch.no_grad():
        last.weight.mul_(deviation)
        last.bias.mul_(deviation).add_(mean)


def unfold_scale(model: Any) -> None:
    """Take the scale out of the last layer of a model that was loaded from a folder, and goes on learning with it."""
    if getattr(model, _SCALE, None) is None:
        return
    mean, deviation, _ = getattr(model, _SCALE)
    last = last_linear(model)
    with torch.no_grad():
        last.weight.div_(deviation)
        last.bias.sub_(mean).div_(deviation)


def forget_scale(model: Any) -> None:
    """Take the scale from a model, whose weights stay."""
    if getattr(model, _SCALE, None) is not None:
        getattr(model, _SCALE)[2].remove()
        setattr(model, _SCALE, None)
