"""The keys `train.optimizer` and `train.schedule`: what moves the weights, and how its rate changes on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from raybert.config.section import Section

_OWN = r"[\w.]+:\w+"
_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "": {"params": "what the model has", "lr": "`train.learning_rate`", "weight_decay": "`train.weight_decay`"},
    "adamw": {"betas": "`train.betas`", "eps": "`train.epsilon`"},
    "sgd": {"momentum": "`train.optimizer.momentum`", "nesterov": "`train.optimizer.nesterov`"},
}
"""Arguments of optimizers that are keys of their own, by the name of the optimizer; of none: of all."""


class OptimizerConfig(Section):
    """What turns gradients into steps."""

    stands_for: ClassVar[str] = "name"
    in_words: ClassVar[Mapping[str, str]] = {
        "name": "adamw, adafactor, sgd, lion, a class of torch such as torch.optim.NAdam, or `module:function` of your "
        "own"
    }

    name: str = Field(
        "adamw",
        pattern=rf"^(adamw|adafactor|sgd|lion|torch\.optim\.\w+|{_OWN})$",
        description="adamw, adafactor, sgd, lion, a class of torch by its name (torch.optim.NAdam), or "
        "`module:function` of your own: groups of parameters -> an optimizer of torch",
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd: share of the update before that each one keeps")
    nesterov: bool = Field(False, description="sgd: look ahead along the momentum, after Nesterov")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="further arguments of the optimizer by their names, such as {beta2_decay: -0.7} of adafactor",
    )

    @property
    def is_own(self) -> bool:
        """Whether it is of a user's own code."""
        return ":" in self.name

    @model_validator(mode="after")
    def _keys_belong_to_the_optimizer(self) -> OptimizerConfig:
        for key in ("momentum", "nesterov"):
            if getattr(self, key) and self.name != "sgd":
                raise ValueError(f"{key}: must be left out with the optimizer {self.name}, it is of sgd")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: must be false without `momentum`, along which it looks ahead, got true")
        for name, place in {**_ELSEWHERE[""], **_ELSEWHERE.get(self.name, {})}.items():
            if name in self.options:
                raise ValueError(f"options: must not have `{name}`, which is {place}")
        return self


_KEYS_OF: Mapping[str, tuple[str, ...]] = {
    "power": ("polynomial",),
    "cycles": ("cosine_restarts",),
    "decay_fraction": ("wsd",),
    "factor": ("plateau",),
    "patience": ("plateau",),
    "min_change": ("plateau",),
    "min_factor": ("linear", "cosine", "polynomial", "cosine_restarts", "wsd", "plateau"),
}
"""Keys of a schedule -> the schedules that have them."""


class ScheduleConfig(Section):
    """How the learning rate moves after the warm-up, as a factor of its peak."""

    stands_for: ClassVar[str] = "name"
    in_words: ClassVar[Mapping[str, str]] = {
        "name": "linear, cosine, constant, inverse_sqrt, one_cycle, polynomial, cosine_restarts, wsd, plateau, or "
        "`module:function` of your own"
    }

    name: str = Field(
        "linear",
        pattern="^(linear|cosine|constant|inverse_sqrt|one_cycle|polynomial|cosine_restarts|wsd|plateau|"
        rf"{_OWN})$",
        description="linear, cosine, constant, inverse_sqrt, one_cycle, polynomial, cosine_restarts, wsd (constant, "
        "then down), plateau (down when validation gets no better), or `module:function` of your own: (share of the "
        "steps after warm-up that is done, T) -> factor of the peak",
    )
    power: float = Field(2.0, gt=0, description="polynomial: of what is left; 1 is linear")
    cycles: int = Field(2, ge=1, description="cosine_restarts: how many times it falls; 1 is cosine")
    decay_fraction: float = Field(0.2, gt=0, le=1, description="wsd: share of T, at its end, in which the rate falls")
    factor: float = Field(0.5, gt=0, lt=1, description="plateau: what the rate is multiplied by")
    patience: int = Field(
        1, ge=1, description="plateau: evaluations without a better metric, the one of early stopping, per reduction"
    )
    min_change: float = Field(0.0, ge=0, description="plateau: least change that counts as better")
    min_factor: float = Field(0.0, ge=0, lt=1, description="share of the peak below which the rate does not fall")

    @property
    def is_own(self) -> bool:
        """Whether it is of a user's own code."""
        return ":" in self.name

    def identity(self) -> Any:
        """Return what results depend on: its name alone where its keys have their defaults, as before it had keys."""
        return self.name if self == ScheduleConfig(name=self.name) else self.model_dump(mode="json")

    @model_validator(mode="after")
    def _keys_belong_to_the_schedule(self) -> ScheduleConfig:
        for key, owners in _KEYS_OF.items():
            if self.name not in owners and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: must be left out with the schedule {self.name}, it is of {', '.join(owners)}")
        return self
