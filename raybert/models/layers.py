"""Where the layers of an encoder are: for learning rates by depth, and for freezing."""

from __future__ import annotations

from typing import Any

from torch import nn

from raybert.errors import ModelError


def layer_depths(backbone: nn.Module) -> tuple[dict[int, int], int]:
    """Return the depth of every parameter of an encoder by its `id`, and the number of layers L.

    Embeddings are 0 (`embed` in the name), the layers 1..L in the longest list of modules, the rest L + 1.
    """
    name, layers = encoder_layers(backbone)
    depths: dict[int, int] = {}
    for path, parameter in backbone.named_parameters():
        if name and path.startswith(f"{name}."):
            depths[id(parameter)] = int(path[len(name) + 1 :].split(".")[0]) + 1
        else:
            depths[id(parameter)] = 0 if "embed" in path else len(layers) + 1
    return depths, len(layers)


def encoder_layers(backbone: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return path and modules of an encoder's layers, the longest list of modules; without any, an empty list."""
    lists = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda item: len(item[1]), default=("", nn.ModuleList()))


def freeze(model: Any, *, embeddings: bool, num_layers: int) -> None:
    """Keep embeddings and the first layers of a classifier's encoder as they are.

    Args:
        model: with the encoder as `base_model`.
        embeddings: whether their parameters stay.
        num_layers: how many layers stay, counted from the embeddings.

    Raises:
        ModelError: the encoder has fewer layers.
    """
    backbone = model.base_model
    depths, total = layer_depths(backbone)
    if num_layers > total:
        raise ModelError(f"model.freeze_layers: must be in 0..{total} (layers of the encoder), got {num_layers}")
    for parameter in backbone.parameters():
        depth = depths[id(parameter)]
        if 1 <= depth <= num_layers or (depth == 0 and embeddings):
            parameter.requires_grad_(False)
