"""What all sections of a sweep file have in common: unknown keys are refused, and values are read as they are meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from raybert.config.words import rule_of

_PERCENT = re.compile(r"\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*%\s*")


class Section(BaseModel):
    """A section of the sweep file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    stands_for: ClassVar[str] = ""
    """The key whose value may be written in place of the whole section: `loss: focal` is `loss: {name: focal}`."""
    in_words: ClassVar[Mapping[str, str]] = {}
    """Key -> what it must be, where its type does not say it well; of no key (""): what the section must be."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if _is_truth_for_number(field.annotation, value):
            raise ValueError(f"must be {rule_of(cls, str(info.field_name))}")
        return as_meant(field.annotation, value)


def as_meant(annotation: Any, value: Any) -> Any:
    """Return a value of a sweep file as its key takes it: shares in per cent, names of sections, empty sections.

    What it cannot read it returns as it is, and validation says what is wrong.

    Args:
        annotation: the type of the key.
        value: as written in YAML, or given in Python.
    """
    value = _plain(value)
    parts = [*_alternatives(annotation)]
    if float in parts:
        value = read_percent(value)
    section = next((part for part in parts if isinstance(part, type) and issubclass(part, Section)), None)
    if section is not None:
        return {} if value is None and NoneType not in parts else _as_section(section, value)
    for part in parts:
        origin, arguments = get_origin(part), get_args(part)
        if origin is tuple and isinstance(value, (list, tuple)):
            return [as_meant(arguments[0], item) for item in value]
        if origin is dict and isinstance(value, Mapping):
            return {key: as_meant(arguments[1], item) for key, item in value.items()}
        if origin is tuple and _is_section(arguments[0]) and (_fits(arguments[0], value) or isinstance(value, Mapping)):
            return [as_meant(arguments[0], value)]  # a single one needs no list
    return value


def read_percent(value: Any) -> Any:
    """Return `10%` as 0.1, and everything else as it is."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return float(Decimal(found[1]) / 100) if found else value


def shorthand_key(section: Any, value: Any) -> str:
    """Return the key that a value stands for in place of a section; empty: it does not."""
    return str(section.stands_for) if _is_section(section) and _fits(section, value) else ""


def _as_section(section: type[Section], value: Any) -> Any:
    key = shorthand_key(section, value)
    return {key: value} if key else value


def _fits(section: type[Section], value: Any) -> bool:
    """Tell whether a value alone can be that of the key which a section may be written as."""
    if not section.stands_for or isinstance(value, bool):
        return False
    kinds = {get_origin(part) or part for part in _alternatives(section.model_fields[section.stands_for].annotation)}
    if isinstance(value, str):
        return bool(kinds & {str, Literal})
    return (isinstance(value, int) and int in kinds) or (isinstance(value, (list, tuple)) and tuple in kinds)


def _is_section(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, Section)


def _is_truth_for_number(annotation: Any, value: Any) -> bool:
    """Tell whether `true` or `yes` stands where a number must: Python would take it for 1."""
    parts = [*_alternatives(annotation)]
    if isinstance(value, (list, tuple)):
        return any(_is_truth_for_number(get_args(p)[0], v) for p in parts if get_origin(p) is tuple for v in value)
    return isinstance(value, bool) and bool({int, float} & {*parts}) and bool not in parts


def _plain(value: Any) -> Any:
    """Return paths as text, and numbers of numpy as those of Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types of which a value may have one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
