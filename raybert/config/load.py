"""Read a sweep file, apply `--set` overrides, and say in one line what is wrong with it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from raybert.config.hints import section_at
from raybert.config.messages import describe_errors
from raybert.config.renamed import RENAMED_KEYS, describe_renaming, rename_keys
from raybert.config.schema import RaybertConfig
from raybert.config.section import shorthand_key
from raybert.config.yaml_text import parse_yaml
from raybert.errors import ConfigError, RenamedWarning
from raybert.plain import hide

Model = TypeVar("Model", bound=BaseModel)


ConfigSource = str | Path | Mapping[str, Any] | RaybertConfig
"""What a sweep can be given as: the path of a sweep file, its content as a mapping, or what `load_config` returned."""

Overrides = Iterable[str] | Mapping[str, Any]
"""Keys to override: `dotted.key=value` strings whose values are YAML, or a mapping of dotted keys to values."""


def load_config(source: ConfigSource, overrides: Overrides = ()) -> RaybertConfig:
    """Return a validated configuration.

    Args:
        source: a YAML file, a mapping like it, or a configuration.
        overrides: keys to override; `["sweep.seeds=5"]` and `{"sweep.seeds": 5}` say the same.

    Raises:
        ConfigError: the file cannot be read, or a key is wrong; the message starts with its dotted path.

    Example:
        >>> load_config({"selection": {"budget": 0.2}}, ["sweep.seeds=5"]).sweep.seeds
        (0, 1, 2, 3, 4)
    """
    if isinstance(source, RaybertConfig):
        if not overrides:
            return source
        # What was left to its default stays so: some defaults follow from other keys.
        return validate_config(apply_overrides(source.model_dump(mode="json", exclude_unset=True), overrides))
    document = dict(source) if isinstance(source, Mapping) else read_yaml(source)
    if "corpora" in document:
        label = "the file" if isinstance(source, Mapping) else str(source)
        raise ConfigError(
            f"{label}: must be a sweep file, got a pretraining file (it has `corpora`); `raybert pretrain` and "
            "`raybert tokenizer`, `crosseval` and `probe` take it"
        )
    return validate_config(apply_overrides(document, overrides))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: not a readable file, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such sweep file{_similar_files(path)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: must be a sweep file, got a folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    document = parse_yaml(text, str(path))
    if document is None:
        raise ConfigError(f"{path}: is empty; write at least `data: {{source: FILE}}`, or {{}} for a sweep of defaults")
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a mapping of sections, got {type(document).__name__}")
    return document


def validate_config(document: Mapping[str, Any]) -> RaybertConfig:
    """Return the configuration that a plain mapping describes.

    Keys by their names of raybert 0.1 are accepted with a `RenamedWarning` that says the new one.

    Raises:
        ConfigError: a key is unknown or its value is not allowed.
    """
    return validate_model(RaybertConfig, _with_todays_names(document))


_LAST_SECTION = "limits"


def load_stored_config(path: str | Path) -> RaybertConfig:
    """Return the configuration in a file that raybert itself has written, by this version or an earlier one.

    Raises:
        ConfigError: the file is damaged; part of one may be valid too, and is told by its last section.
    """
    again = "the same sweep command writes it anew"
    if not Path(path).exists():
        raise ConfigError(f"{path}: must be as raybert wrote it, but is missing; {again}")
    try:
        document = read_yaml(path)
        if _LAST_SECTION not in document:
            raise ConfigError(f"ends before its section '{_LAST_SECTION}'")
        return validate_stored_config(document)
    except ConfigError as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ")
        raise ConfigError(f"{path}: must be as raybert wrote it, but is damaged ({reason}); {again}") from None


def validate_stored_config(document: Mapping[str, Any]) -> RaybertConfig:
    """Return the configuration in what raybert has written; who reads old results can change no names in them.

    Raises:
        ConfigError: it is damaged.
    """
    return validate_model(RaybertConfig, rename_keys(document)[0])


def validate_model(model: type[Model], document: Mapping[str, Any], prefix: str = "") -> Model:
    """Return `model` built from a mapping, with errors as dotted path + rule + value.

    Args:
        model: the pydantic class.
        document: its fields.
        prefix: dotted path of the mapping inside the sweep file.

    Raises:
        ConfigError: one line for the first few problems.
    """
    try:
        return model.model_validate(dict(document))
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(describe_errors(model, error.errors(), prefix)))) from None


def apply_overrides(document: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Return a copy of a document with overrides applied, in order; old names of keys become today's, with a note.

    Raises:
        ConfigError: an override is not of that form, or its key leads through a value.
    """
    document = _with_todays_names(document)  # or a key could be there by both names
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            document = with_value(document, _todays_name(key), value)
        return document
    for override in [overrides] if isinstance(overrides, str) else overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"override '{override}': must be dotted.key=value")
        document = with_value(document, _todays_name(key.strip()), parse_yaml(text, f"override of {key}"))
    return document


def _with_todays_names(document: Mapping[str, Any]) -> dict[str, Any]:
    renamed, notes = rename_keys(document)
    for note in notes:
        warnings.warn(note, RenamedWarning, stacklevel=4)
    return renamed


def _todays_name(key: str) -> str:
    if key not in RENAMED_KEYS:
        return key
    warnings.warn(describe_renaming(key), RenamedWarning, stacklevel=4)
    return RENAMED_KEYS[key]


def with_value(document: Mapping[str, Any], dotted_key: str, value: Any, section: str = "") -> dict[str, Any]:
    """Return a copy of a nested mapping in which one dotted key has a new value.

    Args:
        document: a sweep file, or a section of it.
        dotted_key: the key in it.
        value: of the key.
        section: dotted path of the document, if it is a section.

    Raises:
        ConfigError: the key leads through a value.
    """
    head, _, rest = dotted_key.partition(".")
    copy = dict(document)
    if not rest:
        copy[head] = value
        return copy
    path = f"{section}.{head}".lstrip(".")
    inner = {} if copy.get(head) is None else copy[head]
    if not isinstance(inner, Mapping):
        key = shorthand_key(section_at(RaybertConfig, path), inner)
        if not key:
            raise ConfigError(f"{dotted_key}: `{head}` is a value, not a section, got {inner!r}")
        inner = {key: inner}
    copy[head] = with_value(inner, rest, value, path)
    return copy


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name nearest to a word, or the list of a few, or nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        begun = next((name for name in near if name.startswith(word)), near[0])  # the rest of it may be still to come
        return f"; did you mean '{begun}'?"
    if 0 < len(names) <= 12:
        return f"; known: {', '.join(names)}"
    return ""


def dump_yaml(config: BaseModel, without: Collection[str] = ()) -> str:
    """Return a configuration as YAML that reads back to an equal one, or what is left of it without some sections."""
    document = config.model_dump(mode="json", exclude=set(without))
    return hide(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


class _Dumper(yaml.SafeDumper):
    """Safe YAML whose floats keep a point, so that every YAML reader takes them as floats."""


def _represent_float(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _represent_float)


def _similar_files(path: Path) -> str:
    folder = path.parent
    return suggest(path.name, (f.name for f in folder.glob("*.yaml"))) if folder.is_dir() else ""
