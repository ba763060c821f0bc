"""The file of `raybert tokenizer`, `pretrain`, `crosseval` and `probe`: one schema; each reads its sections of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from raybert.config.corpora import CorpusConfig
from raybert.config.crosseval import CrossevalConfig
from raybert.config.load import Overrides, apply_overrides, read_yaml, suggest, validate_model
from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig, as_seeds
from raybert.config.probes import ProbeConfig
from raybert.config.resources import LimitsConfig, ResourcesConfig
from raybert.config.schema import RaybertConfig
from raybert.config.section import Section
from raybert.config.tokenizer import TokenizerConfig
from raybert.config.track import TrackConfig
from raybert.errors import ConfigError

_FOLDER_NAME = re.compile(r"[\w-][\w.-]*")
"""Of a corpus: its models lie in folders of that name."""


class PretrainingConfig(Section):
    """A pretraining file."""

    name: str = Field("pretraining", min_length=1, pattern=r"^\w[\w.-]*$", description="of the study and its folder")
    corpora: dict[str, CorpusConfig] = Field(min_length=1, description="name -> corpus")
    words: Literal["equal", "all"] = Field(
        "all",
        description="of all corpora's train: equal cuts them to the words of the smallest, so that models compare",
    )
    form: Literal["given", "plain"] = Field(
        "given",
        description="of all texts: as they are, or plain: lower case, and blanks for all but letters, digits and "
        "- & / $ %, so that corpora differ in their words and not in how they were typed",
    )

    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    model: PretrainedModelConfig = PretrainedModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="of first weights, order, masks and dropout: how many (0, 1, ...), or a list"
    )

    resources: ResourcesConfig = Field(ResourcesConfig(), description="as in sweep files, of each model")
    limits: LimitsConfig = Field(LimitsConfig(), description="as in sweep files; a model is a trial")

    track: TrackConfig = Field(TrackConfig(), description="as in sweep files; a model is a run")

    crosseval: CrossevalConfig = CrossevalConfig()
    probes: dict[str, ProbeConfig] = Field({}, description="name -> probe")

    @model_serializer(mode="wrap")
    def _as_read(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what may not be given, so that a written file reads back."""
        left_out = {"tokenizer"} if self.model.encoder is not None else set()
        return {key: value for key, value in write(self).items() if key not in left_out}

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_seeds(cls, seeds: Any) -> Any:
        return as_seeds(seeds)

    @model_validator(mode="after")
    def _every_model_is_kept(self) -> PretrainingConfig:
        if self.limits.disk_gb is not None:
            raise ValueError(
                f"limits.disk_gb: must be left out, every model is kept, got {self.limits.disk_gb:g}; "
                "`pretrain.checkpoints` says how many checkpoints are"
            )
        if self.pretrain.length.hours is not None and self.resources.workers_per_trial > 1:
            raise ValueError(
                "pretrain.length.hours: must be left out with resources.workers_per_trial "
                f"{self.resources.workers_per_trial}, whose steps are not timed before; give steps, epochs or tokens, "
                f"got {self.pretrain.length.hours:g}"
            )
        return self

    @model_validator(mode="after")
    def _models_have_folders(self) -> PretrainingConfig:
        for name in self.corpora:
            if not _FOLDER_NAME.fullmatch(name):
                raise ValueError(f"corpora: names must be letters, digits, '.', '_' and '-', got '{name}'")
        if self.model.encoder is not None and "tokenizer" in self.model_fields_set:
            raise ValueError("tokenizer: must be left out beside `model.encoder`, which has its own, got a value")
        return self

    @model_validator(mode="after")
    def _parts_are_there(self) -> PretrainingConfig:
        for number, part in enumerate(self.tokenizer.of or ()):
            if part not in self.corpora:
                raise ValueError(
                    f"tokenizer.of: must name corpora of this file, got '{part}' in place {number + 1}"
                    f"{suggest(part, self.corpora)}"
                )
        for part in self.crosseval.of or ():
            if part not in self.corpora:
                raise ValueError(
                    f"crosseval.of: must name corpora of this file, got '{part}'{suggest(part, self.corpora)}"
                )
        for name, domain in self.crosseval.domains.items():
            if domain not in self.corpora:
                raise ValueError(
                    f"crosseval.domains.{name}: must name a corpus of this file, got '{domain}'"
                    f"{suggest(domain, self.corpora)}"
                )
        for name, corpus in self.corpora.items():
            for number, part in enumerate(corpus.of or ()):
                if part not in self.corpora:
                    others = [other for other in self.corpora if other != name]
                    raise ValueError(
                        f"corpora.{name}.of: must name corpora of this file, got '{part}' in place {number + 1}"
                        f"{suggest(part, others)}"
                    )
        circle = _circle({name: corpus.of or () for name, corpus in self.corpora.items()})
        if circle:
            raise ValueError(f"corpora.{circle[0]}.of: must not lead back to itself, got {' -> '.join(circle)}")
        return self


PretrainingSource = str | Path | Mapping[str, Any] | PretrainingConfig
"""What the commands can be given: the path of a pretraining file, its content as a mapping, or a configuration."""


def load_pretraining(source: PretrainingSource, overrides: Overrides = ()) -> PretrainingConfig:
    """Return a validated pretraining file.

    Args:
        source: a YAML file, a mapping like it, or a configuration.
        overrides: as of `load_config`.

    Raises:
        ConfigError: the file cannot be read, or a key is wrong; the message starts with its dotted path.
    """
    if isinstance(source, PretrainingConfig):
        if not overrides:
            return source
        document: dict[str, Any] = source.model_dump(mode="json", exclude_unset=True)
    else:
        document = dict(source) if isinstance(source, Mapping) else read_yaml(source)
        _refuse_sweep(document, "the file" if isinstance(source, Mapping) else str(source))
    if isinstance(document.get("corpora"), Mapping):  # or no override could lead into one
        document["corpora"] = {
            name: {CorpusConfig.stands_for: corpus} if isinstance(corpus, (str, os.PathLike)) else corpus
            for name, corpus in document["corpora"].items()
        }
    config = validate_model(PretrainingConfig, apply_overrides(document, overrides))
    problems = [f"probes.{name}.{line}" for name, probe in config.probes.items() for line in probe.problems()]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _refuse_sweep(document: Mapping[str, Any], label: str) -> None:
    """Refuse a mapping with a section that only sweep files have."""
    own = PretrainingConfig.model_fields
    foreign = next((key for key in RaybertConfig.model_fields if key in document and key not in own), None)
    if foreign is None:
        return
    if "corpora" in document:
        raise ConfigError(f"{foreign}: must be left out of a pretraining file (one with `corpora`): it is of sweeps")
    raise ConfigError(
        f"{label}: must be a pretraining file (`corpora`), got a sweep file (it has `{foreign}`); `raybert sweep` "
        "takes it"
    )


def _circle(parts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the names along which a mix leads back to itself, or none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for part in parts[name]:
            if found := walk(part, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in parts if (found := walk(name, []))), [])
