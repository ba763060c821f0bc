"""A data set of long documents as IRIS sees it: chunks to embed, and, once embedded, tables of their vectors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from raybert.config.tasks import CLASSIFICATION, Task
from raybert.data.chunks import ChunkedTexts, ChunkSettings, ChunkTable, chunk_column
from raybert.data.splits import SPLITS, Splits
from raybert.data.token_store import TokenStore
from raybert.data.tokens import TokenizedData, TokenTable, tokenize_splits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class ChunkedData:
    """The documents of the three splits; what `TokenizedData` is to a token model.

    Attributes:
        train: the pool.
        validation: chooses the best evaluation.
        test: read once, for the chosen evaluation.
        example_ids: (n,) str array, the stable id of every pool example.
        label_names: class number -> name.
        fingerprint: hex digest of texts, labels, splits, tokenizer and how documents are cut.
        pieces: word pieces of everything that is to be embedded, in its `train`: the chunks of the three splits, then
            for pairs their first texts.
        chunks: split -> its chunks, with their places in the texts.
        settings: how documents were cut.
    """

    train: ChunkTable
    validation: ChunkTable
    test: ChunkTable
    example_ids: np.ndarray
    label_names: tuple[str, ...]
    fingerprint: str
    pieces: TokenizedData
    chunks: dict[str, ChunkedTexts]
    settings: ChunkSettings

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.label_names)

    @property
    def task(self) -> Task:
        """One class per document."""
        return CLASSIFICATION

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a model's outputs are called."""
        return self.label_names

    @property
    def width(self) -> int:
        """d, of the chunks' vectors; 0 before they are embedded."""
        return int(self.train.vectors.shape[1])

    @property
    def is_pair(self) -> bool:
        """Whether the examples are pairs, of which the second text is the document."""
        return len(self.pieces.train) > sum(len(part.table) for part in self.chunks.values())

    def batch(self, table: ChunkTable, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the inputs of an IRIS classifier for some documents."""
        return table.collate(positions)

    def with_vectors(self, vectors: np.ndarray) -> ChunkedData:
        """Return the data with its embeddings.

        Args:
            vectors: (rows, d) float32, of the rows of `pieces.train`.
        """
        tables, start = {}, 0
        for split in SPLITS:
            count = len(self.chunks[split].table)
            tables[split] = replace(getattr(self, split), vectors=vectors[start : start + count])
            start += count
        if self.is_pair:
            for split in SPLITS:
                count = len(tables[split])
                tables[split] = replace(tables[split], companions=vectors[start : start + count])
                start += count
        return replace(self, **tables)


def chunk_splits(
    splits: Splits,
    tokenizer: PreTrainedTokenizerFast,
    settings: ChunkSettings,
    max_length: int,
    store: TokenStore | None = None,
) -> ChunkedData:
    """Return the chunks of all documents, not yet embedded.

    Args:
        splits: the examples; of a pair the second text is the document, the first is one vector.
        tokenizer: a fast one.
        settings: how documents are cut.
        max_length: word pieces of the first text of a pair.
        store: where chunks of these texts may be kept already, and are kept for another time.

    Raises:
        ModelError: the tokenizer is not a fast one, has no padding piece, or puts special ones inside of a text.
    """
    tables = {split: getattr(splits, split) for split in SPLITS}
    is_pair = "text_pair" in splits.train.column_names
    column = "text_pair" if is_pair else "text"
    chunks = {split: chunk_column(table[column], tokenizer, settings, store) for split, table in tables.items()}
    parts = [chunks[split].table for split in SPLITS]
    if is_pair:
        firsts = replace(splits, **{split: table.drop_columns(["text_pair"]) for split, table in tables.items()})
        alone = tokenize_splits(firsts, tokenizer, max_length, store=store)
        parts += [getattr(alone, split) for split in SPLITS]
    facts = [splits.fingerprint, vars(settings), max_length if is_pair else None, _digest(parts)]
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    pieces = TokenizedData(
        train=_join(parts),
        validation=_join([]),
        test=_join([]),
        example_ids=np.empty(0, np.str_),
        label_names=splits.label_names,
        pad_id=int(tokenizer.pad_token_id),
        uses_token_types="token_type_ids" in tokenizer.model_input_names,
        fingerprint=fingerprint,
    )
    empty = {
        split: ChunkTable(
            np.empty((0, 0), np.float32),
            chunks[split].document_offsets,
            table["label"].to_numpy().astype(np.int64),
        )
        for split, table in tables.items()
    }
    ids = np.array(splits.train["example_id"].to_pylist(), np.str_)
    return ChunkedData(
        **empty,
        example_ids=ids,
        label_names=splits.label_names,
        fingerprint=fingerprint,
        pieces=pieces,
        chunks=chunks,
        settings=settings,
    )


def _join(parts: list[TokenTable]) -> TokenTable:
    """Return the rows of several tables end to end; all are single texts."""
    lengths = np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)]).astype(np.int64)
    return TokenTable(
        ids=np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        second_starts=lengths.astype(np.int32),
        labels=np.zeros(len(lengths), np.int64),
    )


def _digest(parts: list[TokenTable]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.ids.tobytes() + part.offsets.tobytes())
    return digest.hexdigest()
