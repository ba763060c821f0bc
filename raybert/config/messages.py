"""What is wrong with a sweep file, a line a problem: dotted path, rule, value; in the words of its user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from raybert.config.hints import explain_unknown
from raybert.config.words import describe_type, rule_of, show

_CONSTRAINTS = {
    "greater_than": "must be > {gt:g}",
    "greater_than_equal": "must be >= {ge:g}",
    "less_than": "must be < {lt:g}",
    "less_than_equal": "must be <= {le:g}",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
}
"""Errors of pydantic that are about a range, and what we say of them."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class _Place:
    """Where in a model an error is.

    Attributes:
        path: keys and numbers of list items, without the tags that pydantic puts in for types.
        owner: the section whose key is wrong; None: the user's own keys of a mapping.
        key: of the section.
        annotation: type of what is there; None: nothing is known at the path.
    """

    path: tuple[Any, ...]
    owner: type[BaseModel] | None
    key: str
    annotation: Any


def describe_errors(model: type[BaseModel], errors: Iterable[Mapping[str, Any]], prefix: str = "") -> list[str]:
    """Return a line for each place of a document at which something is wrong.

    Args:
        model: that the document is of.
        errors: of `ValidationError.errors()`.
        prefix: dotted path of the document inside the sweep file.
    """
    groups: dict[tuple[Any, ...], tuple[_Place, list[Mapping[str, Any]]]] = {}
    for error in errors:
        place = _find(model, error["loc"], is_unknown=error["type"] == "extra_forbidden")
        if error["type"] == "missing" and place.path and isinstance(place.path[-1], int):
            place = _find(model, place.path[:-1])  # of a list that is too short
            error = {**error, "type": "list_too_short", "input": error["input"]}
        groups.setdefault(place.path, (place, []))[1].append(error)
    inner = [path for path, (_, found) in groups.items() if any(e["type"] != "extra_forbidden" for e in found)]
    return [
        _describe(place, found, prefix)
        for path, (place, found) in groups.items()
        if not any(other != path and other[: len(path)] == path for other in inner)  # the nearer place says more
    ]


def dotted(parts: Iterable[Any]) -> str:
    """Return `sweep.strategies[1].name` for its parts."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _describe(place: _Place, errors: Sequence[Mapping[str, Any]], prefix: str) -> str:
    path = dotted([prefix, *place.path] if prefix else place.path)
    kinds, error = {error["type"] for error in errors}, errors[0]
    if "extra_forbidden" in kinds:
        return f"{path}: {explain_unknown(str(place.path[-1]), place.owner.model_fields if place.owner else ())}"
    if error["loc"][-1:] == ("[key]",):
        return f"{path}: keys must be words, got {show(error['input'])}"
    if "missing" in kinds:
        return f"{path}: must be given"
    if kinds == {"value_error"}:
        return _describe_own(place, error, path)
    rule = _rule(place, kinds, error)
    return f"{path or 'sweep file'}: {rule}, got {show(error['input'])}{_hint(place, error['input'])}"


def _describe_own(place: _Place, error: Mapping[str, Any], path: str) -> str:
    """Return the line of a rule that we check ourselves: `key: must be ...` of a section is about that key."""
    rule = str((error.get("ctx") or {}).get("error", error["msg"]))
    key, separator, rest = rule.partition(": ")
    if separator and re.fullmatch(r"[\w.]+", key) and not isinstance(error["input"], str):
        path, rule = (f"{path}.{key}" if path else key), rest
    if isinstance(error["input"], Mapping):  # of several keys: the rule names them
        return f"{path or 'sweep file'}: {rule}"
    got = "" if ", got " in rule else f", got {show(error['input'])}"
    return f"{path or 'sweep file'}: {rule}{got}"


def _rule(place: _Place, kinds: set[str], error: Mapping[str, Any]) -> str:
    if kinds <= _CONSTRAINTS.keys() and len(kinds) == 1:
        return _CONSTRAINTS[error["type"]].format(**error.get("ctx", {}))
    if place.owner is not None and place.path and place.path[-1] == place.key:
        return f"must be {rule_of(place.owner, place.key)}"
    return f"must be {describe_type(place.annotation)}" if place.annotation is not None else "must be something else"


def _hint(place: _Place, value: Any) -> str:
    """Return what was probably meant."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return ""
    text = str(value)
    choices = [str(choice) for choice in _choices(place.annotation) if isinstance(choice, str)]
    if place.owner is not None and not choices:
        choices = re.findall(r"\b[a-z_]{5,}\b", getattr(place.owner, "in_words", {}).get(place.key, ""))
    near = difflib.get_close_matches(text, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; write {text.replace(',', '.')}" if _DECIMAL_COMMA.fullmatch(text) else ""


def _choices(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _choices(part)


def _find(model: type[BaseModel], location: Sequence[Any], *, is_unknown: bool = False) -> _Place:
    """Return the place of an error; what is no key of the schema and no item of a list is a tag of pydantic's."""
    path: list[Any] = []
    owner: type[BaseModel] | None = model
    key, current = "", [model]  # of several types a value may have one
    for number, part in enumerate(location):
        sections = [kind for kind in current if isinstance(kind, type) and issubclass(kind, BaseModel)]
        known = next((kind for kind in sections if part in kind.model_fields), None)
        if known is not None:
            owner, key = known, str(part)
            current = _types(known.model_fields[key].annotation)
        elif isinstance(part, int) and (lists := [kind for kind in current if get_origin(kind) is tuple]):
            current = [inner for kind in lists for inner in _types(get_args(kind)[0])]
        elif mappings := [kind for kind in current if get_origin(kind) is dict]:
            owner, current = None, [inner for kind in mappings for inner in _types(get_args(kind)[1])]
        elif is_unknown and sections and number == len(location) - 1:
            return _Place((*path, part), sections[0], str(part), None)
        else:
            continue
        path.append(part)
    annotation = Union[tuple(current)] if current else None  # noqa: UP007 - of a list
    return _Place(tuple(path), owner, key, annotation)


def _types(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _types(part)]
    return [annotation]
