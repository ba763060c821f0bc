"""Strategies in steps: filters first (`pre`), then a strategy, then a second one among what it left (`then`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raybert.selection.strategy import Filter, Kept, Pool, Selection, Strategy


def choose_composed(strategy: Strategy, pool: Pool, budget: int) -> Selection:
    """Return what a strategy chooses together with its `pre` and `then`.

    What filters drop is taken back, the least bad first, when they leave fewer than the budget; `refilled` counts it.
    What earlier rounds chose is never dropped.

    Args:
        strategy: with its filters and followers.
        pool: candidates.
        budget: examples in all; strategies of budget kind `none` take all that is kept.
    """
    filters = [part for part in strategy.pre if isinstance(part, Filter)]
    chooser = strategy
    if isinstance(strategy, Filter) and strategy.then is not None:
        filters.append(strategy)
        chooser = strategy.then
    if not filters:
        return _in_two_steps(chooser, pool, budget)
    decisions = [part.keep(pool) for part in filters]
    kept = _keep_by_all(decisions, pool)
    rows = np.flatnonzero(kept.keep)
    if len(rows):
        part = _choose_or_recurse(chooser, strategy, pool.subset(rows), min(budget, len(rows)))
    else:  # all is dropped, and taken back below
        part = Selection(np.empty(0, np.int64), np.empty(0))
    if chooser is strategy:
        pool_scores = _spread(part.pool_scores, rows, len(pool))
    else:  # what the filter itself thinks of every example
        pool_scores = decisions[-1].badness if np.ptp(decisions[-1].badness) > 0 else None
    chosen = Selection(rows[part.positions], part.scores, part.weights, part.refilled, pool_scores)
    if strategy.spends() == "none":
        return replace(chosen, conflicts=kept.conflicts)
    return replace(_refill(chosen, pool, kept, budget), conflicts=kept.conflicts)


def _choose_or_recurse(chooser: Strategy, strategy: Strategy, pool: Pool, budget: int) -> Selection:
    """Ask the strategy itself without its filters, which have been applied, or the one after a filter with its own."""
    if chooser is strategy:
        return _in_two_steps(chooser, pool, budget)
    return choose_composed(chooser, pool, budget)


def _in_two_steps(strategy: Strategy, pool: Pool, budget: int) -> Selection:
    if strategy.then is None:
        return strategy.choose(pool, budget)
    wanted = min(len(pool), max(budget, round(strategy.candidates * budget)))
    first = strategy.choose(pool, wanted)
    rows = np.sort(first.positions)
    second = choose_composed(strategy.then, pool.subset(rows), budget)
    positions = rows[second.positions]
    taken_back = first.positions[len(first.positions) - first.refilled :]
    refilled = second.refilled + int(np.isin(positions, taken_back).sum())
    return Selection(positions, second.scores, second.weights, refilled, first.pool_scores)


def _keep_by_all(decisions: Sequence[Kept], pool: Pool) -> Kept:
    """Return what all filters keep; of what they drop, what fewest filters dropped is least bad, then least ranked."""
    keep = np.all([decision.keep for decision in decisions], axis=0)
    keep[pool.selected] = True
    times = np.sum([~decision.keep for decision in decisions], axis=0)
    worst = np.max([_ranks(decision) for decision in decisions], axis=0)
    conflicts = [decision.conflicts for decision in decisions if decision.conflicts is not None]
    return Kept(keep, times + worst, np.concatenate(conflicts) if conflicts else None)


def _ranks(decision: Kept) -> np.ndarray:
    """Return (n,) badness as a number in [0, 1) with the same order, equal for equals; NaN is worst."""
    badness = np.where(np.isnan(decision.badness), np.inf, decision.badness)
    _, inverse = np.unique(badness, return_inverse=True)
    return np.asarray(inverse / (len(badness) + 1.0))


def _refill(chosen: Selection, pool: Pool, kept: Kept, budget: int) -> Selection:
    """Append the least bad of what was dropped until the budget is met."""
    missing = budget - len(chosen.positions)
    if missing <= 0:
        return chosen
    dropped = np.flatnonzero(~kept.keep)
    back = dropped[np.lexsort((pool.tie_keys[dropped], kept.badness[dropped]))][:missing]
    weights = chosen.weights
    return replace(
        chosen,
        positions=np.concatenate([chosen.positions, back]),
        scores=np.concatenate([chosen.scores, np.full(len(back), np.nan)]),
        weights=None if weights is None else np.concatenate([weights, np.ones(len(back), np.float32)]),
        refilled=chosen.refilled + len(back),
    )


def _spread(scores: np.ndarray | None, rows: np.ndarray, num_examples: int) -> np.ndarray | None:
    if scores is None:
        return None
    whole = np.full(num_examples, np.nan)
    whole[rows] = scores
    return whole
