"""How surprised a masked language model is by documents: the same words masked for every model, or every piece alone.

Words are runs of characters without white space. A word is masked as a whole: each of its pieces becomes [MASK]. Which
words are is drawn from the seed and the text of the document alone, so that models with other tokenizers are asked for
the same words. What is measured of a document is the sum of -log p (in nat) over the masked pieces, how many pieces
that are, and of how many words: perplexity per piece compares models with one tokenizer, perplexity per word all.

A document that is longer than a model reads is read in parts, cut before words where that is possible.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raybert.pretraining.language_model import LanguageModel, MaskedSequence

_WORD = re.compile(r"\S+")
_BATCH = 256


@dataclass(frozen=True)
class Surprise:
    """What documents cost a model.

    Attributes:
        losses: (n,) float64, sum of -log p over the pieces asked for, in nat.
        pieces: (n,) int64, how many they are.
        words: (n,) int64, how many words they are of.
    """

    losses: np.ndarray
    pieces: np.ndarray
    words: np.ndarray


def masked_surprise(
    model: LanguageModel, documents: Sequence[str], *, share: float, seed: int, max_length: int
) -> Surprise:
    """Return what masked words cost a model, in one reading of each document.

    Args:
        model: that is asked.
        documents: n texts.
        share: probability of a word to be masked.
        seed: of the draws.
        max_length: most pieces read at once, special ones included.
    """
    owners: list[int] = []
    words = np.zeros(len(documents), np.int64)

    def sequences() -> Iterator[MaskedSequence]:
        for number, ids, word_of in _cut(model, documents):
            is_masked = np.r_[drawn_words(documents[number], share, seed), False][word_of]  # -1: of no word
            words[number] = len(np.unique(word_of[is_masked]))
            for part in parts_of(word_of, model, max_length):
                if is_masked[part].any():
                    owners.append(number)
                    yield _masked(model, ids[part], is_masked[part])

    return _summed(model.log_probabilities(sequences()), owners, words)


def pseudo_surprise(model: LanguageModel, documents: Sequence[str], *, max_length: int) -> Surprise:
    """Return what every piece costs a model that reads all others: as many readings as pieces.

    Only the beginning of a longer document is measured, as much as is read at once.

    Args:
        model: that is asked.
        documents: n texts.
        max_length: most pieces read at once, special ones included.

    Source: Salazar et al. 2020, "Masked Language Model Scoring", arXiv 1910.14659, equation 2 and section 2.2 (the
    pseudo-perplexity of a corpus).
    """
    owners: list[int] = []
    words = np.zeros(len(documents), np.int64)

    def sequences() -> Iterator[MaskedSequence]:
        for number, ids, word_of in _cut(model, documents):
            part = next(iter(parts_of(word_of, model, max_length)))
            asked = np.flatnonzero(word_of[part] >= 0)
            words[number] = len(np.unique(word_of[part][asked]))
            for place in asked:
                owners.append(number)
                yield _masked(model, ids[part], np.arange(len(ids[part])) == place)

    return _summed(model.log_probabilities(sequences()), owners, words)


def drawn_words(text: str, share: float, seed: int) -> np.ndarray:
    """Return (words,) bool: which words of a text are masked, whatever the tokenizer."""
    key = hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(key, "<u8")))
    return generator.random(len(text.split())) < share


def parts_of(word_of: np.ndarray, model: LanguageModel, max_length: int) -> Iterator[slice]:
    """Yield the parts in which a document is read: as long as possible, cut where a word begins if there is one.

    Args:
        word_of: (m,) number of the word that each piece is of; -1: of none.
        model: that reads.
        max_length: most pieces, special ones included.
    """
    room = min(max_length, model.longest) - len(model.framed([])[0])
    begins = np.r_[True, word_of[1:] != word_of[:-1]]
    start = 0
    while start < len(word_of):
        end = min(start + room, len(word_of))
        if end < len(word_of) and (inside := np.flatnonzero(begins[start + 1 : end + 1])).size:
            end = start + 1 + int(inside[-1])
        yield slice(start, end)
        start = end


def _cut(model: LanguageModel, documents: Sequence[str]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield of every document that has pieces its number, (m,) pieces, and (m,) the word that each is of."""
    for start in range(0, len(documents), _BATCH):
        texts = list(documents[start : start + _BATCH])
        cut = model.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for number, (text, ids, offsets) in enumerate(
            zip(texts, cut["input_ids"], cut["offset_mapping"], strict=True), start
        ):
            if ids:
                yield number, np.array(ids, np.int64), words_of_pieces(text, offsets)


def words_of_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return (m,) the number of the word that each piece ends in; -1: it is blank, or stands for no character."""
    of_character = np.full(len(text) + 1, -1, np.int64)
    for number, word in enumerate(_WORD.finditer(text)):
        of_character[word.start() : word.end()] = number
    return np.array([of_character[end - 1] if end > start else -1 for start, end in offsets], np.int64)


def _masked(model: LanguageModel, ids: np.ndarray, is_masked: np.ndarray) -> MaskedSequence:
    read = np.where(is_masked, model.tokenizer.mask_token_id, ids)
    framed, begin = model.framed(read.tolist())
    return MaskedSequence(np.array(framed, np.int64), begin + np.flatnonzero(is_masked), ids[is_masked])


def _summed(answers: Sequence[np.ndarray], owners: Sequence[int], words: np.ndarray) -> Surprise:
    losses, pieces = np.zeros(len(words)), np.zeros(len(words), np.int64)
    for owner, answer in zip(owners, answers, strict=True):
        losses[owner] -= answer.sum()
        pieces[owner] += len(answer)
    return Surprise(losses, pieces, words)
