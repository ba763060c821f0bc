"""Metrics of a user's own (`train.metrics`): imported, called on copies, and held to returning a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from raybert.config import MetricConfig, import_attribute
from raybert.config.own_metrics import declare_own
from raybert.config.tasks import REGRESSION
from raybert.errors import ConfigError
from raybert.training.measures.of_targets import THRESHOLD, has_targets, task_of_targets

_DIRECTIONS = ("higher", "lower")


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a user's own.

    Attributes:
        config: its entry of the sweep file, with its direction settled.
        function: what it names.
    """

    config: MetricConfig
    function: Callable[[np.ndarray, np.ndarray], Any]

    @property
    def name(self) -> str:
        """Its name in columns."""
        return self.config.name

    def value(self, labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None = None) -> float:
        """Return its value; NaN: undefined.

        It is given copies, so that it may change them; of numbers it is given them, (m,), whatever it reads.

        Args:
            labels: (m,) class numbers; of several labels (m, L) 0 or 1, of numbers (m, 1).
            probs: (m, C) float, rows sum to 1; of several labels (m, L) probabilities, of numbers (m, 1).
            predicted: as `labels`; default: the most probable class, or the labels of probability 0.5 and more.

        Raises:
            ConfigError: it raised, or returned something else than a number; says which metric, and what.
        """
        known, read = self._arguments(labels, probs, predicted)
        try:
            value = self.function(known, read)
        except Exception as error:
            raise ConfigError(f"{self._said()} raised {type(error).__name__}: {error}") from error
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigError(
                f"{self._said()} must return a number, got {_shown(value)}; `float(...)` makes one of many"
            )
        found = float(value)
        if math.isinf(found):
            raise ConfigError(f"{self._said()} must return a finite number, or NaN where it is undefined, got {found}")
        lowest, highest = (-math.inf, math.inf) if self.config.range is None else self.config.range
        if found < lowest or found > highest:
            raise ConfigError(
                f"{self._said()} must return a number in its `range` [{lowest:g}, {highest:g}], got {found:g}"
            )
        return found

    def _arguments(
        self, labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of what the function is called with."""
        if has_targets(labels) and task_of_targets(labels) == REGRESSION:
            return np.array(labels[:, 0], np.float64), np.array(probs[:, 0], np.float64)
        if self.config.reads == "probs":
            return np.array(labels, np.int64), np.array(probs)
        if predicted is None:
            predicted = probs >= THRESHOLD if has_targets(labels) else probs.argmax(axis=1)
        return np.array(labels, np.int64), np.array(predicted, np.int64)

    def _said(self) -> str:
        return f"train.metrics: '{self.config.function}' (metric {self.name})"


def import_metrics(configs: Sequence[MetricConfig], path: str = "train.metrics") -> tuple[OwnMetric, ...]:
    """Return the metrics that a sweep file names, each with its function and its direction settled.

    Args:
        configs: their entries.
        path: dotted path in the sweep file, for errors.

    Raises:
        ConfigError: one cannot be imported or called, or says no direction that there is.
    """
    found = tuple(_imported(config, f"{path}[{number}]") for number, config in enumerate(configs))
    try:
        declare_own([own.config for own in found])
    except ValueError as error:
        raise ConfigError(f"train.{error}") from None
    return found


def own_values(
    metrics: Iterable[OwnMetric], labels: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None = None
) -> dict[str, float]:
    """Return the value of each metric by its name; arguments as of `OwnMetric.value`."""
    return {own.name: own.value(labels, probs, predicted) for own in metrics}


def _imported(config: MetricConfig, path: str) -> OwnMetric:
    function = import_attribute(config.function, path)
    if not callable(function) or isinstance(function, type):
        raise ConfigError(
            f"{path}: '{config.function}' must be callable (labels (m,), {config.reads}) -> a number, got "
            f"{'a class' if isinstance(function, type) else type(function).__name__}"
        )
    if config.direction == "auto":
        direction = getattr(function, "direction", "higher")
        if direction not in _DIRECTIONS:
            raise ConfigError(f"{path}: '{config.function}'.direction must be 'higher' or 'lower', got {direction!r}")
        config = config.model_copy(update={"direction": direction})
    return OwnMetric(config, function)


def _shown(value: Any) -> str:
    """Return what was returned, in a few words."""
    if value is None or isinstance(value, bool):
        return str(value)
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
