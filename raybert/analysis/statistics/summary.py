"""Means and intervals over seeds or folds, and differences to the baselines, paired over (seed, fold).

All intervals are two-sided 95 % Student-t intervals. A difference is taken within a (seed, fold) pair (the same split
and initial head), which removes what the seed adds to both. Without cross-validation the replicates are the seeds.

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

from raybert.tables import COMPARED, COSTS, SUMMARIZED

BETTER, WORSE, UNDECIDED, NOT_COMPARED = "better", "worse", "no difference shown", "not compared"
_LEVEL = 0.95
_PAIR = ["seed", "fold"]
_BUDGET_KEY = "selection.budget"
_NO_SPREAD = 1e-12
"""Below this deviation all differences are equal: metrics in [0, 1] differ by rounding only."""


def summarize(trials: pd.DataFrame, grid_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per configuration (strategy x budget x grid values), in the order of the trials.

    Columns: those of `SUMMARY`.

    Only complete trials count. `random` is matched at the same budget and grid values, `all` at the same grid
    values without `selection.budget`; strategies of budget kind `none` are not compared with `random`, which
    sees fewer examples.

    Args:
        trials: a row per trial, as in `Sweep.trials`.
        grid_columns: its columns that hold varied hyperparameters.
    """
    keys = ["strategy", "role", "budget_kind", "budget", *grid_columns]
    trials = trials.assign(folds=trials.groupby(keys, dropna=False)["fold"].transform("nunique"))
    table = _counts(trials, keys)
    complete = trials[trials["status"] == "complete"]
    units = _units(complete, keys)
    for metric in SUMMARIZED:
        table = table.join(_interval_columns(units, keys, metric, metric, mean_suffix="_mean"))
    others = [column for column in grid_columns if column != _BUDGET_KEY]
    comparable = units[(units["budget_kind"] != "none") & (units["role"] != "proxy")]
    table = _join_differences(table, comparable, _baseline(comparable, "random", ["budget", *others]), keys, "random")
    table = _join_differences(table, units, _baseline(units, "all", others), keys, "all")
    costs = complete.groupby(keys, dropna=False, sort=False)[list(COSTS)].mean().astype("float64")
    table = table.join(costs.add_suffix("_mean"))
    table["holm_p"] = holm(table["test_accuracy_vs_random_p"].to_numpy())
    table["verdict"] = _verdicts(table)
    table = table.reset_index()
    table["note"] = _row_notes(table)
    return table


def best_configurations(summary: pd.DataFrame) -> pd.DataFrame:
    """Return, for every strategy and budget, the finished row with the highest mean validation accuracy.

    Without varied hyperparameters these are all finished rows. Chosen on validation, so the test metrics of the
    rows stay unbiased.
    """
    finished = summary[summary["num_complete"] > 0]
    order = finished["validation_accuracy_mean"].sort_values(ascending=False, kind="stable").index
    best = finished.loc[order].drop_duplicates(["strategy", "budget"])
    return best.sort_index()


def t_interval(mean: Any, std: Any, count: Any, test_ratio: Any = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of 95 % t-intervals of means: mean -+ t(.975, count - 1) std sqrt(1 / count + test_ratio).

    NaN where count < 2.

    Args:
        mean: of the replicates.
        std: of the replicates, ddof 1.
        count: how many replicates.
        test_ratio: n_test / n_train of folds, whose training sets overlap; 0 for independent replicates.
    """
    from scipy import stats  # takes longer to import than everything else here

    mean, std, count, test_ratio = (np.asarray(x, dtype=np.float64) for x in (mean, std, count, test_ratio))
    known = count >= 2
    safe = np.where(known, count, 2.0)
    half = stats.t.ppf((1 + _LEVEL) / 2, safe - 1) * std * np.sqrt(1 / safe + test_ratio)
    half = np.where(known, half, np.nan)
    return mean - half, mean + half


def paired_p(mean: Any, std: Any, count: Any, test_ratio: Any = 0.0) -> np.ndarray:
    """Return two-sided p-values of paired t-tests from mean, deviation and number of the differences.

    With a `test_ratio` (n_test / n_train) it is the corrected resampled t-test, as in `t_interval`.

    All differences zero: 1. All equal but not zero: NaN, because no spread is no evidence of certainty (accuracy
    moves in steps of 1 / test size, so equal differences happen by chance). Fewer than two: NaN.
    """
    from scipy import stats

    mean, std, count, test_ratio = (np.asarray(x, dtype=np.float64) for x in (mean, std, count, test_ratio))
    spread = (count >= 2) & (std > _NO_SPREAD)
    safe = np.where(spread, count, 2.0)
    statistic = np.abs(mean) / np.where(spread, std * np.sqrt(1 / safe + test_ratio), 1.0)
    p = np.where(spread, 2 * stats.t.sf(statistic, safe - 1), np.nan)
    same = (count >= 2) & (std <= _NO_SPREAD) & (np.abs(mean) <= _NO_SPREAD)
    return np.where(same, 1.0, p)


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's step-down adjusted p-values; NaN entries are no members of the family.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    members = np.flatnonzero(~np.isnan(p))
    order = members[np.argsort(p[members], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def verdict_sentences(summary: pd.DataFrame) -> list[str]:
    """Return one cautious sentence per configuration that was compared with random, and one on the method."""
    compared = summary[summary["num_pairs_random"] > 0]
    sentences = [_sentence(row, summary) for row in compared.to_dict("records")]
    family = int(summary["holm_p"].notna().sum())
    if family:
        crossed = bool((summary["folds"] > 1).any())
        tests = "folds (means of seeds); corrected resampled t-tests" if crossed else "seeds; t-tests"
        sentences.append(
            f"Test accuracy, paired over {tests} at 95 % with Holm's correction over {family} "
            f"comparison{'s' if family > 1 else ''}. The intervals are not corrected{' by Holm' if crossed else ''}."
        )
    return sentences


def describe_folds(summary: pd.DataFrame) -> list[str]:
    """Return a note on what intervals over folds are, for every number of folds."""
    return [
        f"{m} folds: a replicate is a fold (the mean of its seeds); because training sets overlap, intervals and tests "
        f"are those of Nadeau and Bengio (2003), with the variance s^2 (1/J + 1/{m - 1}) of a mean of J folds"
        for m in sorted(set(summary["folds"]) - {1})
    ]


def _counts(trials: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    status = trials[keys].copy()
    status["num_trials"] = 1
    for name in ("complete", "failed", "pending"):
        status[f"num_{name}"] = (trials["status"] == name).astype("int64")
    table = status.groupby(keys, dropna=False, sort=False).sum()
    complete = trials[trials["status"] == "complete"].groupby(keys, dropna=False, sort=False)
    for column in _PAIR:
        table[f"num_{column}s"] = complete[column].nunique().reindex(table.index).fillna(0).astype("int64")
    table["folds"] = trials.groupby(keys, dropna=False, sort=False)["folds"].first()
    return table


def _units(complete: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return one row per configuration and (seed, fold); several proxies of a seed are averaged."""
    return complete.groupby([*keys, "folds", *_PAIR], dropna=False, sort=False)[list(SUMMARIZED)].mean().reset_index()


def _interval_columns(
    units: pd.DataFrame, keys: list[str], values: str, name: str, mean_suffix: str = ""
) -> pd.DataFrame:
    """Return mean, std and 95 % interval of a column over the replicates of each configuration."""
    groups = _replicates(units, keys, values)
    low, high = t_interval(groups["mean"], groups["std"], groups["count"], groups["test_ratio"])
    columns = {f"{name}{mean_suffix}": groups["mean"], f"{name}_std": groups["std"]}
    return pd.DataFrame(columns | {f"{name}_low": low, f"{name}_high": high}, index=groups.index)


def _replicates(units: pd.DataFrame, keys: list[str], values: str) -> pd.DataFrame:
    """Return mean, std and count of the replicates of each configuration, and n_test / n_train (0 without folds)."""
    numbered = units.assign(replicate=units["fold"].where(units["folds"] > 1, units["seed"]))
    means = numbered.groupby([*keys, "folds", "replicate"], dropna=False, sort=False)[values].mean().reset_index()
    groups = means.groupby(keys, dropna=False, sort=False)
    table = groups[values].agg(["mean", "std", "count"])
    folds = groups["folds"].first()
    table["test_ratio"] = (1 / (folds - 1).where(folds > 1)).fillna(0.0)
    return table


def _baseline(units: pd.DataFrame, strategy: str, match: list[str]) -> pd.DataFrame:
    """Return the metrics of a baseline, one row per matching columns and (seed, fold)."""
    rows = units[(units["strategy"] == strategy) & (units["role"] != "proxy")]
    means = rows.groupby([*match, *_PAIR], dropna=False, sort=False)[list(COMPARED)].mean()
    return means.add_suffix("_baseline").reset_index()


def _join_differences(
    table: pd.DataFrame, units: pd.DataFrame, baseline: pd.DataFrame, keys: list[str], name: str
) -> pd.DataFrame:
    match = [column for column in baseline.columns if not column.endswith("_baseline")]
    for column in set(match) & set(keys):
        baseline = _at_every_value(baseline, column, units[column])
    pairs = units[units["strategy"] != name].merge(baseline, on=match, how="inner")
    count = pairs.groupby(keys, dropna=False, sort=False).size()
    table[f"num_pairs_{name}"] = count.reindex(table.index).fillna(0).astype("int64")
    for metric in COMPARED:
        pairs["difference"] = pairs[metric] - pairs[f"{metric}_baseline"]
        label = f"{metric}_vs_{name}"
        table = table.join(_interval_columns(pairs, keys, "difference", label))
        groups = _replicates(pairs, keys, "difference").reindex(table.index)
        table[f"{label}_p"] = paired_p(*(groups[column] for column in ("mean", "std", "count", "test_ratio")))
    return table


def _at_every_value(baseline: pd.DataFrame, column: str, values: pd.Series[Any]) -> pd.DataFrame:
    """Return the baseline with its rows without a value (which do not depend on it) repeated for every value."""
    everywhere = baseline[column].isna()
    if not everywhere.any():
        return baseline
    repeated = baseline[everywhere].drop(columns=column).merge(values.drop_duplicates().to_frame(), how="cross")
    return pd.concat([baseline[~everywhere], repeated[baseline.columns]], ignore_index=True)


def _verdicts(table: pd.DataFrame) -> np.ndarray:
    difference, p = table["test_accuracy_vs_random"], table["holm_p"]
    sure = p < 1 - _LEVEL
    return np.select(
        [sure & (difference > 0), sure & (difference < 0), p.notna()],
        [BETTER, WORSE, UNDECIDED],
        default=NOT_COMPARED,
    )


def _row_notes(table: pd.DataFrame) -> list[str]:
    notes = []
    budgets = set(table.loc[(table["strategy"] == "random") & (table["num_complete"] > 0), "budget"])
    for row in table.to_dict("records"):
        parts = []
        if row["num_failed"]:
            parts.append(f"{row['num_failed']} of {row['num_trials']} trials failed")
        replicate = "fold" if row["folds"] > 1 else "seed"
        if row[f"num_{replicate}s"] == 1:
            parts.append(f"one {replicate}: no interval")
        if budgets and row["budget_kind"] == "none" and row["role"] != "proxy" and row["num_complete"]:
            parts.append("trains on the whole pool: not compared with random")
        elif row["num_pairs_random"] > 1 and row["verdict"] == NOT_COMPARED:
            parts.append(f"the same difference to random in every {replicate}: no verdict")
        notes.append("; ".join(parts))
    return notes


def _sentence(row: dict[Any, Any], summary: pd.DataFrame) -> str:
    budgets = summary.loc[summary["budget_kind"] != "none", "budget"].nunique()
    where = f" at {row['budget']:,} examples" if budgets > 1 else ""
    difference, low, high = (100 * row[f"test_accuracy_vs_random{end}"] for end in ("", "_low", "_high"))
    interval = "" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]"
    pairs = f"{row['num_pairs_random']} pairs over folds" if row["folds"] > 1 else f"{row['num_pairs_random']} seeds"
    size = f"({difference:+.1f} points{interval}, {pairs})"
    words = {
        BETTER: "better than random",
        WORSE: "worse than random",
        UNDECIDED: "no difference to random shown",
        NOT_COMPARED: "no verdict against random",
    }[row["verdict"]]
    return f"{row['strategy']}{where}: {words} {size}"
