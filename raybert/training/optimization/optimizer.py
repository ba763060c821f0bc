"""The optimizer: groups of parameters by learning rate and decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from raybert.config import TrainConfig
from raybert.models.layers import layer_depths
from raybert.training.optimization.named import make_optimizer


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a configuration over the trainable parameters.

    Groups differ in their peak learning rate (`peak`) and in whether they are decayed (`is_decayed`); biases and norms
    are not.

    Raises:
        ConfigError: it cannot be made.
    """
    peaks = peak_learning_rates(model, config)
    decayed = {id(parameter) for parameter in split_by_decay(model)[0]}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((peaks[id(parameter)], id(parameter) in decayed), []).append(parameter)
    ordered = sorted(groups.items(), key=lambda item: (-item[0][0], not item[0][1]))
    return make_optimizer(
        config,
        [
            {
                "params": parameters,
                "lr": peak,
                "peak": peak,
                "is_decayed": is_decayed,
                "weight_decay": config.weight_decay if is_decayed else 0.0,
            }
            for (peak, is_decayed), parameters in ordered
        ],
    )


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable parameters that weight decay applies to, and the rest.

    Biases and the parameters of normalisation modules (`norm` in the class name, as in all encoders of
    transformers) are left out, and what a model names itself by `no_decay_names()`. Parameters shared by two modules
    are listed once.
    """
    exempt: frozenset[str] = model.no_decay_names() if hasattr(model, "no_decay_names") else frozenset()  # type: ignore[operator]
    named = {id(parameter) for name, parameter in model.named_parameters() if name in exempt}
    decayed: dict[int, nn.Parameter] = {}
    others: dict[int, nn.Parameter] = {}
    for module in model.modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                is_exempt = is_norm or name.endswith("bias") or id(parameter) in named
                chosen = others if is_exempt else decayed
                chosen.setdefault(id(parameter), parameter)
    return list(decayed.values()), [p for key, p in others.items() if key not in decayed]


def peak_learning_rates(model: nn.Module, config: TrainConfig) -> dict[int, float]:
    """Return the peak learning rate of every parameter by its `id`.

    What is outside the encoder has `head_learning_rate` (default `learning_rate`). Inside, the rate is
    learning_rate * layer_decay^(L + 1 - depth), see `layer_depths`: the last of L layers has one factor, the embeddings
    have L + 1, and what follows the layers (a last norm, a pooler) has none.

    Source: Howard & Ruder 2018, "Universal Language Model Fine-tuning", section 3.2 (discriminative fine-tuning).
    """
    backbone: nn.Module | None = getattr(model, "base_model", None)  # IRIS trains none
    depths, num_layers = ({}, 0) if backbone is None else layer_depths(backbone)
    head = config.learning_rate if config.head_learning_rate is None else config.head_learning_rate
    peaks = {}
    for parameter in model.parameters():
        depth = depths.get(id(parameter))
        away = 0 if depth is None else num_layers + 1 - depth
        peaks[id(parameter)] = head if depth is None else config.learning_rate * config.layer_decay**away
    return peaks


def set_step(optimizer: torch.optim.Optimizer, factor: float, weight_decay: float) -> None:
    """Set learning rates to `factor` of their peaks, and the decay of the groups that are decayed.

    Groups of an optimizer that a script has made begin with their peaks, and keep their decay.
    """
    group: dict[str, Any]
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("peak", group["lr"]) * factor
        if "is_decayed" in group:
            group["weight_decay"] = weight_decay if group["is_decayed"] else 0.0
