"""The JSON Schema of sweep and pretraining files: what pydantic knows, and the short ways of writing besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from raybert.config.pretraining import PretrainingConfig
from raybert.config.schema import RaybertConfig
from raybert.config.section import Section

_REFERENCE = "#/$defs/"
_SEEDS = "seeds"
_PERCENT = {"type": "string", "pattern": r"^[+-]?[0-9]*\.?[0-9]+ ?%$"}


def file_schema() -> dict[str, Any]:
    """Return the schema of both: pretraining files have `corpora`; sections and numbers may be written in short."""
    kinds = (RaybertConfig, PretrainingConfig)
    _, schema = models_json_schema([(kind, "validation") for kind in kinds])
    defs = schema["$defs"]
    short = {section.__name__: section.stands_for for kind in kinds for section in _sections(kind)}
    alone = {name: _without_words(defs[name]["properties"][key]) for name, key in short.items() if key}
    return {
        "title": "a sweep file or a pretraining file of raybert",
        "if": {"required": ["corpora"]},
        "then": {"$ref": _REFERENCE + PretrainingConfig.__name__},
        "else": {"$ref": _REFERENCE + RaybertConfig.__name__},
        "$defs": _widened(defs, alone),
    }


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
    return {
        key: _with_count(value) if key == _SEEDS and isinstance(value, dict) else _widened(value, alone)
        for key, value in part.items()
    }


def _with_count(seeds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a list of seeds, as which their number may stand."""
    words = {key: seeds[key] for key in ("default", "description", "title") if key in seeds}
    listed = {key: value for key, value in seeds.items() if key not in words}
    return {**words, "anyOf": [listed, {"type": "integer", "minimum": 1}]}
