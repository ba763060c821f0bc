"""A budget: how many examples a strategy may choose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a strategy may choose of its pool. One without a budget has None in place of it.

    Attributes:
        count: examples.
        fraction: of its pool; rules for small and large budgets go by it.
    """

    count: int
    fraction: float

    @classmethod
    def of(cls, count: int, pool_size: int) -> Budget:
        """Return the budget of so many examples in a pool of n."""
        return cls(count, count / pool_size)
