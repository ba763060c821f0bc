"""The optimizer and its learning rate, which is a function of the share of the training that is done."""

from __future__ import annotations

import math

import torch
from torch import nn

from raybert.config import TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return fused AdamW over the trainable parameters; biases and norms are not decayed."""
    decayed, others = split_by_decay(model)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=True,
    )


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable parameters that weight decay applies to, and the rest.

    Biases and the parameters of normalisation modules (`norm` in the class name, as in all encoders of
    transformers) are left out. Parameters shared by two modules are listed once.
    """
    decayed: dict[int, nn.Parameter] = {}
    others: dict[int, nn.Parameter] = {}
    for module in model.modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                chosen = others if is_norm or name.endswith("bias") else decayed
                chosen.setdefault(id(parameter), parameter)
    return list(decayed.values()), [p for key, p in others.items() if key not in decayed]


def linear_schedule(step: int, total_steps: int, warmup_fraction: float) -> float:
    """Return the factor of the peak learning rate for the optimizer step after `step` steps are done.

    It climbs from 0 over the first ceil(warmup_fraction * T) steps and falls to 0 at T, as
    `transformers.get_linear_schedule_with_warmup` does.
    """
    warmup_steps = math.ceil(warmup_fraction * total_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
