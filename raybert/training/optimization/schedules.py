"""Learning rates as functions of the position of a run between 0 and T, so that a restart changes nothing.

The position is the optimizer steps done, or what stands for them where a run is as long as its passes (`RunLength`).
"""

from __future__ import annotations

import math
from typing import SupportsFloat

from raybert.config import ScheduleConfig, TrainConfig, import_attribute
from raybert.errors import ConfigError

_COLD_START = 25.0
_COLD_END = 1e4
_DEFAULT_RISE = 0.3
_DEFAULT_TIMESCALE = 10_000


def learning_rate_factor(config: TrainConfig, step: float, total_steps: int) -> float:
    """Return the factor of the peak learning rate for the optimizer step after `step` steps are done.

    Reductions on a plateau come on top of it, see `raybert.training.optimization.plateau`.

    Args:
        config: schedule and warm-up.
        step: position, 0..T: optimizer steps done.
        total_steps: T.

    Raises:
        ConfigError: a schedule of a user's own returns no factor.
    """
    schedule, warmup_steps = config.schedule, config.warmup(total_steps)
    if schedule.name == "one_cycle":
        return _one_cycle(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return step / warmup_steps
    if schedule.name in ("constant", "plateau"):
        return 1.0
    if schedule.name == "inverse_sqrt":
        timescale = warmup_steps or _DEFAULT_TIMESCALE
        return math.sqrt(timescale / (step + timescale - warmup_steps))
    left = (total_steps - step) / max(1, total_steps - warmup_steps)
    if schedule.is_own:
        return _own_factor(schedule.name, min(1.0, 1.0 - left), total_steps)
    if schedule.name == "wsd":
        left = min(1.0, (total_steps - step) / (schedule.decay_fraction * total_steps))
    return _falling(schedule, max(0.0, left))


def _falling(schedule: ScheduleConfig, left: float) -> float:
    """Return the factor of a schedule that falls from 1 to `min_factor`, with a share 1..0 of it left."""
    if schedule.name == "cosine":
        factor = 0.5 * (1.0 - math.cos(math.pi * left))
    elif schedule.name == "cosine_restarts":
        factor = 0.5 * (1.0 + math.cos(math.pi * (((1.0 - left) * schedule.cycles) % 1.0))) if left > 0 else 0.0
    elif schedule.name == "polynomial":
        factor = left**schedule.power
    else:
        factor = left
    low = schedule.min_factor
    return low + (1.0 - low) * factor if low else factor


def check_schedule(config: TrainConfig) -> None:
    """Refuse a schedule of a user's own that gives no factors at its beginning, its middle or its end.

    Raises:
        ConfigError: says what it gave.
    """
    if config.schedule.is_own:
        for share in (0.0, 0.5, 1.0):
            _own_factor(config.schedule.name, share, 100)


def _own_factor(name: str, share: float, total_steps: int) -> float:
    """Return what a user's own function says of a share of the steps after warm-up."""
    path = "train.schedule.name"
    function = import_attribute(name, path)
    if not callable(function):
        raise ConfigError(f"{path}: '{name}' must be callable: (share of the steps that is done, T) -> factor")
    try:
        factor = function(share, total_steps)
    except Exception as error:  # of a user's own
        raise ConfigError(
            f"{path}: '{name}' must return a factor for a share of {share:g}: {type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}"
        ) from error
    if not isinstance(factor, SupportsFloat) or not 0 <= float(factor) < math.inf:
        raise ConfigError(f"{path}: '{name}' must return a number >= 0 for a share of {share:g}, got {factor!r}")
    return float(factor)


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
