"""What a user brings along: a strategy (as in README.md) and a loss. `trials_tables.py` puts it beside the sweeps."""

from typing import ClassVar

import numpy as np
import torch

import raybert


class Longest(raybert.Strategy):
    """The longest texts."""

    name: ClassVar[str] = "longest"
    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False

    at_most: int = 100_000

    def choose(self, pool: raybert.Pool, budget: int) -> raybert.Selection:
        lengths = np.minimum(pool.signals["lengths"], self.at_most)
        positions = np.lexsort((pool.tie_keys, -lengths))[:budget]
        return raybert.Selection(positions, lengths[positions].astype(float))


def squared(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the Brier score of every example as its loss."""
    one_hot = torch.nn.functional.one_hot(labels, logits.shape[1])
    return ((logits.float().softmax(1) - one_hot) ** 2).sum(1)
