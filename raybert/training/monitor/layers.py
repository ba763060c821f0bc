"""Which layer of a model a parameter or a module belongs to, under names that all encoders share."""

from __future__ import annotations

from typing import Any

from torch import nn

from raybert.errors import ModelError
from raybert.models.layers import encoder_layers, layer_depths

MODEL = "model"
"""Layer of what is measured over the whole model."""


def trained_layers(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the trained parameters of each layer, in the order of the forward pass.

    Of a transformers encoder: `embeddings`, `layer.0`, `layer.1`, ..., and `head`, which is all that follows the layers
    (a last norm and a pooler too). Of another model: the names of its parts. Layers without any are left out.
    """
    names, order = _layer_names(model)
    layers: dict[str, list[nn.Parameter]] = {name: [] for name in order}
    for parameter in model.parameters():
        if parameter.requires_grad:
            layers[names[id(parameter)]].append(parameter)
    return {name: parameters for name, parameters in layers.items() if parameters}


def hooked_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the encoder's layers `layer.0`, `layer.1`, ...

    Raises:
        ModelError: the model has no list of layers.
    """
    backbone = encoder_of(model, "monitor.activations")
    layers = encoder_layers(backbone)[1]
    if len(layers) == 0:
        raise ModelError(
            f"monitor.activations: needs an encoder with a list of layers, {type(backbone).__name__} has none; "
            "set it to null"
        )
    return {f"layer.{i}": layer for i, layer in enumerate(layers)}


def down_projection(layer: nn.Module) -> nn.Linear:
    """Return the map that reads the feed-forward block's activations: the last linear one of an encoder layer.

    Raises:
        ModelError: the layer has none.
    """
    linear = [module for module in layer.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ModelError(
            f"monitor.activations: needs layers that end in a linear map, {type(layer).__name__} has none; "
            "set it to null"
        )
    return linear[-1]


def encoder_of(model: nn.Module, key: str) -> Any:
    """Return the transformers encoder inside a classifier.

    Raises:
        ModelError: there is none.
    """
    backbone = getattr(model, "base_model", None)
    if backbone is None:
        raise ModelError(f"{key}: needs a transformers encoder, {type(model).__name__} is none; set it to null")
    return backbone


def _layer_names(model: nn.Module) -> tuple[dict[int, str], list[str]]:
    """Return the layer of every parameter by its `id`, and all layers in order."""
    backbone = getattr(model, "base_model", None)
    if backbone is None:
        parts = {id(parameter): path.split(".")[0] for path, parameter in model.named_parameters()}
        return parts, list(dict.fromkeys(parts.values()))
    depths, num_layers = layer_depths(backbone)
    order = ["embeddings", *(f"layer.{i}" for i in range(num_layers)), "head"]
    return {id(p): order[depths.get(id(p), num_layers + 1)] for p in model.parameters()}, order
