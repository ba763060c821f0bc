"""What a picture can hold: of a large grid the points at which the best configurations stand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY
from raybert.analysis.statistics.points import grid_points
from raybert.config import sign_of

MOST_POINTS = 12
"""More panels, or rows of as many strategies each, nobody reads; and each takes time to draw."""


def at_best_points(sweep: Sweep, most: int = MOST_POINTS) -> tuple[Sweep, str]:
    """Return a sweep cut to the best points of its grid, by validation, and words that say so.

    At each of these points all strategies stay, so that they can be compared there. Budgets make no points.

    Args:
        sweep: with its tables.
        most: points to keep.

    Returns:
        The sweep itself and no words where its grid is not larger.
    """
    others = [column for column in sweep.grid_columns if column != BUDGET_KEY]
    summary = sweep.summary()
    points = list(grid_points(summary, others))
    column = f"validation_{sweep.metric}_mean"
    if len(points) <= most or column not in summary:
        return sweep, ""

    def best(rows: pd.DataFrame) -> float:
        own = rows[rows[others].notna().any(axis=1)]  # what stands at every point makes none of them better
        reached = (sign_of(sweep.metric) * own[column]).max()
        return float("-inf") if pd.isna(reached) else float(reached)

    kept = sorted((rows for _, rows in points), key=best, reverse=True)[:most]
    names = set(pd.concat(kept)[KEY])
    trials = sweep.trials[sweep.trials[KEY].isin(names)]
    shown = replace(
        sweep,
        trials=trials,
        evaluations=sweep.evaluations[sweep.evaluations["trial_id"].isin(trials["trial_id"])],
        make_compared=partial(sweep.compared.only, names),
    )
    return shown, f"{most} of {len(points):,} points of the grid: those with the best validation; tables have all"
