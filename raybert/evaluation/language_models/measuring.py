"""What documents cost models: measured once, and kept by what decides it, so that a second call goes on from there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.config.crosseval import CrossevalConfig
from raybert.errors import ModelError
from raybert.files import content_key, save_arrays
from raybert.models.encoder import fingerprint_files
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.documents import Documents, fingerprint_of
from raybert.pretraining.language_model import LanguageModel, load_language_model
from raybert.pretraining.masked_words import Surprise, masked_surprise, pseudo_surprise

_FORMAT = 1
"""Raised when the same model would be measured otherwise."""


@dataclass(frozen=True)
class _Measurement:
    """What is asked of every model about a corpus.

    Attributes:
        kind: masked or pseudo.
        documents: of the corpus.
        identity: what decides the answer, beside the model.
    """

    kind: str
    documents: Documents
    identity: Mapping[str, Any]

    def of(self, model: LanguageModel, settings: CrossevalConfig) -> Surprise:
        texts = list(self.documents)
        if self.kind == "pseudo":
            return pseudo_surprise(model, texts, max_length=settings.max_length)
        return masked_surprise(
            model, texts, share=settings.mask_share, seed=settings.seed, max_length=settings.max_length
        )


@dataclass
class _Model:
    """A model that is loaded when it is needed."""

    name: str
    folder: str
    loaded: list[LanguageModel] = field(default_factory=list)

    @property
    def digest(self) -> str | None:
        """Of config, weights and tokenizer; None: it is no folder but on the hub."""
        path = Path(self.folder).expanduser()
        return fingerprint_files(path) if path.is_dir() else None

    def load(self) -> LanguageModel:
        if not self.loaded:
            self.loaded.append(load_language_model(self.folder))
        return self.loaded[0]


def measure(
    settings: CrossevalConfig,
    corpora: Mapping[str, Corpus],
    models: Mapping[str, Mapping[int, str]],
    told: Callable[[str], None],
    kept: Path | None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the table of documents, and of every model what tells its tokenizer from others.

    Args:
        settings: what is measured.
        corpora: by name.
        models: name -> seed -> folder.
        told: called with a line for every model.
        kept: folder of what was measured before; what is measured now goes there; None: nothing is kept.

    Raises:
        ModelError: a model cannot be loaded, or the seeds of one have different tokenizers.
    """
    wanted = {name: list(_measurements(corpus, settings)) for name, corpus in corpora.items()}
    parts: list[pd.DataFrame] = []
    keys: dict[str, str] = {}
    for name, seeds in models.items():
        for seed, folder in seeds.items():
            model = _Model(f"{name}, seed {seed}", folder)
            for corpus, measurements in wanted.items():
                for measurement in measurements:
                    found, key = _measured(model, measurement, settings, told, kept)
                    if keys.setdefault(name, key) != key:
                        raise ModelError(
                            f"crosseval.models.{name}: the seeds of a model must have the same tokenizer, got another "
                            f"in '{folder}'"
                        )
                    parts.append(_rows(name, seed, corpus, measurement, found))
            if not model.loaded:
                told(f"measured before: {model.name}")
    return pd.concat(parts, ignore_index=True), keys


def _measurements(corpus: Corpus, settings: CrossevalConfig) -> Iterator[_Measurement]:
    whole = corpus.split(settings.split)
    documents = whole if settings.documents is None else whole[: settings.documents]
    asked: dict[str, Any] = {"format": _FORMAT, "max_length": settings.max_length}
    masks = {"share": settings.mask_share, "seed": settings.seed}
    yield _Measurement("masked", documents, {**asked, **masks, "documents": fingerprint_of(documents)})
    if settings.pseudo_perplexity:
        few = documents[: settings.pseudo_perplexity]
        yield _Measurement("pseudo", few, {**asked, "documents": fingerprint_of(few)})


def _measured(
    model: _Model,
    measurement: _Measurement,
    settings: CrossevalConfig,
    told: Callable[[str], None],
    kept: Path | None,
) -> tuple[Surprise, str]:
    """Return what documents cost a model, and what tells its tokenizer from others."""
    digest = model.digest if kept is not None else None
    path = None
    if kept is not None and digest is not None:
        path = kept / f"{content_key({'model': digest, 'kind': measurement.kind, **measurement.identity})}.npz"
        before = _read(path)
        if before is not None:
            return before
    if not model.loaded:
        told(f"measuring {model.name}")
    loaded = model.load()
    found = measurement.of(loaded, settings)
    if path is not None:
        save_arrays(
            path,
            losses=found.losses,
            pieces=found.pieces,
            words=found.words,
            tokenizer=np.array(loaded.tokenizer_key),
        )
    return found, loaded.tokenizer_key


def _read(path: Path) -> tuple[Surprise, str] | None:
    """Return what was kept; None: nothing, or it is damaged and is measured anew."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return Surprise(found["losses"], found["pieces"], found["words"]), str(found["tokenizer"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _rows(name: str, seed: int, corpus: str, measurement: _Measurement, found: Surprise) -> pd.DataFrame:
    count, groups = len(found.words), measurement.documents.groups
    return pd.DataFrame(
        {
            "model": name,
            "seed": seed,
            "corpus": corpus,
            "kind": measurement.kind,
            "document": np.arange(count),
            "group": [None] * count if groups is None else groups.to_pylist(),
            "loss": found.losses,
            "pieces": found.pieces,
            "words": found.words,
        }
    )
