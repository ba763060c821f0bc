"""Chunks: documents cut into overlapping windows of word pieces, and the table of their embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Encoding, Tokenizer

from raybert.data.cut_texts import batches_of
from raybert.data.token_store import TokenStore
from raybert.data.tokenizer import private_backend, tokenizer_facts
from raybert.data.tokens import TokenTable
from raybert.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_FEW_CHUNKS = 4
_SENTENCE_END = re.compile(
    r"""
    [.!?\u2026\u061f\u06d4\u0964]+ ["'\u2019\u201d\u00bb)\]}]* (?=\s|<|$)  # a stop, closing marks, then space
    | [\u3002\uff01\uff1f\uff61]+ [\u300d\u300f\u2019\u201d\u300b\uff09\u3011]*  # CJK: no space follows
    | \n\s*\n  # an empty line
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class ChunkSettings:
    """How documents are cut.

    Attributes:
        chunk_tokens: word pieces of a window, special ones not counted.
        stride: word pieces from the start of a window to the start of the next.
        max_chunks: of a document; of more, an even subsample is kept.
    """

    chunk_tokens: int = 128
    stride: int = 96
    max_chunks: int = 512


@dataclass(frozen=True)
class ChunkedTexts:
    """The chunks of all documents end to end, ready for the encoder.

    Attributes:
        table: word pieces of every chunk, special ones included; its rows are chunks, its labels mean nothing.
        document_offsets: (n + 1,) int64, document i has the chunks document_offsets[i]..document_offsets[i + 1] - 1.
        spans: (chunks, 2) int64, where in its document's text every chunk begins and ends, in characters.
        num_subsampled: documents of which not all chunks were kept.
    """

    table: TokenTable
    document_offsets: np.ndarray
    spans: np.ndarray
    num_subsampled: int


@dataclass(frozen=True)
class ChunkTable:
    """The documents of one split as embeddings of their chunks; rows are positions, as in a `TokenTable`.

    The arrays may be read-only and memory-mapped: a batch reads its own rows only.

    Attributes:
        vectors: (chunks, d) float32, unit rows, all documents end to end.
        offsets: (n + 1,) int64, document i is vectors[offsets[i]:offsets[i + 1]]; none is empty.
        labels: (n,) int64, class numbers 0..C-1.
        companions: (n, d) float32 embeddings of the first texts, if the examples are pairs.
    """

    vectors: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    companions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, chunks per document."""
        return np.diff(self.offsets)

    @property
    def unit_size(self) -> int:
        """A chunk's vector and what queries gather of it take the memory of about four word pieces."""
        return 4

    def take(self, positions: np.ndarray) -> ChunkTable:
        """Return the table of these documents, in this order."""
        lengths = self.lengths[positions]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[positions] - offsets[:-1], lengths)
        companions = None if self.companions is None else self.companions[positions]
        return ChunkTable(self.vectors[rows], offsets, self.labels[positions], companions)

    def collate(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the inputs of an IRIS classifier for some documents, padded to the one with most chunks.

        Args:
            positions: (b,) rows, in the order wanted.

        Returns:
            chunks (b, m, d) float32, 0 where there is none; chunk_mask (b, m) bool; [companions (b, d) float32];
            labels (b,) int64. Everything is copied.
        """
        lengths = self.lengths[positions]
        mask = np.arange(lengths.max(initial=1)) < lengths[:, None]  # (b, m)
        chunks = np.zeros((*mask.shape, self.vectors.shape[1]), np.float32)
        for row, (start, length) in enumerate(zip(self.offsets[positions], lengths, strict=True)):
            chunks[row, :length] = self.vectors[start : start + length]
        batch = {"chunks": chunks, "chunk_mask": mask, "labels": self.labels[positions].astype(np.int64)}
        if self.companions is not None:
            batch["companions"] = self.companions[positions].astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def mean_vectors(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (b, d) float32, the mean of every document's chunks: its embedding as a whole.

        Args:
            positions: (b,) rows, in the order wanted; default: all.
        """
        rows = range(len(self)) if positions is None else positions
        means = [self.vectors[self.offsets[i] : self.offsets[i + 1]].mean(axis=0) for i in rows]
        return np.stack(means).astype(np.float32)


def chunk_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, settings: ChunkSettings) -> ChunkedTexts:
    """Return the chunks of documents: windows of word pieces, each between the tokenizer's special ones.

    Args:
        texts: the documents; an empty one is one chunk without word pieces of its own.
        tokenizer: a fast one; its Rust threads tokenize in parallel.
        settings: how to cut.

    Raises:
        ModelError: the tokenizer is not a fast one, or has no padding piece.
    """
    backend = private_backend(tokenizer)
    before, after = _special_pieces(backend)
    ids: list[np.ndarray] = []
    spans: list[np.ndarray] = []
    counts: list[int] = []
    num_subsampled = 0
    for text, encoding in zip(texts, _encode(texts, backend), strict=True):
        pieces = np.array(encoding.ids, np.int32)
        characters = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        windows = chunk_spans(len(pieces), sentence_cuts(text, characters), settings)
        kept = _subsample(windows, settings.max_chunks)
        num_subsampled += len(kept) < len(windows)
        ids += [np.concatenate([before, pieces[start:end], after]) for start, end in kept]
        spans.append(_character_spans(characters, kept))
        counts.append(len(kept))
    lengths = np.array([len(row) for row in ids], np.int64)
    return ChunkedTexts(
        table=TokenTable(
            ids=np.concatenate(ids) if ids else np.empty(0, np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            second_starts=lengths.astype(np.int32),
            labels=np.zeros(len(ids), np.int64),
        ),
        document_offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        spans=np.concatenate(spans) if spans else np.empty((0, 2), np.int64),
        num_subsampled=num_subsampled,
    )


def chunk_column(
    column: pa.ChunkedArray, tokenizer: PreTrainedTokenizerFast, settings: ChunkSettings, store: TokenStore | None
) -> ChunkedTexts:
    """Return the chunks of a column of documents, as `chunk_texts` makes them.

    Args:
        column: of texts.
        tokenizer: a fast one.
        settings: how to cut.
        store: where the chunks of these texts may be kept already, and are kept for another time.

    Raises:
        ModelError: as `chunk_texts`.
    """
    if store is None:
        return chunk_texts(column.to_pylist(), tokenizer, settings)
    facts = {"kind": "chunks", **tokenizer_facts(private_backend(tokenizer)), **vars(settings)}
    arrays = store.arrays(facts, [column], lambda _: [_as_arrays(chunk_texts(column.to_pylist(), tokenizer, settings))])
    lengths = np.diff(arrays["offsets"])
    table = TokenTable(arrays["ids"], arrays["offsets"], lengths.astype(np.int32), np.zeros(len(lengths), np.int64))
    return ChunkedTexts(table, arrays["document_offsets"], arrays["spans"], int(arrays["num_subsampled"]))


def _as_arrays(chunks: ChunkedTexts) -> dict[str, np.ndarray]:
    return {
        "ids": chunks.table.ids,
        "offsets": chunks.table.offsets,
        "document_offsets": chunks.document_offsets,
        "spans": chunks.spans,
        "num_subsampled": np.array(chunks.num_subsampled),
    }


def chunk_spans(num_pieces: int, cuts: np.ndarray, settings: ChunkSettings) -> np.ndarray:
    """Return (windows, 2) int64: where windows over a document begin and end, all of them, in word pieces.

    A window that does not reach the end of the document is shortened, by at most a quarter, to the last sentence end
    there is. The next one begins `stride` after its start, or where it ends if that is earlier, so that every word
    piece is in a window. A document that fits into one window is one.

    Args:
        num_pieces: of the document, special ones not counted.
        cuts: sorted numbers of word pieces after which a sentence is over, see `sentence_cuts`.
        settings: `chunk_tokens` and `stride`.
    """
    size, stride = settings.chunk_tokens, settings.stride
    windows: list[tuple[int, int]] = []
    start = end = 0
    while not windows or end < num_pieces:
        start = min(start + stride, end) if windows else 0
        end = min(start + size, num_pieces)
        if end < num_pieces:
            last_cut = cuts[np.searchsorted(cuts, end, side="right") - 1] if len(cuts) else 0
            end = int(last_cut) if start + size - size // 4 <= last_cut <= end else end
        windows.append((start, end))
    return np.array(windows, np.int64)


def sentence_cuts(text: str, characters: np.ndarray) -> np.ndarray:
    """Return (cuts,) int64, sorted: after how many word pieces a sentence is over.

    A sentence ends after . ! ? or an ellipsis (Arabic and Devanagari stops too) and the quotes and brackets that close
    behind it, if white space, a tag or the end of the text follows; after a CJK stop and what closes behind it; and at
    an empty line. Abbreviations are taken for ends: a window cut there is still a window. An end inside of a word
    piece does not count.

    Args:
        text: the document.
        characters: (pieces, 2) where each word piece begins and ends in it.
    """
    ends = np.array([match.end() for match in _SENTENCE_END.finditer(text)], np.int64)
    cuts = np.searchsorted(characters[:, 0], ends)  # the first piece that begins there or later
    follows = cuts > 0
    cuts, ends = cuts[follows], ends[follows]
    return np.unique(cuts[characters[cuts - 1, 1] <= ends])


def chunk_notes(num_chunks: np.ndarray, top_k: int) -> tuple[str, ...]:
    """Return what a user of IRIS should know of documents this short; nothing if they are long.

    Args:
        num_chunks: (n,) of every document.
        top_k: chunks that a query retrieves.
    """
    notes = []
    median = float(np.median(num_chunks))
    if median < _FEW_CHUNKS:
        notes.append(
            f"iris: the median document should have at least {_FEW_CHUNKS} chunks, has {median:g}: queries have little "
            "to choose from, and with one chunk IRIS is a linear probe; use smaller chunks or a token model"
        )
    share = float(np.mean(num_chunks <= top_k))
    if share > 0:
        notes.append(f"iris: {share:.0%} of the documents have at most top_k = {top_k} chunks: all are attended to")
    return tuple(notes)


def _encode(texts: Sequence[str], backend: Tokenizer) -> Iterator[Encoding]:
    for places in batches_of(range(len(texts)), [len(text) for text in texts]):
        yield from backend.encode_batch([texts[place] for place in places], add_special_tokens=False)


def _special_pieces(backend: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Return the special word pieces before and after a single text.

    Raises:
        ModelError: they are not around the text only.
    """
    bare = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    num_before = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), None)
    if not bare or num_before is None:
        raise ModelError("model.encoder: the tokenizer must put special word pieces around a text only, does not")
    return np.array(whole[:num_before], np.int32), np.array(whole[num_before + len(bare) :], np.int32)


def _subsample(windows: np.ndarray, max_chunks: int) -> np.ndarray:
    """Return at most so many windows, evenly spaced, the first and the last among them."""
    if len(windows) <= max_chunks:
        return windows
    chosen: np.ndarray = windows[np.arange(max_chunks) * (len(windows) - 1) // max(1, max_chunks - 1)]
    return chosen


def _character_spans(characters: np.ndarray, windows: np.ndarray) -> np.ndarray:
    if not len(characters):
        return np.zeros((len(windows), 2), np.int64)
    return np.stack([characters[windows[:, 0], 0], characters[windows[:, 1] - 1, 1]], axis=1)
