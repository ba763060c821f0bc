"""A user's own `nn.Module`, used as the training loop uses classifiers of transformers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from raybert.errors import ModelError
from raybert.files import write_json
from raybert.models.iris import IrisClassifier
from raybert.models.pooled import PooledClassifier

POSITIONAL = "input_"
"""Inputs that have no name (`(x, label)`) are called by it and their number, and given in their order."""

WEIGHTS = "model.safetensors"
MODEL_TYPE = "raybert-own"


class OwnClassifier(nn.Module):
    """A module whose forward pass returns logits; `forward` of this one takes the inputs of a batch by name.

    What the module has of the following is used: `base_model` (its encoder: layers for `layer_decay`, rates of the
    head), `embed(inputs)` -> (b, d), `penalty()` -> a scalar that is added to the loss of every batch,
    `no_decay_names()` -> parameters without weight decay.

    Args:
        module: the user's own.
        origin: how it is made anew, as JSON that its folder keeps; None: by nobody but its owner.
    """

    def __init__(self, module: nn.Module, origin: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.module, self.origin = module, origin
        if callable(getattr(module, "penalty", None)):
            self.penalty = module.penalty

    @property
    def base_model(self) -> Any:
        """The encoder inside, where the module says which it is."""
        return self.module.base_model

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the module can compute activations anew."""
        return bool(getattr(self.module, "supports_gradient_checkpointing", False))

    def activation_checkpointing_enable(self, options: dict[str, Any]) -> None:
        """Let the module compute activations anew."""
        enable: Any = getattr(self.module, "activation_checkpointing_enable", None)
        (enable or self.module.gradient_checkpointing_enable)(options)  # type: ignore[operator]

    def no_decay_names(self) -> frozenset[str]:
        """Return the names of the parameters that are not decayed beside biases and norms."""
        names: Any = getattr(self.module, "no_decay_names", frozenset)
        return frozenset(f"module.{name}" for name in names())

    def embed(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return (b, d) what the module embeds a batch as.

        Raises:
            ModelError: it cannot, or returns something else.
        """
        if not self.can_embed:
            raise ModelError(f"{type(self.module).__name__}: must have a method `embed(...)` -> (b, d) for embeddings")
        embed: Any = self.module.embed
        found = call_with(embed, inputs, f"{type(self.module).__name__}.embed")
        rows = len(next(iter(inputs.values())))
        if not isinstance(found, torch.Tensor) or found.dim() != 2 or len(found) != rows:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ModelError(
                f"{type(self.module).__name__}.embed: must return ({rows}, d) of {rows} texts, got {shape}"
            )
        return found

    @property
    def can_embed(self) -> bool:
        """Whether the module has an `embed` of its own."""
        return callable(getattr(self.module, "embed", None))

    def last_linear(self, num_classes: int) -> nn.Linear | None:
        """Return the last linear layer that makes logits, whose inputs are features; None: there is none."""
        linear = [part for part in self.module.modules() if isinstance(part, nn.Linear)]
        return next((part for part in reversed(linear) if part.out_features in (num_classes, 1)), None)

    def save_pretrained(self, folder: Path) -> None:
        """Write the module's weights, tied ones once a name, or what its own `save(folder)` writes; and its origin."""
        if self.origin is not None:
            write_json(folder / "config.json", {"model_type": MODEL_TYPE, **self.origin})
        if self.origin is not None and callable(getattr(self.module, "save", None)):
            self.module.save(folder)  # type: ignore[operator]
            return
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in self.module.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)

    def forward(self, **inputs: torch.Tensor) -> SequenceClassifierOutput:
        """Return an output whose `logits` are (b, C).

        Raises:
            ModelError: the module cannot take the inputs, or returns no logits.
        """
        rows = len(next(iter(inputs.values())))
        return SequenceClassifierOutput(logits=logits_of(self._computed(inputs), rows))

    def _computed(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        return call_with(self.module, inputs, f"{type(self.module).__name__}.forward")


def as_classifier(model: nn.Module) -> Any:
    """Return a model that the training loop can use: classifiers of transformers and raybert as they are."""
    is_known = isinstance(model, PreTrainedModel | PooledClassifier | IrisClassifier | OwnClassifier)
    return model if is_known else OwnClassifier(model)


def call_with(function: Any, inputs: Mapping[str, torch.Tensor], what: str) -> Any:
    """Return what a module, or a method of one, computes of the inputs of a batch.

    Inputs without names are given in their order. Of named ones it gets those that its parameters name (all of them if
    it has `**kwargs`); if it names none, its first parameter gets the whole mapping.

    Args:
        function: a module, whose `forward` names parameters, or a method.
        inputs: tensors by name.
        what: it is called, for the error.

    Raises:
        ModelError: a parameter without a default is not among the inputs.
    """
    if all(name.startswith(POSITIONAL) for name in inputs):
        return function(*inputs.values())
    parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if not takes_all and not any(one.name in inputs for one in named):
        return function(dict(inputs))
    missing = [one.name for one in named if one.default is one.empty and one.name not in inputs]
    if missing:
        raise ModelError(
            f"{what}: must find its parameters among the inputs {', '.join(inputs)}, but needs '{missing[0]}'; name "
            "some of them, or take them all as one mapping"
        )
    known = {one.name for one in named}
    return function(**{name: tensor for name, tensor in inputs.items() if takes_all or name in known})


def logits_of(output: Any, rows: int) -> torch.Tensor:
    """Return (b, C) logits from what a model returns.

    That may be the tensor, an output or a mapping with `logits`, or a tuple that begins with it. A single logit z per
    example, (b,) or (b, 1), is that of class 1 of two: it becomes (0, z), of which cross entropy is the binary one.

    Args:
        output: of a forward pass.
        rows: b.

    Raises:
        ModelError: there are none.
    """
    if isinstance(output, Mapping):
        output = output.get("logits", output)
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    logits = getattr(output, "logits", output)
    if not isinstance(logits, torch.Tensor) or logits.dim() not in (1, 2) or len(logits) != rows:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"model: must return logits ({rows}, number of classes) of {rows} examples, got {shape}")
    if logits.dim() == 1:
        logits = logits.unsqueeze(1)
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
