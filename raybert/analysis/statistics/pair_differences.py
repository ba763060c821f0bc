"""The differences behind `comparisons`, one a replicate: what a mean difference and its interval are made of."""

from __future__ import annotations

import pandas as pd

from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.paired import PAIR

BASELINE_KEY = "baseline_configuration"
COLUMNS = (BASELINE_KEY, KEY, "replicate", "difference")


def pair_differences(trials: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return a row per comparison and replicate that both of its configurations have: the difference on test.

    A replicate is a seed, or with cross-validation a fold, whose seeds are averaged; means of these differences are
    the column `difference` of `comparisons`.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        comparisons: rows of `COMPARISONS`, all of one metric.
    """
    if comparisons.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    value = f"test_{comparisons['metric'].iloc[0]}"
    complete = trials[trials["status"] == "complete"]
    reached = complete.groupby([KEY, *PAIR], sort=False)[value].mean().astype("float64")
    of_each = dict(iter(reached.groupby(level=KEY, sort=False)))
    parts = []
    for row in comparisons[[BASELINE_KEY, KEY, "folds"]].to_dict("records"):
        own, beside = (of_each[row[key]].droplevel(KEY) for key in (KEY, BASELINE_KEY))
        by = "fold" if row["folds"] > 1 else "seed"
        found = (own - beside).dropna().groupby(level=by).mean()
        parts.append(
            pd.DataFrame(
                {BASELINE_KEY: row[BASELINE_KEY], KEY: row[KEY], "replicate": found.index, "difference": found}
            )
        )
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]
