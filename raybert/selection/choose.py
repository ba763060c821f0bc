"""One strategy on one pool, and the check that what it returns is a selection."""

from __future__ import annotations

from collections.abc import Sequence
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
    known = len(pool.notes)
    selection = strategy.choose(replace(pool, budget_fraction=fraction), budget)
    expected = None if strategy.spends() == "none" else budget
    check_positions(strategy.title, selection.positions, n, expected)
    for field, values in (("scores", selection.scores), ("weights", selection.weights)):
        if values is not None and len(values) != len(selection.positions):
            raise SelectionError(
                f"strategy '{strategy.title}': {field} must have one value per position, "
                f"got {len(values)} for {len(selection.positions)}"
            )
    notes = tuple(dict.fromkeys([*selection.notes, *pool.notes[known:]]))
    return replace(selection, notes=notes) if notes else selection


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
    _check_rows(f"{who}: positions", positions, pool_size)
    if expected is not None and len(positions) != expected:
        raise SelectionError(f"{who}: must return exactly {expected} positions, got {len(positions)}")
    values, counts = np.unique(positions, return_counts=True)
    if len(values) < len(positions):
        raise SelectionError(f"{who}: positions must be distinct, got {values[counts > 1][0]} more than once")


def check_batches(name: str, batches: Sequence[Any], pool_size: int, batch_size: int) -> None:
    """Refuse what are not batches of a pass; that no position is there twice is for `check_positions`.

    Args:
        name: of the strategy.
        batches: what it returned.
        pool_size: n.
        batch_size: most examples of one.

    Raises:
        SelectionError: one is empty, larger than `batch_size`, or no flat integer array of positions in range.
    """
    for number, batch in enumerate(batches):
        what = f"strategy '{name}': batch {number}"
        size = np.size(batch)
        if size == 0:
            raise SelectionError(f"{what} must have at least one position, got none")
        _check_rows(what, batch, pool_size)
        if size > batch_size:
            raise SelectionError(f"{what} must have at most {batch_size} positions (train.batch_size), got {size}")


def _check_rows(what: str, rows: Any, pool_size: int) -> None:
    """Refuse what is not a flat array of rows of a pool."""
    if not isinstance(rows, np.ndarray) or rows.ndim != 1 or rows.dtype.kind not in "iu":
        described = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise SelectionError(f"{what} must be a flat array of integers, got {described}")
    if len(rows) and (rows.min() < 0 or rows.max() >= pool_size):
        outside = rows[(rows < 0) | (rows >= pool_size)][0]
        raise SelectionError(f"{what} must be in 0..{pool_size - 1}, got {outside}")


def _check_signals(strategy: Strategy, pool: Pool) -> None:
    missing = sorted(strategy.all_signals() - set(pool.signals))
    if missing:
        raise SelectionError(
            f"strategy '{strategy.title}': needs the signals {', '.join(missing)}; "
            f"given: {', '.join(sorted(pool.signals)) or 'none'}"
        )
