"""The tokenizer of a pretraining file: trained on its corpora or taken as it is, kept in its folder, and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raybert.config.pretraining import PretrainingConfig
from raybert.config.tokenizer import TokenizerConfig
from raybert.data.tokenizer import private_backend
from raybert.durable import atomic_folder, make_folder
from raybert.errors import ConfigError, ModelError
from raybert.files import content_key, read_json, write_json
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.corpus_sources import SPLITS
from raybert.pretraining.documents import Documents, fingerprint_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_MARK = "trained_on.json"
_BATCH = 1024
_LONGEST = 8192
"""Most pieces of a text that the tokenizer says it is for; a model's own limit is in its configuration."""


@dataclass(frozen=True)
class KeptTokenizer:
    """A tokenizer, and where it is.

    Attributes:
        tokenizer: a fast one of `transformers`.
        folder: from which `AutoTokenizer.from_pretrained` loads it.
        is_new: whether it has been trained just now.
        of: corpora that it was trained on; none: it was there.
    """

    tokenizer: PreTrainedTokenizerFast
    folder: Path
    is_new: bool
    of: tuple[str, ...]


@dataclass(frozen=True)
class MeasuredTokenizer:
    """A tokenizer, and how it cuts every corpus.

    Attributes:
        folder: from which `AutoTokenizer.from_pretrained` loads it.
        kind: wordpiece, byte_bpe, or given: it was there.
        vocabulary: pieces, special ones included.
        is_new: whether it has been trained just now.
        trained_on: corpora; none: it was there.
        cuts: a row per corpus and split.
        notes: what a user should know of the corpora.
    """

    folder: Path
    kind: str
    vocabulary: int
    is_new: bool
    trained_on: tuple[str, ...]
    cuts: pd.DataFrame
    notes: tuple[str, ...]


def prepare_tokenizer(config: PretrainingConfig, corpora: Mapping[str, Corpus], folder: Path) -> KeptTokenizer:
    """Return the tokenizer of a file; the same settings and texts take the one that is in the folder already.

    Args:
        config: the file.
        corpora: of it.
        folder: where a trained one is kept.

    Raises:
        ModelError: the folder that the file names has no fast tokenizer.
        ConfigError: `folder` holds something else.
    """
    section = config.tokenizer
    if section.folder is not None:
        path = Path(section.folder).expanduser()
        return KeptTokenizer(load_tokenizer(path), path, False, ())
    of = section.of or tuple(name for name, corpus in corpora.items() if not corpus.parts)
    trained_on = {"settings": section.identity(), "corpora": sorted(fingerprint_of(corpora[n].train) for n in of)}
    facts = {"key": content_key(trained_on), **trained_on}
    known = read_json(folder / _MARK)
    if known is not None and known.get("key") == facts["key"]:
        return KeptTokenizer(load_tokenizer(folder), folder, False, of)
    if known is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"output: must be a new folder, or one of a tokenizer that raybert trained, got '{folder}'")
    trained = train(section, [corpora[name].train for name in of])
    make_folder(folder.parent)
    with atomic_folder(folder) as fresh:
        trained.save_pretrained(fresh)
        write_json(fresh / _MARK, facts)
    return KeptTokenizer(load_tokenizer(folder), folder, True, of)


def train(config: TokenizerConfig, documents: Sequence[Documents]) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on documents, whose order does not matter."""
    from raybert.models.trained_tokenizer import train_byte_bpe, train_wordpiece

    texts: Iterator[str] = (text for part in documents for text in part)
    make = train_wordpiece if config.kind == "wordpiece" else train_byte_bpe
    return make(
        texts,
        config.vocabulary,
        lowercase=config.is_lowercase,
        min_frequency=config.min_frequency,
        special=config.special,
        max_length=_LONGEST,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the fast tokenizer in a folder.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not folder.is_dir():
        raise ModelError(f"tokenizer.folder: must be a folder with a tokenizer, got '{folder}', which is none")
    try:
        found = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"tokenizer.folder: '{folder}' has no tokenizer that can be loaded: {reason}") from None
    if not isinstance(found, PreTrainedTokenizerFast):
        raise ModelError(f"tokenizer.folder: '{folder}' must have a fast tokenizer (tokenizer.json), got a slow one")
    return found


def measure_tokenizer(tokenizer: PreTrainedTokenizerFast, corpora: Mapping[str, Corpus]) -> pd.DataFrame:
    """Return how a tokenizer cuts every corpus: a row per corpus and split.

    Columns: corpus, split, documents, words, pieces (special ones of models left out), pieces_per_word (fertility),
    unknown_fraction (of the pieces), one_piece_fraction (of all words, each cut alone behind a blank).
    """
    backend, unknown_id = private_backend(tokenizer), -1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    rows = []
    one_piece: dict[str, bool] = {}
    for name, corpus in corpora.items():
        for split in SPLITS:
            documents = corpus.split(split)
            pieces, unknown = _count_pieces(backend, unknown_id, documents)
            words = documents.num_words
            rows.append(
                {
                    "corpus": name,
                    "split": split,
                    "documents": len(documents),
                    "words": words,
                    "pieces": pieces,
                    "pieces_per_word": pieces / words,
                    "unknown_fraction": unknown / pieces if pieces else 0.0,
                    "one_piece_fraction": _count_in_one_piece(backend, unknown_id, documents, one_piece) / words,
                }
            )
    return pd.DataFrame(rows)


def _count_pieces(backend: Tokenizer, unknown_id: int, documents: Documents) -> tuple[int, int]:
    """Return pieces, and those of them that are unknown."""
    pieces = unknown = 0
    for start in range(0, len(documents), _BATCH):
        batch = list(documents[start : start + _BATCH])
        for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
            ids = encoding.ids
            pieces += len(ids)
            unknown += ids.count(unknown_id)
    return pieces, unknown


def _count_in_one_piece(backend: Tokenizer, unknown_id: int, documents: Documents, known: dict[str, bool]) -> int:
    words: Counter[str] = Counter()
    for text in documents:
        words.update(text.split())
    new = [word for word in words if word not in known]
    for start in range(0, len(new), _BATCH):
        batch = new[start : start + _BATCH]
        cut = backend.encode_batch_fast([f" {word}" for word in batch], add_special_tokens=False)
        for word, encoding in zip(batch, cut, strict=True):
            known[word] = len(encoding.ids) == 1 and encoding.ids[0] != unknown_id
    return sum(count for word, count in words.items() if known[word])
