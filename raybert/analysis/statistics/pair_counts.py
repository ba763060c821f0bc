"""How many of the planned pairs of a comparison are left out, and why."""

from __future__ import annotations

from typing import Any

import pandas as pd

from raybert.analysis.statistics.configurations import KEY

_COMPLETE, _FAILED, _PENDING = 0, 1, 2
"""Of several runs of a (seed, fold) the first one counts."""


def count_pairs(trials: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return `num_dropped_pairs` and `num_pending_pairs` of every row.

    A pair is a (seed, fold) that the plan has for either configuration. It is dropped if a run of it failed, or if one
    of both is not planned; otherwise it is pending while a run of it has not finished.

    Args:
        trials: all planned ones, as in `Sweep.trials`, with configurations.
        comparisons: with `baseline_configuration` and `configuration`.
    """
    codes = trials["status"].map({"complete": _COMPLETE, "failed": _FAILED}).fillna(_PENDING)
    states = codes.groupby([trials[KEY], trials["seed"], trials["fold"]], sort=False).min()
    of_each = {str(key): own.droplevel(KEY) for key, own in states.groupby(level=KEY, sort=False)}
    rows = [
        _counts(of_each[str(row[KEY])], of_each[str(row["baseline_configuration"])])
        for row in comparisons[[KEY, "baseline_configuration"]].to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["num_dropped_pairs", "num_pending_pairs"], index=comparisons.index)


def _counts(own: pd.Series[Any], beside: pd.Series[Any]) -> tuple[int, int]:
    pairs = pd.concat([own, beside], axis=1)
    is_dropped = ((pairs == _FAILED) | pairs.isna()).any(axis=1)
    is_pending = ~is_dropped & (pairs == _PENDING).any(axis=1)
    return int(is_dropped.sum()), int(is_pending.sum())
