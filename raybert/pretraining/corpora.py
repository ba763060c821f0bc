"""The corpora of a pretraining file: read, cut, mixed and brought to equal words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybert.config.pretraining import PretrainingConfig
from raybert.data.identity import normal_forms
from raybert.files import cache_folder as default_cache_folder
from raybert.pretraining.corpus_sources import SPLITS, SourceDocuments, read_documents
from raybert.pretraining.documents import Documents, fingerprint_of, joined, keys_of

_PART = 65_536


@dataclass(frozen=True)
class Corpus:
    """Documents of one kind of language, in three splits.

    Attributes:
        name: its key in the file.
        train: what models are trained on.
        validation: what they are stopped and compared on while they are trained.
        test: what they are measured on afterwards.
        fingerprint: SHA-256 of all three in their order.
        notes: what a user should know: copies in two splits or two corpora, blank documents.
        parts: corpora that it is mixed of; none: it has a source.
    """

    name: str
    train: Documents
    validation: Documents
    test: Documents
    fingerprint: str
    notes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def split(self, name: str) -> Documents:
        """Return train, validation or test."""
        found: Documents = getattr(self, name)
        return found

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> its `documents` and `words`."""
        splits = {name: self.split(name) for name in SPLITS}
        return {name: {"documents": len(found), "words": found.num_words} for name, found in splits.items()}


def read_corpora(config: PretrainingConfig, cache_folder: Path | None = None) -> dict[str, Corpus]:
    """Return the corpora of a file by name, in its order.

    Documents stand in a random order that depends on their content and `split_seed` alone: a reordered file is the
    same corpus. To have fewer words a corpus keeps its first documents, a mix as many words of every part.

    Args:
        config: the file.
        cache_folder: where the parsed built-in corpus is kept; default: raybert's own.

    Raises:
        DataError: a source cannot be read, or has nothing in it; the message starts with the key in `corpora`.
    """
    folder = default_cache_folder() if cache_folder is None else cache_folder
    is_plain = config.form == "plain"
    sources = {
        name: read_documents(name, corpus, folder, is_plain=is_plain)
        for name, corpus in config.corpora.items()
        if corpus.of is None
    }
    mixing = _Mixing(config, sources)
    limit = min(mixing.num_words(name, "train") for name in config.corpora) if config.words == "equal" else None
    splits = {
        name: {split: mixing.documents(name, split, limit if split == "train" else None) for split in SPLITS}
        for name in config.corpora
    }
    notes = _notes_on_copies(splits, {name: config.corpora[name].of is None for name in splits})
    return {
        name: Corpus(
            name,
            **found,
            fingerprint=fingerprint_of(*(found[split] for split in SPLITS)),
            notes=(*(sources[name].notes if name in sources else ()), *notes[name]),
            parts=config.corpora[name].of or (),
        )
        for name, found in splits.items()
    }


@dataclass(frozen=True)
class _Mixing:
    """How the documents of every corpus come from those of the sources."""

    config: PretrainingConfig
    sources: Mapping[str, SourceDocuments]

    def num_words(self, name: str, split: str) -> int:
        return self.documents(name, split).num_words

    def documents(self, name: str, split: str, limit: int | None = None) -> Documents:
        """Return a split of a corpus, at most (and as nearly as whole documents allow) so many words of it."""
        corpus = self.config.corpora[name]
        own = corpus.train_words if split == "train" else None
        limit = min((one for one in (limit, own) if one is not None), default=None)
        if corpus.of is None:
            whole = self.sources[name].splits[split]
            return whole if limit is None else whole.first_words(limit)
        if corpus.words == "equal":
            share = min(self.num_words(part, split) for part in corpus.of)
            if limit is not None:
                share = min(share, limit // len(corpus.of))
            parts = [self.documents(part, split, share) for part in corpus.of]
            return joined(parts).shuffled(corpus.split_seed, "mix")
        mixed = joined([self.documents(part, split) for part in corpus.of]).shuffled(corpus.split_seed, "mix")
        return mixed if limit is None else mixed.first_words(limit)


def _notes_on_copies(
    splits: Mapping[str, Mapping[str, Documents]], is_source: Mapping[str, bool]
) -> dict[str, list[str]]:
    """Return of every corpus notes about documents of validation and test that are in somebody's train.

    A mix has the copies of its parts; they are counted where they are.
    """
    keys = {name: {split: _keys(found) for split, found in of_name.items()} for name, of_name in splits.items()}
    notes: dict[str, list[str]] = {name: [] for name in splits}
    for name in (name for name in splits if is_source[name]):
        for split in ("validation", "test"):
            for other in (other for other in splits if is_source[other]):
                own = keys[name][split]
                num_copies = int(np.isin(own, keys[other]["train"]).sum())
                if num_copies:
                    where = "train" if other == name else f"train of {other}"
                    notes[name].append(
                        f"{name}: {split}: {num_copies:,} of {len(own):,} documents have a text that is also in {where}"
                    )
    return notes


def _keys(documents: Documents) -> np.ndarray:
    """Return (n,) uint64: equal ones are copies after NFKC, lower case and single spaces."""
    parts = [documents.array[start : start + _PART] for start in range(0, len(documents), _PART)]
    found = [keys_of(normal_forms(pa.table({"text": part}))) for part in parts]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)
