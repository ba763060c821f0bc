"""The JSON Schema of sweep files: what pydantic knows, and the short ways of writing besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from raybert.config.schema import RaybertConfig
from raybert.config.section import Section

_REFERENCE = "#/$defs/"
_PERCENT = {"type": "string", "pattern": r"^[+-]?[0-9]*\.?[0-9]+ ?%$"}


def sweep_file_schema() -> dict[str, Any]:
    """Return the schema: sections may be written as the value of one of their keys, numbers in per cent."""
    schema = RaybertConfig.model_json_schema()
    short = {kind.__name__: kind.stands_for for kind in _sections(RaybertConfig) if kind.stands_for}
    alone = {name: _without_words(schema["$defs"][name]["properties"][key]) for name, key in short.items()}
    widened: dict[str, Any] = _widened(schema, alone)
    return widened


def _sections(model: type[Section]) -> Iterator[type[Section]]:
    for field in model.model_fields.values():
        kinds = [field.annotation, *get_args(field.annotation)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield kind
                yield from _sections(kind)


def _without_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("default", "description", "title")}


def _widened(part: Any, alone: Mapping[str, Any]) -> Any:
    """Return a part of a schema in which sections and numbers may be written in the short way too."""
    if isinstance(part, list):
        return [_widened(item, alone) for item in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).removeprefix(_REFERENCE)
    if name in alone:
        rest = {key: value for key, value in part.items() if key != "$ref"}
        return {**rest, "anyOf": [{"$ref": part["$ref"]}, alone[name]]}
    if part.get("type") == "number" and "anyOf" not in part:
        words = {key: part[key] for key in ("default", "description", "title") if key in part}
        return {**words, "anyOf": [{k: v for k, v in part.items() if k not in words}, _PERCENT]}
    return {key: _widened(value, alone) for key, value in part.items()}
