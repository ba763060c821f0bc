"""Means over replicates, and differences of pairs: what `summary` and `comparisons` are both made of.

A replicate is a seed, or with cross-validation a fold (the mean of its seeds): `raybert.analysis.statistics.summary`.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import mean_interval
from raybert.analysis.statistics.scales import Scale
from raybert.config import is_metric

PAIR = ("seed", "fold")
"""What two runs of a pair share."""


def units_of(complete: pd.DataFrame, table: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return one row per configuration and (seed, fold); several proxies of a seed are averaged."""
    values = complete.groupby([KEY, *PAIR], sort=False)[metrics].mean().astype("float64").reset_index()
    return values.join(table[[name for name in table if not str(name).startswith("num_")]], on=KEY)


def replicates_of(units: pd.DataFrame, metrics: list[str]) -> dict[str, pd.DataFrame]:
    """Return mean, std and count of the replicates of each configuration, and n_test / n_train (0 without folds)."""
    numbered = units.assign(replicate=units["fold"].where(units["folds"] > 1, units["seed"]))
    means = numbered.groupby([KEY, "replicate"], sort=False)[[*metrics, "folds"]].mean()
    groups = means.groupby(KEY, sort=False)
    folds = groups["folds"].first()
    values = groups[metrics]
    ratio = (1 / (folds - 1).where(folds > 1)).fillna(0.0)
    ratios = pd.DataFrame(dict.fromkeys(metrics, ratio))
    return {"mean": values.mean(), "std": values.std(), "count": values.count(), "test_ratio": ratios}


def moments_of(found: dict[str, pd.DataFrame], name: str) -> list[pd.Series[Any]]:
    """Return mean, std, count and n_test / n_train of one of the values of `replicates_of`."""
    return [found[part][name] for part in ("mean", "std", "count", "test_ratio")]


def means_of(units: pd.DataFrame, names: list[str], index: pd.Index[Any]) -> pd.DataFrame:
    """Return mean, std and interval of values over the replicates of each configuration.

    Args:
        units: of `units_of`.
        names: `<split>_<metric>`; anything else is an amount, which ends at zero and nowhere else.
        index: of the configurations.
    """
    found = replicates_of(units, names)
    columns: dict[str, Any] = {}
    for name in names:
        mean, std, count, ratio = moments_of(found, name)
        low, high = mean_interval(mean, std, count, ratio, **_ends(name))
        columns |= {f"{name}_mean": mean, f"{name}_std": std, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns, index=found["mean"].index).reindex(index)


def _ends(name: str) -> dict[str, float]:
    """Return lowest and highest of what a column holds."""
    split, _, metric = name.partition("_")
    if split in ("train", "validation", "test") and is_metric(metric):
        scale = Scale(metric)
        return {"lowest": scale.lowest, "highest": scale.highest}
    return {"lowest": 0.0, "highest": math.inf}
