"""Batches: which rows go together, and how rows become tensors."""

from __future__ import annotations

import numpy as np
import torch

from raybert.data.tokens import TokenTable

_WINDOW_BATCHES = 50


def training_batches(
    lengths: np.ndarray, positions: np.ndarray, batch_size: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Return the batches of one epoch: random, with examples of similar length together.

    Positions are shuffled and cut into windows of at most 50 batches, at least four windows an epoch where
    there are that many batches; each window is sorted by length (ties stay shuffled) and cut into batches,
    and the order of all batches is shuffled. So a batch is similar in length only, its company changes from
    epoch to epoch even in a small pool, and short and long batches alternate. The rows left over when the
    size does not divide come from everywhere, and are the last batch: all steps before it have the full size.

    Args:
        lengths: (n,) word pieces of every row of the table.
        positions: (m,) rows of this epoch, distinct.
        batch_size: rows per batch.
        generator: the epoch's own; nothing else is random.

    Returns:
        ceil(m / batch_size) arrays of positions, every position exactly once.

    Source: the windows of `transformers.trainer_pt_utils.get_length_grouped_indices`; there the batches of
    a window stay sorted by length, longest first, here their order is random.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: must be >= 1, got {batch_size}")
    shuffled = generator.permutation(np.asarray(positions))
    num_full = len(shuffled) // batch_size
    head, rest = np.split(shuffled, [num_full * batch_size])
    window_rows = min(max(num_full // 4, 1), _WINDOW_BATCHES) * batch_size
    windows = np.arange(len(head)) // window_rows
    grouped = head[np.lexsort((lengths[head], windows))].reshape(num_full, batch_size)
    return [*generator.permutation(grouped), *([rest] if len(rest) else [])]


def scoring_batches(lengths: np.ndarray, positions: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Return batches for a forward pass over all positions, longest rows first, as large as memory allows.

    Args:
        lengths: (n,) word pieces of every row of the table.
        positions: (m,) rows to score, distinct.
        max_tokens: upper bound of rows x longest row in a batch; a single longer row is a batch of its own.

    Returns:
        Arrays of positions, every position exactly once; the order of `positions` does not matter.
    """
    positions = np.asarray(positions)
    ordered = positions[np.lexsort((positions, -lengths[positions]))]
    batches = []
    start = 0
    while start < len(ordered):
        num_rows = max(1, max_tokens // max(1, int(lengths[ordered[start]])))
        batches.append(ordered[start : start + num_rows])
        start += num_rows
    return batches


def collate(
    table: TokenTable, positions: np.ndarray, pad_id: int, uses_token_types: bool, *, multiple_of: int = 1
) -> dict[str, torch.Tensor]:
    """Return the model's inputs for some rows, padded on the right to the longest of them.

    Args:
        table: may be read-only; everything is copied out of it.
        positions: (b,) rows, in the order wanted.
        pad_id: word piece that fills short rows.
        uses_token_types: whether `token_type_ids` is wanted.
        multiple_of: the width is rounded up to a multiple of this.

    Returns:
        input_ids, attention_mask, [token_type_ids]: (b, width) int64; labels: (b,) int64.
    """
    starts = table.offsets[positions]  # (b,)
    lengths = table.offsets[np.asarray(positions) + 1] - starts
    width = -(-int(lengths.max(initial=1)) // multiple_of) * multiple_of
    columns = np.arange(width)
    mask = columns < lengths[:, None]  # (b, width)
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = table.ids[(starts[:, None] + columns)[mask]]
    batch = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    if uses_token_types:
        second = columns >= table.second_starts[positions][:, None]
        batch["token_type_ids"] = (second & mask).astype(np.int64)
    batch["labels"] = table.labels[positions].astype(np.int64)
    return {name: torch.from_numpy(array) for name, array in batch.items()}
