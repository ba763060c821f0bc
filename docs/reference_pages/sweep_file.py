"""The page of every key of a sweep file, from its pydantic schema."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from raybert.config import RaybertConfig, Section
from raybert.config.pretraining import PretrainingConfig
from raybert.config.renamed import RENAMED_KEYS
from reference_pages.markdown import code, doc_summary, page, table

INTRODUCTION = """
Every key of a sweep file with its type, default, range and meaning. All keys but those marked *required* may be left
out; unknown keys are an error that names the nearest known one. `--set section.key=value` overrides any of them on the
command line, `raybert render FILE` prints a file with every key resolved, and `raybert schema` prints the JSON Schema
for editors.

Short ways of writing: a section may be written as the value of one of its keys ({short}), one entry of a list without
the list where it is a strategy or a signal, a fraction in per cent (`10%` is 0.1), and a section without keys is one of
defaults.

Parameters of strategies stand beside their names: [](strategies.md).
"""
PRETRAINING = """
Every key of the file that `raybert tokenizer` and its sister commands take ([](../how-to/corpora.md)); each command
reads the sections that it needs. Keys are overridden, and values written, as in [the sweep file](sweep_file.md): a
corpus may be written as its source, `tokenizer` as its folder.
"""
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "any value", NoneType: "null"}


def sweep_file_page() -> str:
    """Return the reference of the sweep file: a section per section, a row per key."""
    short = [(path, kind.stands_for) for path, kind in sections(RaybertConfig) if kind.stands_for]
    written = ", ".join(code(f"{path}: {key.upper()}") for path, key in short if path[-1] not in "]>")
    renamed = table(["name in raybert 0.1", "name now"], [(code(old), code(new)) for old, new in RENAMED_KEYS.items()])
    return page(
        "The sweep file",
        INTRODUCTION.format(short=written),
        *_sections_of(RaybertConfig),
        "## Old names",
        "Accepted until the next release, with a note that says the new name:",
        renamed,
    )


def pretraining_file_page() -> str:
    """Return the reference of the pretraining file, likewise."""
    return page("The pretraining file", PRETRAINING, *_sections_of(PretrainingConfig))


def _sections_of(model: type[Section]) -> Iterator[str]:
    for path, section in sections(model):
        rows = [
            (code(f"{path}.{key}" if path else key), type_of(field), default_of(field), field.description or "")
            for key, field in section.model_fields.items()
            if _section_in(field.annotation) is None or field.description
        ]
        yield f"## {code(path) if path else 'Top of the file'}"
        yield doc_summary(section)
        if rows:
            yield table(["key", "value", "default", "meaning"], rows)


def sections(model: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield every section with its dotted path, a section before those inside it."""
    yield path, model
    for key, field in model.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is not None:
            suffix = {dict: ".<key>", tuple: "[]"}.get(_origin(field.annotation), "")
            yield from sections(inner, f"{path}.{key}{suffix}".lstrip("."))


def type_of(field: FieldInfo) -> str:
    """Return in words what a key takes, with its range."""
    bounds = [
        f"{symbol} {getattr(m, name):g}" for m in field.metadata for name, symbol in _BOUNDS.items() if hasattr(m, name)
    ]
    pattern = next((m.pattern for m in field.metadata if getattr(m, "pattern", None)), None)
    words = _words(field.annotation)
    return f"{words}{', ' if bounds else ''}{', '.join(bounds)}{f', like {code(pattern)}' if pattern else ''}"


def default_of(field: FieldInfo) -> str:
    """Return a key's default as YAML, or that it is required."""
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, Section):
        return "its defaults"
    if isinstance(value, tuple):
        return code("[" + ", ".join(_yaml(item) for item in value) + "]")
    return code(_yaml(value))


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    return str(getattr(value, "name", value))


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(code(_yaml(value)) for value in arguments)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in arguments))
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "mapping"
    return _NAMES.get(annotation, code(annotation))


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that a key holds, alone, in a list, or by the user's own keys."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)


def _origin(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return next((_origin(part) for part in get_args(annotation) if part is not NoneType), None)
    return origin
