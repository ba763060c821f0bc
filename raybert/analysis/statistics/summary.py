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

from raybert.analysis.statistics.comparisons import compare
from raybert.analysis.statistics.configurations import BUDGET_KEY, IDENTITY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.decision import NOT_COMPARED
from raybert.analysis.statistics.failed_runs import means_with_failures
from raybert.analysis.statistics.intervals import FEWEST, difference_interval, paired_p
from raybert.analysis.statistics.intervals import t_interval as t_interval
from raybert.analysis.statistics.paired import PAIR, means_of, moments_of, replicates_of, units_of
from raybert.analysis.statistics.scales import Scale
from raybert.tables import (
    BASELINES,
    COMPARED,
    COSTS,
    GPU_HOURS,
    OF_ALL,
    OF_OTHER_TASKS,
    PRETRAINING_EXAMPLES,
    PRETRAINING_SECONDS,
    SUMMARIZED,
    own_metric_columns,
)


def summarize(
    trials: pd.DataFrame,
    grid_columns: Sequence[str] = (),
    metric: str = "accuracy",
    comparisons: pd.DataFrame | None = None,
    scored: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row per configuration (strategy x budget x grid values), in the order of the trials.

    Columns: those of `SUMMARY`, and if the metric is not among `COMPARED` and `SUMMARIZED` the same of it, and of all
    metrics of a user's own, or of another task than classification, that trials have.

    Only complete trials count. `random` is matched at the same budget and grid values, `all` at the same grid
    values without `selection.budget`; strategies without a budget are not compared with `random`, which sees fewer
    examples.

    Args:
        trials: a row per trial, as in `Sweep.trials`.
        grid_columns: its columns that hold varied hyperparameters.
        metric: what `holm_p` and `verdict` are about, a name of `METRICS`.
        comparisons: what they are taken from, of a configuration in several pairs those of the first; default: what
            `compare` returns without further words.
        scored: the trials with failures scored (`failed_runs.score_failures`); None: the columns of these are NaN.
    """
    trials = with_configurations(trials, grid_columns)
    table = _counts(trials, grid_columns)
    complete = trials[trials["status"] == "complete"]
    own = own_metric_columns(trials, "validation", "test")
    own += [name for name in OF_OTHER_TASKS if name in trials and trials[name].notna().any()]
    compared = [*dict.fromkeys((*COMPARED, f"test_{metric}", *(name for name in own if name.startswith("test_"))))]
    summarized = [*dict.fromkeys((*SUMMARIZED, f"test_{metric}", f"validation_{metric}", *own))]
    summarized = [name for name in summarized if name in trials]
    compared = [name for name in compared if name in trials]
    costs = [name for name in (*COSTS, GPU_HOURS, PRETRAINING_EXAMPLES, PRETRAINING_SECONDS) if name in complete]
    units = units_of(complete, table, [*summarized, *costs])
    measured = next((name for name in summarized if complete[name].notna().any()), summarized[0])
    table["num_replicates"] = replicates_of(units, [measured])["count"].iloc[:, 0].reindex(table.index)
    table["num_replicates"] = table["num_replicates"].fillna(0).astype("int64")
    table = _count_warnings(table, complete)
    table = table.join(means_of(units, summarized, table.index))
    others = [column for column in grid_columns if column != BUDGET_KEY]
    comparable = units[has_budget(units) & (units["role"] != "proxy")]
    for baseline, rows, match in zip(BASELINES, (comparable, units), (["budget", *others], others), strict=True):
        table = table.join(_differences(rows, baseline, match, compared, table.index))
    table = table.join(_costs(complete, units, costs, table.index))
    table["metric"] = metric
    found = compare(trials, grid_columns, metric) if comparisons is None else comparisons
    first = found.drop_duplicates(KEY).set_index(KEY).reindex(table.index)
    table["baseline"] = first["baseline"].fillna("")
    table["holm_p"] = first["holm_p"].astype("float64")
    table["verdict"] = first["verdict"].fillna(NOT_COMPARED)
    table["num_dropped_pairs"] = first["num_dropped_pairs"].fillna(0).astype("int64")
    table = table.join(means_with_failures(trials, trials if scored is None else scored, metric, table.index))
    table = table.join(_fractions(first, ("metric",), "baseline"))
    everything = [("all", name) for name in dict.fromkeys(trials["strategy"]) if name != "all"]
    beside_all = compare(trials, grid_columns, metric, everything).drop_duplicates(KEY).set_index(KEY)
    table = table.join(_fractions(beside_all.reindex(table.index), OF_ALL, "all"))
    table["note"] = _row_notes(table, metric, first["num_replicates"].fillna(0))
    table = table.reset_index()
    return table[[*(name for name in table if name != KEY), KEY]]


def _costs(complete: pd.DataFrame, units: pd.DataFrame, costs: list[str], index: pd.Index[Any]) -> pd.DataFrame:
    """Return what configurations cost: means over trials, with their spread and intervals over replicates."""
    table = means_of(units, costs, index)
    means = complete.groupby(KEY, sort=False)[costs].mean().astype("float64").reindex(index)
    return table.assign(**{f"{name}_mean": means[name] for name in costs})


def _fractions(comparisons: pd.DataFrame, names: Sequence[str], baseline: str) -> pd.DataFrame:
    """Return shares of a baseline's amounts as columns of the summary: mean, std and interval."""
    ends = ("", "_std", "_low", "_high")
    columns = {f"{name}_fraction{end}": f"{name}_fraction_of_{baseline}{end}" for name in names for end in ends}
    return comparisons[[*columns]].rename(columns=columns).astype("float64")


def _counts(trials: pd.DataFrame, grid_columns: Sequence[str]) -> pd.DataFrame:
    groups = trials.groupby(KEY, sort=False)
    table = groups[[*IDENTITY, *grid_columns]].first()
    table["num_trials"] = groups.size()
    for name in ("complete", "failed", "pending"):
        table[f"num_{name}"] = (trials["status"] == name).groupby(trials[KEY], sort=False).sum().astype("int64")
    complete = trials[trials["status"] == "complete"].groupby(KEY, sort=False)
    for column in PAIR:
        table[f"num_{column}s"] = complete[column].nunique().reindex(table.index).fillna(0).astype("int64")
    table["folds"] = groups["fold"].nunique()
    return table


def _count_warnings(table: pd.DataFrame, complete: pd.DataFrame) -> pd.DataFrame:
    """Add how many trials have collapsed, and how many are weak; those of which nothing is known count as neither."""
    for name, column in (("num_collapsed", "num_never_predicted"), ("num_weak", "is_weak")):
        known = complete[column].fillna(0) > 0 if column in complete else pd.Series(False, index=complete.index)
        table[name] = known.groupby(complete[KEY], sort=False).sum().reindex(table.index).fillna(0).astype("int64")
    return table


def _differences(
    units: pd.DataFrame, baseline: str, match: list[str], metrics: list[str], index: pd.Index[Any]
) -> pd.DataFrame:
    """Return differences to a baseline at the same point: mean, std, interval and p-value of every metric."""
    pairs = _pairs(units, baseline, match, metrics)
    for name in metrics:
        pairs[name] = pairs[name] - pairs.pop(f"{name}_baseline")
    found = replicates_of(pairs, metrics)
    columns: dict[str, Any] = {}
    for name in metrics:
        mean, std, count, ratio = moments_of(found, name)
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
    values = rows.groupby([*match, *PAIR], dropna=False, sort=False)[metrics].mean()
    values = values.add_suffix("_baseline").reset_index()
    for column in match:
        values = _at_every_value(values, column, units[column])
    return units[units["strategy"] != baseline].merge(values, on=[*match, *PAIR], how="inner")


def _at_every_value(baseline: pd.DataFrame, column: str, values: pd.Series[Any]) -> pd.DataFrame:
    """Return the baseline with its rows without a value (which do not depend on it) repeated for every value."""
    everywhere = baseline[column].isna()
    if not everywhere.any():
        return baseline
    repeated = baseline[everywhere].drop(columns=column).merge(values.drop_duplicates().to_frame(), how="cross")
    return pd.concat([baseline[~everywhere], repeated[baseline.columns]], ignore_index=True)


def _row_notes(table: pd.DataFrame, metric: str, num_compared: pd.Series[Any]) -> list[str]:
    """Return what each row lacks.

    Args:
        table: the summary.
        metric: of the sweep.
        num_compared: over how many replicates each row is compared with its baseline.
    """
    notes = []
    has_random = ((table["strategy"] == "random") & (table["num_complete"] > 0)).any()
    for row, limited, count in zip(table.to_dict("records"), has_budget(table), num_compared, strict=True):
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
        if has_random and not limited and row["role"] != "proxy" and row["num_complete"] and not row["baseline"]:
            parts.append("has no budget: not compared with random")
        elif count >= FEWEST and row["verdict"] == NOT_COMPARED:
            parts.append(f"the same difference to {row['baseline']} in every {replicate}: no verdict")
        notes.append("; ".join(parts))
    return notes
