"""One strategy on one pool, and the check that what it returns is a selection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from raybert.errors import ConfigError, SelectionError
from raybert.selection.compose import compose
from raybert.selection.pool import Pool, Selection
from raybert.selection.strategy import Strategy


def select_from_pool(strategy: Strategy, pool: Pool, budget: int, *, final_budget: int | None = None) -> Selection:
    """Return what a strategy chooses: distinct positions in range, exactly the budget.

    A strategy of budget kind `none` chooses as many as it likes.

    Args:
        strategy: with what is around it.
        pool: candidates.
        budget: examples in all.
        final_budget: by which rules for small and large budgets go, where this is one of several rounds.

    Raises:
        ConfigError: the budget is not possible for this pool.
        SelectionError: a signal is missing, or what the strategy returned is not a selection.
    """
    n = len(pool)
    if not 1 <= budget <= n:
        raise ConfigError(f"selection.budget: must be in 1..{n} (pool size), got {budget}")
    strategy = compose(strategy)
    _check_signals(strategy, pool)
    fraction = (budget if final_budget is None else final_budget) / n
    selection = strategy.choose(replace(pool, budget_fraction=fraction), budget)
    expected = None if strategy.spends() == "none" else budget
    check_positions(strategy.title, selection.positions, n, expected)
    for field, values in (("scores", selection.scores), ("weights", selection.weights)):
        if values is not None and len(values) != len(selection.positions):
            raise SelectionError(
                f"strategy '{strategy.title}': {field} must have one value per position, "
                f"got {len(values)} for {len(selection.positions)}"
            )
    return selection


def check_positions(name: str, positions: Any, pool_size: int, expected: int | None) -> None:
    """Refuse what is not a selection.

    Args:
        name: of the strategy.
        positions: what it returned.
        pool_size: n.
        expected: how many there must be; None: any number.

    Raises:
        SelectionError: not a flat integer array, out of range, repeated, or the wrong number.
    """
    who = f"strategy '{name}'"
    if not isinstance(positions, np.ndarray) or positions.ndim != 1 or positions.dtype.kind not in "iu":
        described = (
            f"{positions.dtype} {positions.shape}" if isinstance(positions, np.ndarray) else type(positions).__name__
        )
        raise SelectionError(f"{who}: positions must be a flat array of integers, got {described}")
    if expected is not None and len(positions) != expected:
        raise SelectionError(f"{who}: must return exactly {expected} positions, got {len(positions)}")
    if len(positions) and (positions.min() < 0 or positions.max() >= pool_size):
        outside = positions[(positions < 0) | (positions >= pool_size)][0]
        raise SelectionError(f"{who}: positions must be in 0..{pool_size - 1}, got {outside}")
    values, counts = np.unique(positions, return_counts=True)
    if len(values) < len(positions):
        raise SelectionError(f"{who}: positions must be distinct, got {values[counts > 1][0]} more than once")


def _check_signals(strategy: Strategy, pool: Pool) -> None:
    missing = sorted(strategy.all_signals() - set(pool.signals))
    if missing:
        raise SelectionError(
            f"strategy '{strategy.title}': needs the signals {', '.join(missing)}; "
            f"given: {', '.join(sorted(pool.signals)) or 'none'}"
        )
