"""Strategies by name: those that come with raybert, those of entry points, and `module:Class` of a user's own."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from raybert.config import StrategyConfig, suggest, validate_model
from raybert.errors import ConfigError
from raybert.selection.strategy import Strategy

ENTRY_POINTS = "raybert.strategies"

_registered: dict[str, type[Strategy]] = {}
StrategyType = TypeVar("StrategyType", bound=type[Strategy])


def register(strategy: StrategyType) -> StrategyType:
    """Make a strategy known by its `name`; use as a class decorator."""
    _registered[strategy.name] = strategy
    return strategy


def strategy_names() -> list[str]:
    """Return the names of all registered strategies, in alphabetical order."""
    return sorted(_known())


def find_strategy(name: str, path: str = "strategy") -> type[Strategy]:
    """Return the strategy of a name, or of `module:Class`.

    Args:
        name: registered name, or an importable class; modules beside the working directory are found too.
        path: dotted path in the sweep file, for the error.

    Raises:
        ConfigError: there is none.
    """
    known = _known()
    if name in known:
        return known[name]
    if ":" in name:
        return _import_class(name, path)
    raise ConfigError(f"{path}: unknown '{name}'{suggest(name, known)}")


def build_strategy(config: StrategyConfig, path: str = "strategy") -> Strategy:
    """Return the strategy that an entry of the sweep file describes.

    Raises:
        ConfigError: unknown name or parameter, or a value that is not allowed.
    """
    return validate_model(find_strategy(config.name, path), config.parameters, path)


def strategy_label(strategy: Strategy) -> str:
    """Return the name in tables: the strategy's own, and the parameters that are not at their default."""
    changed = strategy.model_dump(mode="json", exclude_defaults=True)
    name = strategy.name or type(strategy).__name__
    if not changed:
        return name
    return f"{name}({', '.join(f'{key}={value}' for key, value in changed.items())})"


def strategy_identity(strategy: Strategy) -> dict[str, Any]:
    """Return what distinguishes a strategy's results: class and every parameter, as JSON."""
    kind = type(strategy)
    own = kind.__module__.startswith("raybert.")
    name = strategy.name if own else f"{kind.__module__}:{kind.__qualname__}"
    return {"name": name, **strategy.model_dump(mode="json")}


def describe_strategies() -> list[dict[str, Any]]:
    """Return a row per strategy: name, summary, needs, schedules, budget, parameters with defaults, source."""
    return [_describe(_known()[name]) for name in strategy_names()]


def _describe(strategy: type[Strategy]) -> dict[str, Any]:
    defaults = {
        key: field.get_default(call_default_factory=True)
        for key, field in strategy.model_fields.items()
        if key != "schedule"
    }
    return {
        "name": strategy.name,
        "summary": (strategy.__doc__ or "").strip().splitlines()[0],
        "needs": ", ".join(sorted(strategy.needs)),
        "schedules": ", ".join(strategy.schedules),
        "budget": strategy.budget_kind,
        "parameters": ", ".join(f"{key}={value}" for key, value in defaults.items()),
        "source": strategy.source,
    }


def _known() -> dict[str, type[Strategy]]:
    importlib.import_module("raybert.selection.strategies")
    plugins = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    for name, point in plugins.items():
        if name not in _registered:
            _registered[name] = _checked(point.load(), point.value, ENTRY_POINTS)
    return _registered


def _import_class(name: str, path: str) -> type[Strategy]:
    module_name, _, class_name = name.partition(":")
    _make_importable(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{path}: '{name}': module cannot be imported: {error}") from None
    if not hasattr(module, class_name):
        raise ConfigError(f"{path}: '{name}': the module has no '{class_name}'{suggest(class_name, vars(module))}")
    return _checked(getattr(module, class_name), name, path)


def _checked(candidate: Any, name: str, path: str) -> type[Strategy]:
    if not (isinstance(candidate, type) and issubclass(candidate, Strategy)):
        raise ConfigError(f"{path}: '{name}': must be a subclass of raybert.Strategy")
    return candidate


def _make_importable(folder: str) -> None:
    """Let a user's module lie beside the sweep file that they run; Ray's workers inherit the path."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
