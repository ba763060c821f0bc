"""Which signals are computed of a share of the pool where `selection.scorers.sample` says so, and of which examples."""

from __future__ import annotations

import numpy as np

from raybert.selection.keys import draw_keys, keys_for

EXTENDED = frozenset(
    {
        "probs",
        "feature_norms",
        "null_probs",
        "heldout_probs",
        "irreducible_loss",
        "dropout_probs",
        "perplexity",
        "influence",
    }
)
"""Signals whose values neighbours are like; not what places examples (`embeddings`, `features`) or a run leaves."""
OF_LABELS = frozenset({"irreducible_loss", "influence"})
"""Of these, values of an example and its label: only neighbours with the same label count."""
_MOST_CHECKED, LEAST_CHECKED, _CHECKED_SHARE = 500, 20, 0.05
"""How many examples check an extension."""


def is_extended(name: str) -> bool:
    """Tell whether neighbours can stand for the values of a signal."""
    return name.partition(":")[0] in EXTENDED


def sample_sizes(n: int, share: float) -> tuple[int, int]:
    """Return how many of n examples are computed, and how many others check the extension."""
    num_sampled = min(n, max(1, round(share * n)))
    return num_sampled, min(n - num_sampled, _MOST_CHECKED, max(LEAST_CHECKED, round(_CHECKED_SHARE * n)))


def sampled_rows(example_ids: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of a pool are computed, and which others are to check the extension: (n,) bool each.

    Both depend on the ids alone; a larger share computes what a smaller one does.

    Args:
        example_ids: (n,) of the pool.
        share: of the pool, in (0, 1).
    """
    n = len(example_ids)
    order = np.argsort(keys_for("scorers.sample", draw_keys(example_ids, 0)), kind="stable")
    num_sampled, num_checked = sample_sizes(n, share)
    sampled, checked = np.zeros(n, bool), np.zeros(n, bool)
    sampled[order[:num_sampled]] = True
    checked[order[num_sampled : num_sampled + num_checked]] = True
    return sampled, checked
