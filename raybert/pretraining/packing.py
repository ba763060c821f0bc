"""Documents become sequences of at most `max_length` word pieces: tokenized once, many short ones in one sequence.

A document that is longer than a sequence is cut into segments, each with the special pieces of its own; segments are
packed by best fit. What is in one sequence is told apart by `PackedTable.segments`: attention never crosses them.

Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", arXiv 2107.02027.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tokenizers import Encoding, Tokenizer

from raybert.data.token_store import TokenStore
from raybert.data.tokenizer import private_backend, tokenizer_facts
from raybert.errors import ConfigError, DataError
from raybert.files import json_digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BATCH = 2048
"""Documents that are handed to the tokenizer at once."""


@dataclass(frozen=True)
class Pieces:
    """The word pieces of documents, end to end, without special ones.

    Attributes:
        ids: (total,) int32.
        offsets: (d + 1,) int64, document i is ids[offsets[i]:offsets[i + 1]].
        begins_word: (total,) bool, whether a piece is the first of its word.
    """

    ids: np.ndarray
    offsets: np.ndarray
    begins_word: np.ndarray


@dataclass(frozen=True)
class PackedTable:
    """Sequences in a fixed order; rows are positions.

    Attributes:
        ids: (total,) int32, word pieces of all sequences end to end, special ones included.
        offsets: (n + 1,) int64, sequence i is ids[offsets[i]:offsets[i + 1]].
        segments: (total,) int32, which segment of its sequence a piece is in: 0, 1, 2, ...
        places: (total,) int32, the position of a piece in its segment: 0, 1, 2, ...
        documents: (total,) int32, number of the document that a piece is of.
        begins_word: (total,) bool, whether a piece is the first of its word; special ones are words.
    """

    ids: np.ndarray
    offsets: np.ndarray
    segments: np.ndarray
    places: np.ndarray
    documents: np.ndarray
    begins_word: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, word pieces per sequence."""
        return np.diff(self.offsets)

    @property
    def unit_size(self) -> int:
        """A word piece."""
        return 1

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 of zeros: sequences have no classes."""
        return np.zeros(len(self), np.int64)

    def rows(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the pieces of some sequences are in the flat arrays, and which cells of a batch they fill.

        Args:
            positions: (b,) sequences.

        Returns:
            (m,) places in the flat arrays, row by row; (b, width) bool, whether a cell is filled, padding on the right.
        """
        starts = self.offsets[positions]
        lengths = self.offsets[np.asarray(positions) + 1] - starts
        columns = np.arange(int(lengths.max(initial=1)))
        filled = columns < lengths[:, None]
        return (starts[:, None] + columns)[filled], filled

    def padding_share(self, max_length: int) -> float:
        """Return which share of sequences of exactly `max_length` would be padding."""
        return 1.0 - float(self.offsets[-1]) / (len(self) * max_length)

    def first_of_shuffled(self, most: int) -> PackedTable:
        """Return at most so many sequences, drawn by a fixed seed; all stay as they are where there are no more."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(0).permutation(len(self))[:most])
        at, _ = self.rows(rows)
        offsets = np.r_[0, np.cumsum(self.lengths[rows])].astype(np.int64)
        arrays = (self.segments, self.places, self.documents, self.begins_word)
        return PackedTable(self.ids[at], offsets, *(array[at] for array in arrays))

    @property
    def fingerprint(self) -> str:
        """Hex digest of all sequences."""
        digest = hashlib.sha256()
        for array in (self.ids, self.offsets, self.segments):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def tokenize_documents(
    documents: Sequence[str], tokenizer: PreTrainedTokenizerFast, store: TokenStore | None = None
) -> Pieces:
    """Return the word pieces of documents, whole; special ones are not among them.

    Args:
        documents: texts; a `Documents` is kept in the store by its content.
        tokenizer: a fast one.
        store: where word pieces are kept between commands; None: nowhere.

    Raises:
        ModelError: the tokenizer is not a fast one.
    """
    backend = private_backend(tokenizer)
    array = getattr(documents, "array", None)
    if store is None or array is None:
        return Pieces(**_pieces(documents, backend))
    facts = {"kind": "documents", **tokenizer_facts(backend)}
    return Pieces(**store.arrays(facts, [pa.chunked_array([array])], lambda _: [_pieces(documents, backend)]))


def pack_documents(
    pieces: Pieces, tokenizer: PreTrainedTokenizerFast, max_length: int, *, seed: int = 0, alone: bool = False
) -> PackedTable:
    """Return sequences of at most `max_length` word pieces that hold all documents with any pieces.

    Args:
        pieces: of the documents.
        tokenizer: frames each segment as it frames a text.
        max_length: word pieces of a sequence, special ones included.
        seed: of the order among segments of the same length.
        alone: every segment is a sequence of its own, for models that would mix up neighbours.

    Raises:
        ConfigError: `max_length` leaves no room beside the special pieces.
        DataError: no document has any pieces.
    """
    before, after = special_pieces(tokenizer)
    room = max_length - len(before) - len(after)
    if room < 1:
        raise ConfigError(
            f"pretrain.max_length: must be > {len(before) + len(after)} (special pieces), got {max_length}"
        )
    starts, lengths, documents = _cut(pieces.offsets, room)
    if not len(starts):
        raise DataError("corpora: must have documents with words that the tokenizer reads, got none")
    framed = lengths + len(before) + len(after)
    generator = np.random.default_rng([seed, 0x9AC4])  # a stream of its own beside those of order and masks
    sequence_of = np.arange(len(framed)) if alone else best_fit(framed, max_length, generator)
    order = np.lexsort((generator.permutation(len(framed)), sequence_of))
    starts, lengths, documents, framed = starts[order], lengths[order], documents[order], framed[order]
    sequence_of = sequence_of[order]
    ends = np.cumsum(framed)
    first_of_sequence = np.flatnonzero(np.r_[True, sequence_of[1:] != sequence_of[:-1]])
    segment = np.arange(len(framed)) - np.repeat(first_of_sequence, np.diff(np.r_[first_of_sequence, len(framed)]))
    places = np.arange(ends[-1]) - np.repeat(ends - framed, framed)
    within = places - len(before)
    is_content = (within >= 0) & (within < np.repeat(lengths, framed))
    source = np.where(is_content, np.repeat(starts, framed) + within, 0)
    ids = pieces.ids[source].astype(np.int32)
    begins = pieces.begins_word[source] | ~is_content | (within == 0)
    for number, piece in enumerate(before):
        ids[places == number] = piece
    from_end = np.repeat(framed, framed) - places
    for number, piece in enumerate(after):
        ids[from_end == len(after) - number] = piece
    return PackedTable(
        ids,
        np.r_[0, ends[np.r_[first_of_sequence[1:], len(framed)] - 1]].astype(np.int64),
        np.repeat(segment, framed).astype(np.int32),
        places.astype(np.int32),
        np.repeat(documents, framed).astype(np.int32),
        begins,
    )


def best_fit(lengths: np.ndarray, room: int, generator: np.random.Generator) -> np.ndarray:
    """Return (s,) the number of the sequence that each length goes into: the longest first, where it fits best.

    Args:
        lengths: (s,) in 1..room.
        room: of a sequence.
        generator: of the order among equal lengths, and of the sequences.
    """
    order = np.lexsort((generator.permutation(len(lengths)), -lengths))
    open_with: list[list[int]] = [[] for _ in range(room + 1)]  # room left -> sequences
    available = 0  # bit r: there is a sequence with room r left
    found = np.empty(len(lengths), np.int64)
    count = 0
    for segment, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = available >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            sequence = open_with[left].pop()
            if not open_with[left]:
                available ^= 1 << left
        else:
            left, sequence = room, count
            count += 1
        found[segment] = sequence
        open_with[left - length].append(sequence)
        available |= 1 << (left - length)
    return generator.permutation(count)[found]


def special_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return the special pieces that a tokenizer puts before and after a text."""
    encoding = private_backend(tokenizer).encode("a")
    content = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    first, last = (content[0], content[-1] + 1) if content else (1, 1)
    return list(encoding.ids[:first]), list(encoding.ids[last:])


def identity_of(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return what tells a tokenizer from all others."""
    return json_digest(tokenizer_facts(private_backend(tokenizer)))


def _pieces(documents: Iterable[str], backend: Tokenizer) -> dict[str, np.ndarray]:
    ids, lengths, begins = [], [], []
    for encodings in _encoded(documents, backend):
        rows = [encoding.ids for encoding in encodings]
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        ids.append(np.fromiter(chain.from_iterable(rows), np.int32))
        words = np.fromiter(chain.from_iterable(map(_words, encodings)), np.int64)
        firsts = np.r_[True, words[1:] != words[:-1]] if len(words) else np.empty(0, bool)
        starts = np.cumsum(lengths[-1])[:-1]
        firsts[starts[starts < len(firsts)]] = True
        begins.append(firsts)
    return {
        "ids": np.concatenate([np.empty(0, np.int32), *ids]),
        "offsets": np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))]).astype(np.int64),
        "begins_word": np.concatenate([np.empty(0, bool), *begins]),
    }


def _encoded(documents: Iterable[str], backend: Tokenizer) -> Iterator[list[Encoding]]:
    texts = iter(documents)
    while batch := list(islice(texts, _BATCH)):
        yield backend.encode_batch(batch, add_special_tokens=False)


def _words(encoding: Encoding) -> list[Any]:
    """Return the number of the word of every piece; pieces without one are words of their own."""
    return [-1 - place if word is None else word for place, word in enumerate(encoding.word_ids)]


def _cut(offsets: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, length and document of every segment: whole rooms, and what is left."""
    sizes = np.diff(offsets)
    counts = -(-sizes // room)  # 0 of an empty document
    documents = np.repeat(np.arange(len(sizes)), counts)
    number = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = offsets[:-1][documents] + number * room
    lengths = np.minimum(room, offsets[1:][documents] - starts)
    return starts, lengths, documents
