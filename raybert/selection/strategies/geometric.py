"""Strategies that read embeddings: what covers the pool."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raybert.selection.geometry import k_center
from raybert.selection.registry import register
from raybert.selection.strategy import Pool, Schedule, Selection, Strategy


@register
class KCenter(Strategy):
    """Greedy k-center over embeddings: every example near a chosen one."""

    name: ClassVar[str] = "k_center"
    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    schedules: ClassVar[tuple[Schedule, ...]] = ("once", "rounds")
    nested: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False
    source: ClassVar[str] = 'Sener & Savarese 2018, "Active Learning for CNNs: A Core-Set Approach", arXiv 1708.00489'

    def choose(self, pool: Pool, budget: int) -> Selection:
        positions, distances = k_center(
            pool.signals["embeddings"],
            budget - len(pool.selected),
            selected=pool.selected,
            tie_keys=pool.tie_keys,
        )
        scores = np.concatenate([np.full(len(pool.selected), np.nan), distances]).astype(np.float64)
        return Selection(np.concatenate([pool.selected, positions]), scores)
