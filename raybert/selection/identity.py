"""What a strategy is called in tables, what distinguishes its results, and how it is written into a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raybert.config import Section, installed_parts
from raybert.config.code_digest import is_own
from raybert.selection import registry
from raybert.selection.compose import Composed, compose
from raybert.selection.strategy import Strategy

_UNKNOWN = object()
"""The default of a parameter of a strategy that is not imported."""


def strategy_label(strategy: Strategy) -> str:
    """Return the name in tables: the strategy's own, and the parameters that are not at their default."""
    composed = compose(strategy)
    changed = [
        f"{key}={in_words(value)}"
        for section in (composed, composed.inner)
        for key, value in _values(section).items()
        if not _is_same(value, _default(section, key))
    ]
    return f"{composed.title}({', '.join(changed)})" if changed else composed.title


def in_words(value: Any) -> str:
    """Return the value of a parameter as labels show it."""
    if isinstance(value, Strategy):
        return strategy_label(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(in_words, value)) + "]"
    return str(value)


def strategy_identity(strategy: Strategy) -> dict[str, Any]:
    """Return what distinguishes a strategy's results, as JSON: class, every parameter, and what is around it.

    A rule of its first version has no version there: ids of finished trials hold what this returns.
    """
    composed = compose(strategy)
    kind = type(composed.inner)
    name = composed.inner.name if kind.__module__.startswith("raybert.") else _path(kind)
    version = {"rule_version": kind.rule_version} if kind.rule_version > 1 else {}
    identity = _as_json(composed, strategy_identity) | _as_json(composed.inner, strategy_identity)
    absent = {
        key
        for section in (composed, composed.inner)
        for key in _added(type(section))
        if _is_same(getattr(section, key), _default(section, key))
    }
    return {"name": name} | version | {key: value for key, value in identity.items() if key not in absent}


def _added(kind: type[Section]) -> Iterator[str]:
    """Yield the parameters that came later, those of its bases among them."""
    for base in kind.__mro__:
        yield from vars(base).get("added", ())


def chooses_in_parts(strategy: Strategy, pool_size: int) -> bool:
    """Tell whether a strategy, or one that is composed with it, cuts a pool of this size into parts."""
    composed = compose(strategy)
    around = [part for part in (*composed.parts(), *composed.inner.parts()) if part is not composed.inner]
    return composed.inner.chooses_in_parts(pool_size) or any(chooses_in_parts(part, pool_size) for part in around)


def strategy_entry(strategy: Strategy) -> dict[str, Any]:
    """Return the entry of a sweep file that `build_strategy` makes an equal strategy of."""
    composed = compose(strategy)
    kind = type(composed.inner)
    entry = {"name": kind.name if _is_known_everywhere(kind) else _path(kind)}
    for section in (composed, composed.inner):
        written = _as_json(section, strategy_entry)
        entry |= {key: value for key, value in written.items() if key in section.model_fields_set}
    return entry


def own_classes(section: Section) -> Iterator[type[Strategy]]:
    """Yield the strategies and filters of a user's own in a strategy: itself, what is around it, what it asks."""
    if isinstance(section, Strategy) and is_own(type(section)):
        yield type(section)
    for key in type(section).model_fields:
        value = getattr(section, key)
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, Section):
                yield from own_classes(part)


def _is_known_everywhere(kind: type[Strategy]) -> bool:
    """Tell whether a process that has imported nothing but raybert knows a strategy by its name."""
    if kind not in (registry.strategies.get(kind.name), registry.filters.get(kind.name)):
        return False
    is_installed = kind.name in {point.name for point in installed_parts(registry.ENTRY_POINTS)}
    return is_installed or kind.__module__.startswith("raybert.") or "<" in kind.__qualname__


def _as_json(section: Section, of_strategy: Any) -> dict[str, Any]:
    """Return the parameters of a section as JSON, the strategies among them by a function."""
    document: dict[str, Any] = section.model_dump(mode="json", exclude=_not_keys(section))
    for key, value in _values(section).items():
        if isinstance(value, Strategy):
            document[key] = of_strategy(value)
        elif isinstance(value, tuple) and any(isinstance(part, Strategy) for part in value):
            document[key] = [of_strategy(part) for part in value]
    return document


def _values(section: Section) -> dict[str, Any]:
    own = {key: getattr(section, key) for key in type(section).model_fields if key not in _not_keys(section)}
    return own | (section.model_extra or {})


def _not_keys(section: Section) -> set[str]:
    return {"inner"} if isinstance(section, Composed) else set()


def _default(section: Section, key: str) -> Any:
    if isinstance(section, Composed) and key == "schedule":
        return section.inner.schedules[0]
    if key in (section.model_extra or {}):
        return _UNKNOWN
    return type(section).model_fields[key].get_default(call_default_factory=True)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Strategy) and isinstance(other, Strategy):
        return strategy_identity(one) == strategy_identity(other)
    return bool(one == other)


def _path(kind: type[Strategy]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
