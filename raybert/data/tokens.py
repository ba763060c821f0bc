"""Token tables: every example of a split as flat word-piece ids, tokenized once and shared by all trials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from raybert.data.splits import Splits
from raybert.errors import ModelError

_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class TokenTable:
    """The examples of one split in a fixed order; rows are positions.

    The arrays may be read-only views of Ray's object store: copy before handing them to torch.

    Attributes:
        ids: (total,) int32, word pieces of all examples end to end, special ones included.
        offsets: (n + 1,) int64, example i is ids[offsets[i]:offsets[i + 1]].
        second_starts: (n,) int32, where inside example i the second text begins (its length if there is none).
        labels: (n,) int64, class numbers 0..C-1.
    """

    ids: np.ndarray
    offsets: np.ndarray
    second_starts: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, word pieces per example."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class TokenizedData:
    """All that a trial needs of the data: token tables of the three splits and what describes them.

    Attributes:
        train: the pool.
        validation: chooses the best evaluation.
        test: read once, for the chosen evaluation.
        example_ids: (n,) str array, the stable id of every pool example.
        label_names: class number -> name.
        pad_id: word piece that fills short rows of a batch.
        uses_token_types: whether the encoder takes `token_type_ids`.
        fingerprint: hex digest of texts, labels, splits, tokenizer and max_length.
    """

    train: TokenTable
    validation: TokenTable
    test: TokenTable
    example_ids: np.ndarray
    label_names: tuple[str, ...]
    pad_id: int
    uses_token_types: bool
    fingerprint: str

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.label_names)


def tokenize_splits(splits: Splits, tokenizer: PreTrainedTokenizerFast, max_length: int) -> TokenizedData:
    """Return token tables of the three splits; the tokenizer's own threads do the work.

    Args:
        splits: texts and labels.
        tokenizer: a fast tokenizer; texts (and pairs, the longer one first) are truncated.
        max_length: word pieces per example, special ones included.

    Raises:
        ModelError: the tokenizer has no padding token, or no room for its special tokens.
    """
    if tokenizer.pad_token_id is None:
        raise ModelError("model.encoder: its tokenizer must have a padding token")
    backend = tokenizer.backend_tokenizer.to_str()
    digest = hashlib.sha256(f"{splits.fingerprint}:{max_length}:{backend}".encode())
    tables = {
        name: _tokenize(getattr(splits, name), tokenizer, max_length) for name in ("train", "validation", "test")
    }
    return TokenizedData(
        **tables,
        example_ids=np.array(splits.train["example_id"].to_pylist()),
        label_names=splits.label_names,
        pad_id=int(tokenizer.pad_token_id),
        uses_token_types="token_type_ids" in tokenizer.model_input_names,
        fingerprint=digest.hexdigest(),
    )


def _tokenize(table: pa.Table, tokenizer: PreTrainedTokenizerFast, max_length: int) -> TokenTable:
    texts = table["text"].to_pylist()
    pairs = table["text_pair"].to_pylist() if "text_pair" in table.column_names else None
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    second_starts: list[int] = []
    for start in range(0, len(texts), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        encoded = tokenizer(
            texts[part],
            pairs[part] if pairs is not None else None,
            truncation=True,
            max_length=max_length,
            return_token_type_ids=pairs is not None,
            return_attention_mask=False,
        )
        ids += [np.array(row, np.int32) for row in encoded["input_ids"]]
        lengths += [len(row) for row in encoded["input_ids"]]
        if pairs is not None:
            # Types are 0...0 1...1: the second text starts where the zeros end.
            second_starts += [len(row) - sum(row) for row in encoded["token_type_ids"]]
    return TokenTable(
        ids=np.concatenate(ids),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        second_starts=np.array(second_starts or lengths, np.int32),
        labels=table["label"].to_numpy().astype(np.int64),
    )
