"""Means and intervals over seeds or folds, and differences to the baselines, paired over (seed, fold).

A difference is taken within a (seed, fold) pair at one point of the grid (the same split and initial head), which
removes what the seed adds to both. Without cross-validation the replicates are the seeds.

With it they are the J folds, after the mean over the seeds of a fold: seeds of one fold share its test set, and are no
further sample of data. The test sets are disjoint, but two training sets share most of their examples, so the plain
t-test over folds finds too many differences. All intervals and tests over folds are therefore those of the corrected
resampled t-test, in which the variance of the mean is s^2 (1/J + n_test/n_train) in place of s^2 / J. Of m folds
n_test/n_train is 1/(m - 1): all that is not tested on counts as training, validation included, since it chooses the
model.

Source: Nadeau and Bengio 2003, "Inference for the Generalization Error", Machine Learning 52, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.configurations import BUDGET_KEY, IDENTITY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.intervals import FEWEST, LEVEL, difference_interval, holm, mean_interval, paired_p
from raybert.analysis.statistics.intervals import t_interval as t_interval
from raybert.analysis.statistics.scales import Scale
from raybert.tables import BASELINES, COMPARED, COSTS, SUMMARIZED

BETTER, WORSE, UNDECIDED, NOT_COMPARED = "better", "worse", "no difference shown", "not compared"
_PAIR = ["seed", "fold"]


def summarize(trials: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy") -> pd.DataFrame:
    """Return one row per configuration (strategy x budget x grid values), in the order of the trials.

    Columns: those of `SUMMARY`, and if the metric is not among `COMPARED` and `SUMMARIZED` the same of it.

    Only complete trials count. `random` is matched at the same budget and grid values, `all` at the same grid
    values without `selection.budget`; strategies without a budget are not compared with `random`, which sees fewer
    examples.

    Args:
        trials: a row per trial, as in `Sweep.trials`.
        grid_columns: its columns that hold varied hyperparameters.
        metric: what `holm_p` and `verdict` are about, a name of `METRICS`.
    """
    trials = with_configurations(trials, grid_columns)
    table = _counts(trials, grid_columns)
    complete = trials[trials["status"] == "complete"]
    compared = [*dict.fromkeys((*COMPARED, f"test_{metric}"))]
    summarized = [*dict.fromkeys((*SUMMARIZED, f"test_{metric}", f"validation_{metric}"))]
    summarized = [name for name in summarized if name in trials]
    compared = [name for name in compared if name in trials]
    units = _units(complete, table, summarized)
    table["num_replicates"] = _replicates(units, summarized[:1])["count"].iloc[:, 0].reindex(table.index)
    table["num_replicates"] = table["num_replicates"].fillna(0).astype("int64")
    table = _count_warnings(table, complete)
    table = table.join(_means(units, summarized, table.index))
    others = [column for column in grid_columns if column != BUDGET_KEY]
    comparable = units[has_budget(units) & (units["role"] != "proxy")]
    for baseline, rows, match in zip(BASELINES, (comparable, units), (["budget", *others], others), strict=True):
        table = table.join(_differences(rows, baseline, match, compared, table.index))
    costs = [name for name in COSTS if name in complete]
    table = table.join(complete.groupby(KEY, sort=False)[costs].mean().astype("float64").add_suffix("_mean"))
    table["metric"] = metric
    table["holm_p"] = holm(table[f"test_{metric}_vs_random_p"].to_numpy())
    table["verdict"] = _verdicts(table, metric)
    table = table.reset_index()
    table["note"] = _row_notes(table, metric)
    return table[[*(name for name in table if name != KEY), KEY]]


def _counts(trials: pd.DataFrame, grid_columns: Sequence[str]) -> pd.DataFrame:
    groups = trials.groupby(KEY, sort=False)
    table = groups[[*IDENTITY, *grid_columns]].first()
    table["num_trials"] = groups.size()
    for name in ("complete", "failed", "pending"):
        table[f"num_{name}"] = (trials["status"] == name).groupby(trials[KEY], sort=False).sum().astype("int64")
    complete = trials[trials["status"] == "complete"].groupby(KEY, sort=False)
    for column in _PAIR:
        table[f"num_{column}s"] = complete[column].nunique().reindex(table.index).fillna(0).astype("int64")
    table["folds"] = groups["fold"].nunique()
    return table


def _count_warnings(table: pd.DataFrame, complete: pd.DataFrame) -> pd.DataFrame:
    """Add how many trials have collapsed, and how many are weak; those of which nothing is known count as neither."""
    for name, column in (("num_collapsed", "num_never_predicted"), ("num_weak", "is_weak")):
        known = complete[column].fillna(0) > 0 if column in complete else pd.Series(False, index=complete.index)
        table[name] = known.groupby(complete[KEY], sort=False).sum().reindex(table.index).fillna(0).astype("int64")
    return table


def _units(complete: pd.DataFrame, table: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return one row per configuration and (seed, fold); several proxies of a seed are averaged."""
    values = complete.groupby([KEY, *_PAIR], sort=False)[metrics].mean().astype("float64").reset_index()
    return values.join(table[[name for name in table if not str(name).startswith("num_")]], on=KEY)


def _replicates(units: pd.DataFrame, metrics: list[str]) -> dict[str, pd.DataFrame]:
    """Return mean, std and count of the replicates of each configuration, and n_test / n_train (0 without folds)."""
    numbered = units.assign(replicate=units["fold"].where(units["folds"] > 1, units["seed"]))
    means = numbered.groupby([KEY, "replicate"], sort=False)[[*metrics, "folds"]].mean()
    groups = means.groupby(KEY, sort=False)
    folds = groups["folds"].first()
    values = groups[metrics]
    ratio = (1 / (folds - 1).where(folds > 1)).fillna(0.0)
    ratios = pd.DataFrame(dict.fromkeys(metrics, ratio))
    return {"mean": values.mean(), "std": values.std(), "count": values.count(), "test_ratio": ratios}


def _moments(found: dict[str, pd.DataFrame], name: str) -> list[pd.Series[Any]]:
    return [found[part][name] for part in ("mean", "std", "count", "test_ratio")]


def _means(units: pd.DataFrame, metrics: list[str], index: pd.Index[Any]) -> pd.DataFrame:
    """Return mean, std and interval of every metric over the replicates of each configuration."""
    found = _replicates(units, metrics)
    columns: dict[str, Any] = {}
    for name in metrics:
        scale = Scale(name.partition("_")[2])
        mean, std, count, ratio = _moments(found, name)
        low, high = mean_interval(mean, std, count, ratio, lowest=scale.lowest, highest=scale.highest)
        columns |= {f"{name}_mean": mean, f"{name}_std": std, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns, index=found["mean"].index).reindex(index)


def _differences(
    units: pd.DataFrame, baseline: str, match: list[str], metrics: list[str], index: pd.Index[Any]
) -> pd.DataFrame:
    """Return differences to a baseline at the same point: mean, std, interval and p-value of every metric."""
    pairs = _pairs(units, baseline, match, metrics)
    for name in metrics:
        pairs[name] = pairs[name] - pairs.pop(f"{name}_baseline")
    found = _replicates(pairs, metrics)
    columns: dict[str, Any] = {}
    for name in metrics:
        mean, std, count, ratio = _moments(found, name)
        largest = Scale(name.partition("_")[2]).largest_difference
        low, high = difference_interval(mean, std, count, ratio, largest=largest)
        label = f"{name}_vs_{baseline}"
        columns |= {label: mean, f"{label}_std": std, f"{label}_low": low, f"{label}_high": high}
        columns[f"{label}_p"] = paired_p(mean, std, count, ratio)
    table = pd.DataFrame(columns, index=found["mean"].index).reindex(index)
    counts = {
        f"num_pairs_{baseline}": pairs.groupby(KEY, sort=False).size(),
        f"num_replicates_{baseline}": found["count"].iloc[:, 0],
    }
    for place, (name, count) in enumerate(counts.items()):
        table.insert(place, name, count.reindex(index).fillna(0).astype("int64"))
    return table


def _pairs(units: pd.DataFrame, baseline: str, match: list[str], metrics: list[str]) -> pd.DataFrame:
    """Return every (seed, fold) of the other strategies beside that of the baseline at the same point."""
    rows = units[(units["strategy"] == baseline) & (units["role"] != "proxy")]
    values = rows.groupby([*match, *_PAIR], dropna=False, sort=False)[metrics].mean()
    values = values.add_suffix("_baseline").reset_index()
    for column in match:
        values = _at_every_value(values, column, units[column])
    return units[units["strategy"] != baseline].merge(values, on=[*match, *_PAIR], how="inner")


def _at_every_value(baseline: pd.DataFrame, column: str, values: pd.Series[Any]) -> pd.DataFrame:
    """Return the baseline with its rows without a value (which do not depend on it) repeated for every value."""
    everywhere = baseline[column].isna()
    if not everywhere.any():
        return baseline
    repeated = baseline[everywhere].drop(columns=column).merge(values.drop_duplicates().to_frame(), how="cross")
    return pd.concat([baseline[~everywhere], repeated[baseline.columns]], ignore_index=True)


def _verdicts(table: pd.DataFrame, metric: str) -> np.ndarray:
    gain, p = Scale(metric).sign * table[f"test_{metric}_vs_random"], table["holm_p"]
    sure = p < 1 - LEVEL
    return np.select(
        [sure & (gain > 0), sure & (gain < 0), p.notna()],
        [BETTER, WORSE, UNDECIDED],
        default=NOT_COMPARED,
    )


def _row_notes(table: pd.DataFrame, metric: str) -> list[str]:
    notes = []
    has_random = ((table["strategy"] == "random") & (table["num_complete"] > 0)).any()
    for row, limited in zip(table.to_dict("records"), has_budget(table), strict=True):
        parts = []
        if row["num_failed"]:
            parts.append(f"{row['num_failed']} of {row['num_trials']} trials failed")
        replicate = "fold" if row["folds"] > 1 else "seed"
        if row["num_replicates"] == 1:
            parts.append(f"one {replicate}: no interval")
        elif 1 < row["num_replicates"] < FEWEST:
            parts.append(f"two {replicate}s: both values, no interval and no test")
        elif row["num_replicates"] and np.isnan(row[f"test_{metric}_low"]) and not np.isnan(row[f"test_{metric}_mean"]):
            parts.append(f"the same {metric} in every {replicate}: no interval")
        if row["num_collapsed"]:
            parts.append(f"{row['num_collapsed']} of {row['num_complete']} trials never predict a class")
        if row["num_weak"] and row["role"] == "proxy":
            parts.append(
                f"{row['num_weak']} of {row['num_complete']} trials are hardly better than the most frequent class"
            )
        if has_random and not limited and row["role"] != "proxy" and row["num_complete"]:
            parts.append("trains on the whole pool: not compared with random")
        elif row["num_replicates_random"] >= FEWEST and row["verdict"] == NOT_COMPARED:
            parts.append(f"the same difference to random in every {replicate}: no verdict")
        notes.append("; ".join(parts))
    return notes
