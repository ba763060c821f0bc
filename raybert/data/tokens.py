"""Token tables: every example of a split as flat word-piece ids, tokenized once and shared by all trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
