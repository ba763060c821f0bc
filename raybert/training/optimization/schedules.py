"""Learning rates as functions of the position of a run between 0 and T, so that a restart changes nothing.

The position is the optimizer steps done, or what stands for them where a run is as long as its passes (`RunLength`).
"""

from __future__ import annotations

import math

from raybert.config import TrainConfig

_COLD_START = 25.0
_COLD_END = 1e4
_DEFAULT_RISE = 0.3
_DEFAULT_TIMESCALE = 10_000


def learning_rate_factor(config: TrainConfig, step: float, total_steps: int) -> float:
    """Return the factor of the peak learning rate for the optimizer step after `step` steps are done.

    Args:
        config: schedule and warm-up.
        step: position, 0..T: optimizer steps done.
        total_steps: T.
    """
    warmup_steps = config.warmup(total_steps)
    if config.schedule == "one_cycle":
        return _one_cycle(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return step / warmup_steps
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "inverse_sqrt":
        timescale = warmup_steps or _DEFAULT_TIMESCALE
        return math.sqrt(timescale / (step + timescale - warmup_steps))
    left = (total_steps - step) / max(1, total_steps - warmup_steps)
    if config.schedule == "cosine":
        return 0.5 * (1.0 - math.cos(math.pi * max(0.0, left)))
    return max(0.0, left)


def weight_decay_at(config: TrainConfig, step: float, total_steps: int) -> float:
    """Return the weight decay of a step, which moves in a straight line to `final_weight_decay` at T."""
    if config.final_weight_decay is None:
        return config.weight_decay
    return config.weight_decay + (config.final_weight_decay - config.weight_decay) * step / total_steps


def _one_cycle(step: float, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of `torch.optim.lr_scheduler.OneCycleLR` with its defaults: cosines up, then down."""
    peak = (warmup_steps or _DEFAULT_RISE * total_steps) - 1
    if step <= peak:
        return _anneal(1 / _COLD_START, 1.0, step / peak if peak > 0 else 1.0)
    return _anneal(1.0, 1 / (_COLD_START * _COLD_END), (step - peak) / max(1e-9, total_steps - 1 - peak))


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1.0 + math.cos(math.pi * min(1.0, progress)))
