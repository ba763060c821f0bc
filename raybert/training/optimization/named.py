"""Optimizers by name: raybert's four, those of torch, and a user's own; and whether one can do what is asked of it."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from raybert.config import OptimizerConfig, TrainConfig, import_attribute, suggest
from raybert.errors import ConfigError
from raybert.training.optimization.lion import Lion

Group = dict[str, Any]
"""A group of parameters: `params`, their peak `lr`, `weight_decay`; `peak` and `is_decayed`, which the loop reads."""
OptimizerMaker = Callable[..., torch.optim.Optimizer]

_PATH = "train.optimizer.name"
_TORCH = "torch.optim."
_CLASSES: dict[str, OptimizerMaker] = {
    "adamw": torch.optim.AdamW,
    "adafactor": torch.optim.Adafactor,
    "sgd": torch.optim.SGD,
    "lion": Lion,
}
_STATES = {"adamw": 2.0, "adafactor": 0.0, "lion": 1.0}
"""Numbers that an optimizer keeps per parameter, but for sgd."""
_MOST_STATES = 2.0


def make_optimizer(config: TrainConfig, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """Return the optimizer of a configuration over groups of parameters.

    Raises:
        ConfigError: it cannot be found or made, or does not keep to its groups.
    """
    optimizer, options = config.optimizer, _options(config)
    if not optimizer.is_own:
        return _made(optimizer, partial(_class_of(optimizer), lr=config.learning_rate), groups, options)
    made = _made(optimizer, _own_maker(optimizer), groups, options)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(f"{_PATH}: '{optimizer.name}' must return a torch.optim.Optimizer, got {type(made).__name__}")
    if [_identity(group) for group in made.param_groups] != [_identity(group) for group in groups]:
        raise ConfigError(
            f"{_PATH}: '{optimizer.name}' must return an optimizer of the groups that it is given, with all that they "
            "hold: their rates and decay are set before every step"
        )
    return made


def check_optimizer(config: TrainConfig) -> None:
    """Refuse an optimizer that cannot train a model or be continued: two steps of a matrix and a vector are tried.

    Raises:
        ConfigError: says why not.
    """
    optimizer = config.optimizer
    if optimizer == OptimizerConfig():
        return
    _check_decay(config)
    with torch.random.fork_rng(devices=[]):
        first = _trial_optimizer(config)
        try:
            _try_step(first)
            kept = io.BytesIO()
            torch.save(first.state_dict(), kept)
            kept.seek(0)
            again = _trial_optimizer(config)
            again.load_state_dict(torch.load(kept, weights_only=True))
            _try_step(again)
        except Exception as error:  # of whatever the optimizer does
            raise ConfigError(
                f"{_PATH}: '{optimizer.name}' must be able to do a step and to go on from its `state_dict`, of tensors "
                f"and plain values: {type(error).__name__}: {_first_line(error)}"
            ) from error


def states_per_parameter(config: TrainConfig) -> float:
    """Return how many numbers the optimizer keeps per parameter, as far as that is known; else 2."""
    optimizer = config.optimizer
    if optimizer.name == "sgd":
        return 1.0 if optimizer.momentum else 0.0
    return _STATES.get(optimizer.name, _MOST_STATES)


def _options(config: TrainConfig) -> dict[str, Any]:
    """Return the arguments of an optimizer, apart from its groups and their rates."""
    optimizer = config.optimizer
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in optimizer.options.items()}
    if optimizer.name == "adamw":
        return {"betas": config.betas, "eps": config.epsilon, "fused": True, **given}
    if optimizer.name == "sgd":
        return {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov, **given}
    return given


def _class_of(optimizer: OptimizerConfig) -> OptimizerMaker:
    if optimizer.name in _CLASSES:
        return _CLASSES[optimizer.name]
    name = optimizer.name.removeprefix(_TORCH)
    known: dict[str, OptimizerMaker] = {key: kind for key, kind in vars(torch.optim).items() if _is_optimizer(kind)}
    if name not in known:
        raise ConfigError(f"{_PATH}: torch {torch.__version__} has no '{optimizer.name}'{suggest(name, known)}")
    return known[name]


def _is_optimizer(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer


def _own_maker(optimizer: OptimizerConfig) -> OptimizerMaker:
    maker = import_attribute(optimizer.name, _PATH)
    if not callable(maker):
        raise ConfigError(f"{_PATH}: '{optimizer.name}' must be callable: groups of parameters -> an optimizer")
    return maker  # type: ignore[no-any-return]


def _made(
    optimizer: OptimizerConfig, maker: OptimizerMaker, groups: Iterable[Group], options: dict[str, Any]
) -> torch.optim.Optimizer:
    try:
        return maker([dict(group) for group in groups], **options)
    except Exception as error:  # of a user's own, or of arguments that it does not take
        raise ConfigError(
            f"train.optimizer: '{optimizer.name}' cannot be made{_with(options)}: {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error


def _with(options: dict[str, Any]) -> str:
    return f" with {', '.join(options)}" if options else ""


def _check_decay(config: TrainConfig) -> None:
    """Refuse a decay where nothing decays.

    Raises:
        ConfigError: the optimizer has none, and one is asked for.
    """
    if config.optimizer.is_own or "weight_decay" in inspect.signature(_class_of(config.optimizer)).parameters:
        return
    for key in ("weight_decay", "final_weight_decay"):
        value = getattr(config, key)
        if value and value != TrainConfig.model_fields[key].default:
            raise ConfigError(
                f"train.{key}: must be left out with the optimizer {config.optimizer.name}, which has no decay, got "
                f"{value:g}"
            )


def _trial_optimizer(config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a matrix and a vector, in the two groups that a model has."""
    groups = []
    for is_decayed, shape in ((True, (2, 2)), (False, (2,))):
        weights = torch.nn.Parameter(torch.ones(shape))
        weights.grad = torch.full(shape, 0.5)
        rate, decay = config.learning_rate, config.weight_decay if is_decayed else 0.0
        groups.append({"params": [weights], "lr": rate, "peak": rate, "is_decayed": is_decayed, "weight_decay": decay})
    return make_optimizer(config, groups)


def _try_step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    for group in optimizer.param_groups:
        for weights in group["params"]:
            weights.grad = torch.full_like(weights, 0.5)


def _identity(group: Group) -> tuple[Any, ...]:
    return [id(tensor) for tensor in group["params"]], group.get("peak"), group.get("is_decayed")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
