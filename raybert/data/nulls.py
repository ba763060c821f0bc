"""Inputs without their text, for the loss that the label alone explains (IFD)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from raybert.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from raybert.data.tokens import TokenizedData, TokenTable

NULLS_PER_EXAMPLE = 1 / 9
"""One training input in ten is a null: n / 9 are added to n examples, so that no example goes unseen."""


def null_table(
    table: TokenTable, null: Literal["empty", "mask"], tokenizer: PreTrainedTokenizerFast, *, has_pairs: bool
) -> TokenTable:
    """Return the same examples with a null in place of their text.

    Args:
        table: the examples.
        null: `empty`: the encoding of an empty text (or pair); `mask`: every word piece that is not special masked.
        tokenizer: of the encoder.
        has_pairs: whether the examples are pairs.

    Raises:
        ModelError: `mask`, and the tokenizer has no mask piece.
    """
    if null == "mask":
        if tokenizer.mask_token_id is None:
            raise ModelError(f"model.encoder: the tokenizer of '{tokenizer.name_or_path}' must have a mask piece")
        special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        kept = np.isin(table.ids, [piece for piece in special if piece is not None])
        return replace(table, ids=np.where(kept, table.ids, tokenizer.mask_token_id).astype(np.int32))
    pieces = np.array(tokenizer("", "" if has_pairs else None)["input_ids"], np.int32)
    count = len(table)
    second_start = len(pieces) - 1 if has_pairs else len(pieces)
    return replace(
        table,
        ids=np.tile(pieces, count),
        offsets=np.arange(count + 1, dtype=np.int64) * len(pieces),
        second_starts=np.full(count, second_start, np.int32),
    )


def with_nulls(data: TokenizedData, nulls: TokenTable, keys: np.ndarray) -> TokenizedData:
    """Return the data with nulls of some examples, and their labels, at the end of the pool.

    Args:
        data: all splits.
        nulls: of every pool example, see `null_table`.
        keys: (n,) uint64; the examples with the lowest get a null.
    """
    count = max(1, round(len(keys) * NULLS_PER_EXAMPLE))
    rows = np.sort(np.argsort(keys, kind="stable")[:count])
    table = data.train
    starts, ends = nulls.offsets[rows], nulls.offsets[rows + 1]
    added = np.concatenate([nulls.ids[start:end] for start, end in zip(starts, ends, strict=True)])
    train = replace(
        table,
        ids=np.concatenate([table.ids, added]),
        offsets=np.concatenate([table.offsets, table.offsets[-1] + np.cumsum(ends - starts)]),
        second_starts=np.concatenate([table.second_starts, nulls.second_starts[rows]]),
        labels=np.concatenate([table.labels, table.labels[rows]]),
    )
    null_ids = np.array([f"null:{name}" for name in data.example_ids[rows]])
    digest = hashlib.sha256(data.fingerprint.encode() + added.tobytes() + rows.tobytes()).hexdigest()
    return replace(data, train=train, example_ids=np.concatenate([data.example_ids, null_ids]), fingerprint=digest)
