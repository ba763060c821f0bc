"""The search space: what each key of `sweep.tune.space` may be, sampled define-by-run from an Optuna trial."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raybert.config import DomainConfig, suggest
from raybert.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Params = dict[str, Any]
"""Dotted key -> value, as the study keeps it: a choice that is no plain value is written as JSON."""

STRATEGY = "strategy"
"""The key that a shared study chooses the strategy by."""


@dataclass(frozen=True)
class Domain:
    """One key of the space.

    Attributes:
        key: dotted, of the sweep file.
        config: its range or choice.
        is_integer: whether a range holds whole numbers only.
    """

    key: str
    config: DomainConfig
    is_integer: bool = False

    @property
    def path(self) -> str:
        """Where it stands in the sweep file, for errors."""
        return f"sweep.tune.space.{self.key}"

    def edges(self) -> tuple[Any, ...]:
        """Return the values that are checked before anything runs: both ends, or all choices."""
        if self.config.choice is not None:
            return self.config.choice
        return (self.config.low, self.config.high)

    def suggest(self, trial: BaseTrial) -> Any:
        """Return a value from a trial."""
        config = self.config
        if config.choice is not None:
            return trial.suggest_categorical(self.key, [encode(value) for value in config.choice])
        assert config.low is not None
        assert config.high is not None
        if self.is_integer:
            step = 1 if config.step is None else int(config.step)
            return trial.suggest_int(self.key, int(config.low), int(config.high), step=step, log=config.log)
        return trial.suggest_float(self.key, config.low, config.high, step=config.step, log=config.log)

    def decode(self, value: Any) -> Any:
        """Return the value that the configuration gets for one of the study."""
        if self.config.choice is None:
            return value
        return next(choice for choice in self.config.choice if encode(choice) == value)

    def contains(self, value: Any) -> bool:
        """Tell whether a value lies in it."""
        config = self.config
        if config.choice is not None:
            return encode(value) in [encode(choice) for choice in config.choice]
        assert config.low is not None
        assert config.high is not None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not config.low <= value <= config.high:
            return False
        step = config.step or (1 if self.is_integer else None)
        if step is None:
            return True
        steps = (value - config.low) / step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def describe(self) -> str:
        """Return its values in words."""
        if self.config.choice is not None:
            return "one of " + ", ".join(str(value) for value in self.config.choice)
        step = f" in steps of {self.config.step}" if self.config.step else ""
        return f"{'a whole number ' if self.is_integer else ''}in {self.config.low}..{self.config.high}{step}"


@dataclass(frozen=True)
class SearchSpace:
    """The keys of one arm, those of all strategies first: so the start-up points of all arms agree in them.

    Attributes:
        domains: in the order in which they are sampled; a key that another depends on comes before it.
        strategies: labels to choose from, of a shared study; empty: the arm has one strategy.
    """

    domains: tuple[Domain, ...]
    strategies: tuple[str, ...] = ()

    def sample(self, trial: BaseTrial) -> Params:
        """Return the values of a trial; a key whose condition does not hold is left out."""
        params: Params = {}
        if self.strategies:
            params[STRATEGY] = trial.suggest_categorical(STRATEGY, self.strategies)
        for domain in self.domains:
            if self.is_active(domain, params):
                params[domain.key] = domain.suggest(trial)
        return params

    def decode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return dotted key -> value for the configuration."""
        return {domain.key: domain.decode(params[domain.key]) for domain in self.domains if domain.key in params}

    def is_active(self, domain: Domain, params: Mapping[str, Any]) -> bool:
        """Tell whether a key is searched, given the values of the keys before it."""
        if self.strategies and domain.key.startswith("strategies."):
            label = strategy_of(domain.key, self.strategies)
            if params.get(STRATEGY) != label:
                return False
        return all(
            key in params and params[key] in [encode(value) for value in values]
            for key, values in domain.config.when.items()
        )

    @property
    def has_conditions(self) -> bool:
        """Whether some key is not in every suggestion."""
        return bool(self.strategies) or any(domain.config.when for domain in self.domains)

    def check_point(self, point: Mapping[str, Any], path: str) -> Params:
        """Return the part of a point to evaluate that concerns this arm, as the study keeps it.

        Raises:
            ConfigError: a value lies outside the space.
        """
        params: Params = {}
        if self.strategies and STRATEGY in point:
            if point[STRATEGY] not in self.strategies:
                raise ConfigError(
                    f"{path}.{STRATEGY}: unknown '{point[STRATEGY]}'{suggest(str(point[STRATEGY]), self.strategies)}"
                )
            params[STRATEGY] = point[STRATEGY]
        for domain in self.domains:
            if domain.key not in point:
                continue
            value = point[domain.key]
            if not domain.contains(value):
                raise ConfigError(f"{path}.{domain.key}: must be {domain.describe()}, as in `space`, got {value!r}")
            params[domain.key] = encode(value) if domain.config.choice is not None else value
        return params


def encode(value: Any) -> Any:
    """Return a choice as Optuna can keep it: plain values as they are, others as JSON."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return json.dumps(value)


def strategy_of(key: str, labels: tuple[str, ...]) -> str | None:
    """Return the label in a key `strategies.<label>.<parameter>`, or None; labels may contain dots."""
    rest = key.removeprefix("strategies.")
    found = [label for label in labels if rest.startswith(f"{label}.")]
    return max(found, key=len) if found else None


def parameter_of(key: str, label: str) -> str:
    """Return the parameter in a key `strategies.<label>.<parameter>`."""
    return key.removeprefix(f"strategies.{label}.")
