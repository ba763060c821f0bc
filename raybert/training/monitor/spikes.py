"""Steps whose loss is far above that of the steps before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

WINDOW = 100
_FEWEST = 20
"""With fewer steps before it, no step is judged."""


class SpikeDetector:
    """Compares each step's mean loss with median + k * MAD of up to 100 steps before it.

    MAD is the median of |loss - median|, not scaled. A spike counts among the steps before the next ones.

    Args:
        factor: k.
        recent: the losses of the steps before, oldest first.
    """

    def __init__(self, factor: float, recent: Iterable[float] = ()) -> None:
        self.factor = factor
        self.recent: deque[float] = deque(recent, maxlen=WINDOW)

    def limit(self) -> float:
        """Return what the next loss is compared with, infinite while fewer than 20 are known."""
        if len(self.recent) < _FEWEST:
            return np.inf
        losses = np.array(self.recent)
        median = np.median(losses)
        return float(median + self.factor * np.median(np.abs(losses - median)))

    def add(self, loss: float) -> float | None:
        """Take a step's mean loss; return the limit if it is a spike."""
        limit = self.limit()
        self.recent.append(loss)
        return limit if loss > limit else None
