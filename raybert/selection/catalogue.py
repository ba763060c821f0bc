"""Strategies by name: those that come with raybert, those of entry points, and `module:Class` of a user's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from raybert.config import (
    SelectionConfig,
    StrategyConfig,
    are_labels_enough,
    explain_unknown,
    import_attribute,
    installed_parts,
    load_part,
    loaded_attribute,
    suggest,
    validate_model,
)
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection import strategies as built_in_strategies  # noqa: F401 - fills the registry
from raybert.selection.compose import Composed, compose
from raybert.selection.filter import Filter
from raybert.selection.identity import in_words
from raybert.selection.price import price_in_words
from raybert.selection.registry import TRAINING_LOSSES, WHOLE_POOL
from raybert.selection.signals import needed_signals
from raybert.selection.stand_in import StandIn, stand_in
from raybert.selection.strategies.mixed import EntropyDiversity
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Strategy


def strategy_names() -> list[str]:
    """Return the names of all registered strategies, in alphabetical order."""
    return sorted(_known())


def find_strategy(name: str, path: str = "strategy") -> type[Strategy]:
    """Return the strategy of a name, or of `module:Class`.

    Where labels are enough (`importing`), a class that is not loaded yet is not imported: a `StandIn` is returned.

    Args:
        name: registered name, or an importable class; modules in the working directory are found too.
        path: dotted path in the sweep file, for the error.

    Raises:
        ConfigError: there is none.
    """
    known = _known()
    if name in known:
        return known[name]
    if name in registry.filters:
        return registry.filters[name]
    if ":" not in name:
        raise ConfigError(f"{path}: unknown '{name}'{suggest(name, known)}")
    if are_labels_enough():
        there = loaded_attribute(name)
        return there if isinstance(there, type) and issubclass(there, Strategy) else stand_in(name)
    return _checked(import_attribute(name, path), name, path)


def build_strategy(config: StrategyConfig, path: str = "strategy", *, kind: type[Strategy] | None = None) -> Composed:
    """Return the strategy that an entry of the sweep file describes, with what is around it.

    Args:
        config: the entry.
        path: dotted path in the sweep file, for errors.
        kind: its class; default: that of its name.

    Raises:
        ConfigError: unknown name or parameter, or a value that is not allowed or makes no sense.
    """
    kind = find_strategy(config.name, path) if kind is None else kind
    around: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in config.parameters.items():
        is_own = key not in AROUND or (key == "then" and issubclass(kind, Filter))
        (own if is_own else around)[key] = _build_parts(key, value, f"{path}.{key}")
    _check_keys(kind, own, path, config.name)
    return validate_model(Composed, {"inner": validate_model(kind, own, path), **around}, path)


AROUND = frozenset(Composed.model_fields) - {"inner"}
"""Keys of every strategy that say what is around it."""
_RANKING_ONLY = {
    "direction": "does not rank by a score, so it has no hard or easy end",
    "window": "does not rank by a score, so there is no part of a ranking to keep",
    "drop_hardest": "does not rank by a score; as a filter write `pre: {name: drop_hardest, score: el2n}`",
    "balance": "has no class quotas: its rule looks at all classes together",
}


def _check_keys(kind: type[Strategy], own: Mapping[str, Any], path: str, name: str) -> None:
    """Refuse keys that a strategy does not have.

    Raises:
        ConfigError: says why, or names the nearest one.
    """
    if issubclass(kind, StandIn):
        return
    unknown = [key for key in own if key not in kind.model_fields]
    for key in sorted(_RANKING_ONLY.keys() & set(unknown)):
        raise ConfigError(f"{path}.{key}: must be left out, '{name}' {_RANKING_ONLY[key]}")
    if unknown:
        known = {*kind.model_fields, *AROUND}
        raise ConfigError("\n".join(f"{path}.{key}: {explain_unknown(key, known)}" for key in unknown))


def _build_parts(key: str, value: Any, path: str) -> Any:
    """Return the strategies that the value of a key describes; anything else is left to the validation of its field."""
    if key in ("then", "of"):
        return _build_part(value, path)
    if key == "score" and value != TRAINING_LOSSES:
        return _alone(_build_part(value, path), path, "only its score is read")
    if key == "pre":
        parts = [value] if isinstance(value, (str, dict)) else value
        if isinstance(parts, (list, tuple)):
            paths = [f"{path}[{i}]" for i in range(len(parts))]
            return [
                _alone(_build_part(part, at), at, "a filter in `pre` only drops")
                for part, at in zip(parts, paths, strict=True)
            ]
    return value


def _build_part(entry: Any, path: str) -> Any:
    if isinstance(entry, str) and entry != WHOLE_POOL:
        entry = {"name": entry}
    if isinstance(entry, dict) and "name" in entry:
        return build_strategy(validate_model(StrategyConfig, entry, path), path)
    return entry


def _alone(part: Any, path: str, reason: str) -> Any:
    """Return a strategy without what is around it.

    Raises:
        ConfigError: it has something around it, which would be ignored.
    """
    if not isinstance(part, Composed):
        return part
    for key in sorted(part.model_fields_set - {"inner"}):
        raise ConfigError(f"{path}.{key}: must be left out, {reason}")
    return part.inner


def describe_strategies() -> list[dict[str, Any]]:
    """Return a row per strategy: name, summary, needs, cost, schedules, budget, parameters, weakness, citation."""
    return [_describe(_known()[name]) for name in strategy_names()]


COMPOSITION = {
    key: str(Composed.model_fields[key].description) for key in ("pre", "then", "candidates", "random_start")
}
"""Parameters of every strategy of budget kind `distinct` that chooses once or in rounds."""


def _describe(strategy: type[Strategy]) -> dict[str, Any]:
    required = [f"{key} (required)" for key, field in strategy.model_fields.items() if field.is_required()]
    example = None if required else compose(strategy())
    defaults = {"rounds": Composed.model_fields["rounds"].default} if "rounds" in strategy.schedules else {}
    for key, field in strategy.model_fields.items():
        if not field.is_required():
            defaults[key] = in_words(field.get_default(call_default_factory=True))
    if example is not None and isinstance(example.inner, RankedStrategy | EntropyDiversity):
        defaults["direction"] = example.inner.default_direction()
    needs = example.all_signals() if example else strategy.needs
    return {
        "name": strategy.name,
        "summary": (strategy.__doc__ or "").strip().splitlines()[0],
        "needs": ", ".join(sorted(needs)),
        "cost": _cost(strategy, needs),
        "schedules": ", ".join(strategy.schedules),
        "budget": strategy.budget_kind,
        "parameters": ", ".join([*required, *(f"{key}={value}" for key, value in defaults.items())]),
        "weakness": strategy.weakness,
        "citation": strategy.citation,
    }


def _cost(strategy: type[Strategy], needs: Collection[str]) -> str:
    """Return what must be computed: before training, in it, and to choose."""
    parts = [price_in_words(needed_signals(needs, SelectionConfig()))] if needs else []
    if strategy.passes_in_training:
        parts.append(f"{strategy.passes_in_training} forward passes over the pool in training")
    if strategy.operations:
        parts.append(f"choosing is {strategy.operations}")
    return "; ".join(parts)


def _known() -> dict[str, type[Strategy]]:
    for point in installed_parts(registry.ENTRY_POINTS):
        if point.name not in registry.strategies:
            registry.strategies[point.name] = _checked(load_part(point), point.value, registry.ENTRY_POINTS)
    return registry.strategies


def _checked(candidate: Any, name: str, path: str) -> type[Strategy]:
    if not (isinstance(candidate, type) and issubclass(candidate, Strategy)):
        raise ConfigError(f"{path}: '{name}': must be a subclass of raybert.Strategy")
    return candidate
