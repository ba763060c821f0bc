"""Which kind of file a mapping is, by its content: a sweep file, or a pretraining file, which has `corpora`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from raybert.config.load import Overrides, load_config, read_yaml, suggest
from raybert.config.pretraining import PretrainingConfig, load_pretraining
from raybert.config.schema import RaybertConfig
from raybert.errors import ConfigError

AnyConfig = RaybertConfig | PretrainingConfig
AnySource = str | Path | Mapping[str, Any] | RaybertConfig | PretrainingConfig
"""What `validate` and `render` can be given: a file of either kind, its content, or a configuration."""


def load_any(source: AnySource, overrides: Overrides = ()) -> AnyConfig:
    """Return the validated configuration of a sweep file or of a pretraining file.

    Args:
        source: a YAML file, a mapping like it, or a configuration.
        overrides: as of `load_config`.

    Raises:
        ConfigError: it is neither, cannot be read, or has a key that is wrong.
    """
    if isinstance(source, RaybertConfig):
        return load_config(source, overrides)
    if isinstance(source, PretrainingConfig):
        return load_pretraining(source, overrides)
    document = dict(source) if isinstance(source, Mapping) else read_yaml(source)
    label = "the file" if isinstance(source, Mapping) else str(source)
    if kind_of(document, label) == "pretraining":
        return load_pretraining(document, overrides)
    return load_config(document, overrides)


def kind_of(document: Mapping[str, Any], label: str) -> Literal["sweep", "pretraining"]:
    """Return which kind of file a mapping is.

    Args:
        document: its content.
        label: the file, for messages.

    Raises:
        ConfigError: it has keys, and none of them is one of either kind, or one of pretraining alone but no corpora.
    """
    if "corpora" in document:
        return "pretraining"
    of_sweeps, of_pretraining = set(RaybertConfig.model_fields), set(PretrainingConfig.model_fields)
    keys = [str(key) for key in document]
    if not keys or of_sweeps.intersection(keys):
        return "sweep"
    only = next((key for key in keys if key in of_pretraining), None)
    if only is not None:
        raise ConfigError(f"{label}: must have `corpora` beside `{only}`, as pretraining files do, got none")
    near = next((hint for key in keys if "did you mean" in (hint := suggest(key, of_sweeps | of_pretraining))), "")
    alone = [key for key in PretrainingConfig.model_fields if key not in of_sweeps and key != "corpora"]
    raise ConfigError(
        f"{label}: must be a sweep file ({', '.join(RaybertConfig.model_fields)}) or a pretraining file (corpora, "
        f"{', '.join(alone)}), got the keys {', '.join(keys[:5])}{near}"
    )
