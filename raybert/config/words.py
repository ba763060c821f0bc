"""What the keys of a sweep file must be, in words: of their types and ranges, none of Python's or pydantic's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_SIMPLE = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Any: "a value"}
_BOUNDS = {"gt": "> {:g}", "ge": ">= {:g}", "lt": "< {:g}", "le": "<= {:g}"}
_LONGEST = 80


def rule_of(model: type[BaseModel], key: str) -> str:
    """Return what a key must be: `a whole number > 0 or null`."""
    given: str | None = getattr(model, "in_words", {}).get(key)
    if given is not None:
        return given
    field = model.model_fields[key]
    return describe_type(field.annotation, field.metadata)


def describe_type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return what a value must be, in words.

    Args:
        annotation: its type.
        metadata: its bounds.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe_type(arguments[0], [*metadata, *_constraints(arguments[1:])])
    if origin in (Union, UnionType):
        return _describe_union(arguments, [*metadata])
    if origin is Literal:
        return list_choices(arguments)
    if origin is tuple:
        is_open = len(arguments) == 2 and arguments[1] is Ellipsis
        what = _plural(describe_type(arguments[0]))
        return f"a list of {what}" if is_open else f"a list of {len(arguments)} {what}"
    if origin is dict:
        return f"a mapping of keys to {_plural(describe_type(arguments[1]))}"
    if annotation is NoneType:
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _describe_section(annotation)
    return _with_bounds(_SIMPLE.get(annotation, "a value of the right kind"), metadata)


def list_choices(choices: Sequence[Any]) -> str:
    """Return `one of 'a', 'b' or 'c'`."""
    *first, last = [f"'{choice}'" if isinstance(choice, str) else show(choice) for choice in choices]
    return f"one of {', '.join(first)} or {last}" if first else last


def show(value: Any) -> str:
    """Return a value as a sweep file would have it, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):  # a strategy that was found, where another kind is wanted
        value = getattr(value, "name", "") or type(value).__name__
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, (list, tuple, set, frozenset)):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    else:
        text = repr(value) if isinstance(value, (str, int, float)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _describe_union(arguments: Sequence[Any], metadata: list[Any]) -> str:
    kinds = [part for part in arguments if part is not NoneType and not (part is int and float in arguments)]
    parts = [describe_type(part, metadata if part in (int, float) else ()) for part in kinds]
    return " or ".join(dict.fromkeys([*parts, *["null"] * (NoneType in arguments)]))


def _describe_section(model: type[BaseModel]) -> str:
    short: str = getattr(model, "stands_for", "")
    given: str | None = getattr(model, "in_words", {}).get("")
    if given is not None:
        return given
    keys = ", ".join(list(model.model_fields)[:8]) + (", ..." if len(model.model_fields) > 8 else "")
    alone = f", or its {short} alone" if short else ""
    return f"a section with keys ({keys}){alone}"


def _with_bounds(words: str, metadata: Iterable[Any]) -> str:
    bounds = [
        pattern.format(getattr(part, name))
        for part in metadata
        for name, pattern in _BOUNDS.items()
        if hasattr(part, name)
    ]
    return " ".join([words, " and ".join(bounds)]).strip()


def _constraints(parts: Iterable[Any]) -> list[Any]:
    return [item for part in parts for item in (part.metadata if isinstance(part, FieldInfo) else [part])]


def _plural(words: str) -> str:
    if words in ("a number", "a whole number", "a value"):
        return f"{words.removeprefix('a ')}s"
    for one in ("a whole number ", "a number "):
        if words.startswith(one):
            return f"{one.removeprefix('a ').strip()}s {words.removeprefix(one)}"
    return {"text": "texts"}.get(words, f"values, each {words}")
