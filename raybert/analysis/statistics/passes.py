"""What happens from pass to pass: every configuration at every evaluation, as means over seeds with their spread."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import IDENTITY, KEY
from raybert.analysis.statistics.paired import PAIR, means_of
from raybert.tables import PER_PASS, SPREAD_PER_PASS, own_metric_columns

_POINT = ("pass", "step")
"""Where an evaluation stands: the same in all seeds, but for folds of other sizes."""


def per_pass_table(
    trials: pd.DataFrame, evaluations: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy"
) -> pd.DataFrame:
    """Return a row per configuration and evaluation: `PER_PASS`, the metric of the sweep and metrics of a user's own.

    Only complete trials count. Early stopping leaves later evaluations fewer replicates: `num_replicates` tells.

    Args:
        trials: `Sweep.trials`.
        evaluations: `Sweep.evaluations`.
        grid_columns: the varied hyperparameters.
        metric: of the sweep.
    """
    complete = trials[(trials["status"] == "complete") & (trials["role"] != "part")]
    rows = evaluations.merge(complete[["trial_id", "role", "budget_kind"]], on="trial_id")
    wanted = (*SPREAD_PER_PASS, f"validation_{metric}", *own_metric_columns(rows, "validation"))
    names = [name for name in dict.fromkeys(wanted) if name in rows]
    if rows.empty:
        return typed_frame([], PER_PASS, grid_columns)
    keys = [KEY, "evaluation"]
    about = rows.groupby(keys, sort=False)[[*IDENTITY, *grid_columns]].first().reset_index()
    numbers = pd.DataFrame({**{key: about[key] for key in keys}, "number": range(len(about))})
    values = [*_POINT, *names]
    units = rows.groupby([*keys, *PAIR], sort=False)[values].mean().astype("float64").reset_index()
    units["folds"] = units[KEY].map(trials.groupby(KEY)["fold"].nunique())
    units[KEY] = units.merge(numbers, on=keys, how="left")["number"]
    table = about.join(units.groupby(KEY)[[*_POINT]].mean())
    replicate = units["fold"].where(units["folds"] > 1, units["seed"])
    table["num_replicates"] = replicate.groupby(units[KEY]).nunique()
    return typed_frame(table.join(means_of(units, names, about.index)).to_dict("records"), PER_PASS, grid_columns)
