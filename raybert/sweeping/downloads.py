"""What a sweep file needs from the hub: fetched, or found on this machine, by the code that a sweep loads it with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from huggingface_hub import constants

from raybert.config import DataConfig, ModelConfig, RaybertConfig
from raybert.config.encoder_pretraining import SweepCorpusConfig
from raybert.data.arrow_files import tables_of_datasets
from raybert.data.hub import load_hub
from raybert.data.kinds import BUILT_IN, columns_of, source_kind
from raybert.errors import ExitCode, RaybertError
from raybert.files import cache_folder
from raybert.models import resolve_encoder
from raybert.models.embedded import BUILT_IN_ENCODERS
from raybert.models.hub import cached_bytes
from raybert.pretraining.prose import PROSE
from raybert.sweeping.plan.design import Design

Status = Literal["built-in", "local", "found", "fetched", "missing"]


@dataclass(frozen=True)
class Download:
    """A data set or a model that a sweep file names.

    Attributes:
        key: of the sweep file, which names it.
        name: as in the file; a data set of several configurations with its own.
        status: built-in, local (a path), found (in the hub's cache), fetched, or missing.
        size_bytes: of its files; None: it has none, or they are not there.
        place: where they are.
        problem: why it is missing, in a line.
    """

    key: str
    name: str
    status: Status
    size_bytes: int | None = None
    place: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Downloads:
    """What `raybert download` did.

    Attributes:
        items: of every data set and model that the file names.
    """

    items: tuple[Download, ...]

    @property
    def missing(self) -> tuple[Download, ...]:
        """What is not on this machine."""
        return tuple(item for item in self.items if item.status == "missing")

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        if not self.missing:
            return ExitCode.DONE
        return ExitCode.FAILED if len(self.missing) == len(self.items) else ExitCode.SOME_FAILED

    @property
    def remedy(self) -> str:
        """What may be done about what is missing."""
        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE=1 is set, so the hub was not asked: unset it for this command"
        return "the same command tries again, and fetches only what is not there"

    @property
    def table(self) -> pd.DataFrame:
        """A row for each item."""
        return pd.DataFrame([asdict(item) for item in self.items])


def fetch_all(design: Design, told: Callable[[Download], None]) -> Downloads:
    """Fetch everything that a design names and that is not on this machine.

    Args:
        design: the sweep file, expanded.
        told: of each item, once its end is known.
    """
    items = []
    configs = [variant.config for variant in design.variants]
    data = {(config.data.source, config.data.config, config.data.revision): config.data for config in configs}
    wanted: list[Callable[[], Download]] = [lambda one=one: _fetch_data(one) for one in data.values()]  # type: ignore[misc]
    elsewhere = {
        (name, one.source, one.config, one.revision): config.data.of_extra_test(name)
        for config in configs
        for name, one in config.data.extra_tests.items()
    }
    wanted += [
        lambda name=name, one=one: _fetch_data(one, f"data.extra_tests.{name}.source")  # type: ignore[misc]
        for (name, *_), one in elsewhere.items()
    ]
    corpora = {
        config.pretrain.corpus.model_dump_json(): config.pretrain.corpus for config in configs if config.pretrain
    }
    wanted += [lambda one=one: _fetch_corpus(one) for one in corpora.values() if not one.is_pool]  # type: ignore[misc]
    wanted += [lambda key=key, one=one: _fetch_model(key, one) for key, one in _models_of(configs)]  # type: ignore[misc]
    for fetch in wanted:
        items.append(fetch())
        told(items[-1])
    return Downloads(tuple(items))


def _models_of(configs: Iterable[RaybertConfig]) -> list[tuple[str, ModelConfig]]:
    """Return every model that configurations name, with the key that names it; each once."""
    found: dict[tuple[str, str | None, bool], tuple[str, ModelConfig]] = {}
    for config in configs:
        perplexity = config.selection.scorers.perplexity
        named = [("model.encoder", config.model)]
        if perplexity.model is not None:
            other = ModelConfig(encoder=perplexity.model, revision=perplexity.revision)
            named.append(("selection.scorers.perplexity.model", other))
        for key, model in named:
            found.setdefault((model.encoder, model.revision, model.trust_remote_code), (key, model))
    return list(found.values())


def _fetch_model(key: str, config: ModelConfig) -> Download:
    name = config.encoder
    if name in BUILT_IN_ENCODERS:
        return Download(key, name, "built-in")
    before = cached_bytes(name)
    try:
        encoder = resolve_encoder(config, (), cache_folder(), key)
    except RaybertError as error:
        return _missing(key, name, error)
    status: Status = "fetched" if cached_bytes(name) > before else "found"
    size = sum(path.stat().st_size for path in encoder.path.rglob("*") if path.is_file())
    return Download(key, name, status if encoder.is_of_hub else "local", size, str(encoder.path))


def _fetch_data(config: DataConfig, key: str = "data.source") -> Download:
    name = config.source + (f" ({config.config})" if config.config else "")
    kind = source_kind(config.source)
    if kind == "built-in":
        return Download(key, name, "built-in")
    if kind == "local":
        return _local(key, Path(config.source).expanduser())
    before, began = cached_bytes(config.source, "datasets"), time.time()
    try:
        parts = load_hub(config, BUILT_IN)
        tables_of_datasets(parts, columns_of(config), (), f"hub dataset '{config.source}'")
    except RaybertError as error:
        return _missing(key, name, error)
    files = [Path(entry["filename"]) for part in parts.values() for entry in part.cache_files]
    is_new = cached_bytes(config.source, "datasets") > before or any(path.stat().st_mtime >= began for path in files)
    size, place = sum(path.stat().st_size for path in files), str(files[0].parent) if files else ""
    return Download(key, name, "fetched" if is_new else "found", size, place)


def _fetch_corpus(corpus: SweepCorpusConfig) -> Download:
    """Fetch what an encoder is pretrained on, without its labels."""
    key, name = "pretrain.corpus.source", corpus.source
    kind = source_kind(name)
    path = Path(name).expanduser()
    if kind == "local" or path.exists():
        return _local(key, path)
    if kind == "built-in" or name == PROSE:
        return Download(key, name, "built-in")
    before = cached_bytes(name, "datasets")
    try:
        parts = load_hub(corpus.as_corpus().as_data(), BUILT_IN)
    except RaybertError as error:
        return _missing(key, name, error)
    files = [Path(entry["filename"]) for part in parts.values() for entry in part.cache_files]
    status: Status = "fetched" if cached_bytes(name, "datasets") > before else "found"
    return Download(
        key, name, status, sum(file.stat().st_size for file in files), str(files[0].parent) if files else ""
    )


def _local(key: str, path: Path) -> Download:
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return Download(key, str(path), "local", sum(file.stat().st_size for file in files), str(path.resolve()))


def _missing(key: str, name: str, error: RaybertError) -> Download:
    """Return what is not there, with what its error says after naming it."""
    line = str(error).splitlines()[0]
    for head in (f"{key}: hub dataset '{name}' ", f"{key}: '{name}' ", f"{key}: {name}: ", f"{key}: "):
        if line.startswith(head):
            line = line.removeprefix(head)
            break
    return Download(key, name, "missing", problem=line)
