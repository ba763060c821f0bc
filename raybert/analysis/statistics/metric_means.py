"""Means and deviations of every metric over seeds or folds, per configuration, split and way to decide."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import IDENTITY, KEY
from raybert.analysis.statistics.paired import PAIR, means_of, replicates_of
from raybert.config import METRICS
from raybert.tables import BEST_F1, METRIC_MEANS, METRICS_PER_TRIAL


def metric_means(per_trial: pd.DataFrame, trials: pd.DataFrame, grid_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a row per configuration, split, decision and metric: `METRIC_MEANS`.

    Replicates, deviations and intervals are those of `summarize`.

    Args:
        per_trial: as from `metrics_per_trial`.
        trials: `Sweep.trials`.
        grid_columns: the varied hyperparameters.
    """
    about = trials.groupby(KEY, sort=False)[[*IDENTITY, *grid_columns]].first()
    folds = trials.groupby(KEY)["fold"].nunique()
    known = {*METRICS_PER_TRIAL.order(grid_columns)} - METRICS.keys()
    names = [str(name) for name in per_trial if name not in known]
    parts = [
        _means(group.assign(folds=group[KEY].map(folds)), str(split), str(decision), names)
        for (split, decision), group in per_trial.groupby(["split", "decision"], sort=False)
    ]
    if not parts:
        return typed_frame([], METRIC_MEANS, grid_columns)
    frame = pd.concat(parts, ignore_index=True).merge(about.reset_index(), on=KEY, how="left")
    places = {name: place for place, name in enumerate(about.index)}
    order = frame[KEY].map(places).sort_values(kind="stable").index
    return typed_frame(frame.loc[order].to_dict("records"), METRIC_MEANS, grid_columns)


def _means(group: pd.DataFrame, split: str, decision: str, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a split by one way to decide, metric by metric."""
    columns = {f"{split}_{name}": name for name in names if group[name].notna().any()}
    if decision == BEST_F1:
        columns[f"{split}_threshold"] = "threshold"
    values = group.rename(columns={name: column for column, name in columns.items()})
    units = values.groupby([KEY, *PAIR], sort=False)[[*columns, "folds"]].mean().astype("float64").reset_index()
    index = pd.Index(units[KEY].unique(), name=KEY)
    means, counts = means_of(units, [*columns], index), replicates_of(units, [*columns])["count"].reindex(index)
    parts = [
        pd.DataFrame(
            {
                "metric": name,
                "num_replicates": counts[column].astype("int64"),
                **{end: means[f"{column}_{end}"] for end in ("mean", "std", "low", "high")},
            }
        )
        for column, name in columns.items()
    ]
    frame = pd.concat(parts).reset_index().assign(split=split, decision=decision)
    return frame[frame["num_replicates"] > 0]
