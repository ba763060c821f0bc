"""Batches: which rows go together."""

from __future__ import annotations

import numpy as np

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
