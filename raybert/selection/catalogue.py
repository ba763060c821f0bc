"""Strategies by name: those that come with raybert, those of entry points, and `module:Class` of a user's own."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from raybert.config import StrategyConfig, import_attribute, suggest, validate_model
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection import strategies as built_in_strategies  # noqa: F401 - fills the registry
from raybert.selection.registry import WHOLE_POOL
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Filter, Strategy

ENTRY_POINTS = "raybert.strategies"


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
    if name in registry.filters:
        return registry.filters[name]
    if ":" in name:
        return _checked(import_attribute(name, path), name, path)
    raise ConfigError(f"{path}: unknown '{name}'{suggest(name, known)}")


def build_strategy(config: StrategyConfig, path: str = "strategy") -> Strategy:
    """Return the strategy that an entry of the sweep file describes.

    Raises:
        ConfigError: unknown name or parameter, or a value that is not allowed or makes no sense.
    """
    kind = find_strategy(config.name, path)
    parameters = config.parameters
    for key in _NESTED & parameters.keys():
        parameters[key] = _build_nested(parameters[key], f"{path}.{key}")
    if isinstance(parameters.get("pre"), (str, dict)):
        parameters["pre"] = [parameters["pre"]]
    if isinstance(parameters.get("pre"), (list, tuple)):
        parameters["pre"] = [_build_nested(part, f"{path}.pre[{i}]") for i, part in enumerate(parameters["pre"])]
    for key in _RANKING_ONLY & (parameters.keys() - kind.model_fields.keys()):
        raise ConfigError(f"{path}.{key}: must be left out, '{config.name}' {_RANKING_ONLY_REASON[key]}")
    return validate_model(kind, parameters, path)


_NESTED = {"then", "of", "score"}
_RANKING_ONLY_REASON = {
    "direction": "does not rank by a score, so it has no hard or easy end",
    "window": "does not rank by a score, so there is no part of a ranking to keep",
    "drop_hardest": "does not rank by a score; as a filter write `pre: {name: drop_hardest, score: el2n}`",
    "balance": "has no class quotas: its rule looks at all classes together",
}
_RANKING_ONLY = _RANKING_ONLY_REASON.keys()


def _build_nested(entry: Any, path: str) -> Any:
    """Return the strategy of an entry inside another one; anything else is left to the validation of its field."""
    if isinstance(entry, str) and entry != WHOLE_POOL:
        entry = {"name": entry}
    if isinstance(entry, dict) and "name" in entry:
        return build_strategy(validate_model(StrategyConfig, entry, path), path)
    return entry


def strategy_label(strategy: Strategy) -> str:
    """Return the name in tables: the strategy's own, and the parameters that are not at their default."""
    changed = []
    for key, field in type(strategy).model_fields.items():
        value = getattr(strategy, key)
        if value != field.get_default(call_default_factory=True):
            changed.append(f"{key}={_label_value(value)}")
    name = strategy.name or type(strategy).__name__
    return f"{name}({', '.join(changed)})" if changed else name


def _label_value(value: Any) -> str:
    if isinstance(value, Strategy):
        return strategy_label(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_label_value, value)) + "]"
    return str(value)


def strategy_identity(strategy: Strategy) -> dict[str, Any]:
    """Return what distinguishes a strategy's results: class and every parameter, as JSON."""
    kind = type(strategy)
    own = kind.__module__.startswith("raybert.")
    name = strategy.name if own else f"{kind.__module__}:{kind.__qualname__}"
    values = strategy.model_dump(mode="json")
    for key in kind.model_fields:
        value = getattr(strategy, key)
        if isinstance(value, Strategy):
            values[key] = strategy_identity(value)
        elif key == "pre":
            values[key] = [strategy_identity(part) for part in value]
    return {"name": name, **values}


def strategy_entry(strategy: Strategy) -> dict[str, Any]:
    """Return the entry of a sweep file that `build_strategy` makes an equal strategy of."""
    kind = type(strategy)
    known = _known().get(strategy.name) is kind or registry.filters.get(strategy.name) is kind
    entry = strategy.model_dump(mode="json", include=strategy.model_fields_set)
    for key in strategy.model_fields_set:
        value = getattr(strategy, key)
        if isinstance(value, Strategy):
            entry[key] = strategy_entry(value)
        elif key == "pre":
            entry[key] = [strategy_entry(part) for part in value]
    return {"name": strategy.name if known else f"{kind.__module__}:{kind.__qualname__}", **entry}


def describe_strategies() -> list[dict[str, Any]]:
    """Return a row per strategy: name, summary, needs, schedules, budget, parameters with defaults, citation."""
    return [_describe(_known()[name]) for name in strategy_names()]


COMPOSITION = {
    "pre": "filters before it: semdedup, label_errors, drop_hardest",
    "then": "a second strategy that chooses the budget among what this one leaves",
    "candidates": "what this one leaves for `then`, in budgets (default 3)",
}
"""Parameters of every strategy of budget kind `distinct` that chooses once or in rounds."""


def _describe(strategy: type[Strategy]) -> dict[str, Any]:
    hidden = {"schedule", *COMPOSITION} - ({"then"} if issubclass(strategy, Filter) else set())
    if "rounds" not in strategy.schedules:
        hidden.add("rounds")
    defaults = {
        key: _label_value(field.get_default(call_default_factory=True))
        for key, field in strategy.model_fields.items()
        if key not in hidden and not field.is_required()
    }
    required = [f"{key} (required)" for key, field in strategy.model_fields.items() if field.is_required()]
    example = None if required else strategy()
    if isinstance(example, RankedStrategy):
        defaults["direction"] = example.default_direction()
    return {
        "name": strategy.name,
        "summary": (strategy.__doc__ or "").strip().splitlines()[0],
        "needs": ", ".join(sorted(example.all_signals() if example else strategy.needs)),
        "schedules": ", ".join(strategy.schedules),
        "budget": strategy.budget_kind,
        "parameters": ", ".join([*required, *(f"{key}={value}" for key, value in defaults.items())]),
        "citation": strategy.citation,
    }


def _known() -> dict[str, type[Strategy]]:
    plugins = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    for name, point in plugins.items():
        if name not in registry.strategies:
            registry.strategies[name] = _checked(point.load(), point.value, ENTRY_POINTS)
    return registry.strategies


def _checked(candidate: Any, name: str, path: str) -> type[Strategy]:
    if not (isinstance(candidate, type) and issubclass(candidate, Strategy)):
        raise ConfigError(f"{path}: '{name}': must be a subclass of raybert.Strategy")
    return candidate
