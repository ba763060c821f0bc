"""What failed runs do to a comparison, in words: what is left out, and what it says once they are scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from raybert.analysis.results.task import majority_words, task_of_runs
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import BETTER
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import difference_words, size_words, value_words, verdict_words
from raybert.config.metrics import metric_of
from raybert.config.tasks import CLASSIFICATION, Task

_MOST_NAMES = 4
WITH_FAILED = "with failed"
"""What the second row of a strategy is called in tables, behind its name."""


def failure_sentences(summary: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """Return a sentence for every configuration with failed runs: how many, and over what it is compared.

    Args:
        summary: of the sweep.
        comparisons: of the sweep.
    """
    failed = summary[(summary["num_failed"] > 0) & (summary["role"] == "trial")]
    return [_sentence(row, comparisons) for row in failed.to_dict("records")]


def scored_sentences(comparisons: pd.DataFrame, with_failures: pd.DataFrame) -> list[str]:
    """Return what every comparison that a failed run has a part in says once failed runs are scored.

    Args:
        comparisons: of the sweep.
        with_failures: of `compare_with_failures`.
    """
    better = {(row["baseline_configuration"], row[KEY]) for row in _of(comparisons, BETTER)}
    return [
        _scored(row, by_failures=(row["baseline_configuration"], row[KEY]) not in better)
        for row in with_failures.to_dict("records")
    ]


def scored_row(row: Mapping[Any, Any], compared: Mapping[Any, Any] | None) -> tuple[str, str, str]:
    """Return what the second row of a strategy in tables says: replicates, value and difference.

    Args:
        row: of the summary, with `with_failures_mean`.
        compared: its row of `compare_with_failures` beside the usual baseline; None: there is none.
    """
    metric, planned = str(row["metric"]), int(row["num_trials"]) - int(row["num_pending"])
    value = {f"test_{metric}_{end}": row[f"with_failures_{end}"] for end in ("mean", "std", "low", "high")}
    count = planned if row["folds"] <= 1 else int(row["folds"])
    return (
        str(count),
        value_words({**value, "num_replicates": count}, metric),
        "" if compared is None else difference_words(compared),
    )


def with_failed_lines(summary: pd.DataFrame) -> list[str]:
    """Say what the second rows of tables are; nothing where there are none."""
    if summary["with_failures_mean"].isna().all() or not (summary["num_complete"] > 0).any():
        return []
    task = task_of_runs(summary, str(summary["metric"].iloc[0]))
    more = ", which always predicts the most frequent class of the pool" if task == CLASSIFICATION else ""
    return [f"{WITH_FAILED}: every failed run scored as {majority_words(task)}{more}."]


def scored_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a summary in which failed runs count as the majority class: its metric on test, and the replicates.

    It is what `Compared.counted` is made of. A configuration whose failed runs are not known stays what it is.

    Args:
        summary: of a sweep.
    """
    is_scored = summary["with_failures_mean"].notna()
    found = summary.copy()
    for end in ("mean", "std", "low", "high"):
        columns = "test_" + summary["metric"] + f"_{end}"
        for column in set(columns[is_scored]):
            own = is_scored & (columns == column)
            found[column] = found[column].astype("float64").mask(own, summary[f"with_failures_{end}"])
    planned = (summary["num_trials"] - summary["num_pending"]).where(summary["folds"] <= 1, summary["folds"])
    return found.assign(num_replicates=found["num_replicates"].mask(is_scored, planned))


def failures_counted(
    summary: pd.DataFrame, *, with_names: bool = True, is_scored: bool = True, shows_lost: bool = False
) -> list[str]:
    """Return how a picture or table with one number a configuration counts failed runs; nothing where none failed.

    Args:
        summary: of the sweep.
        with_names: name the configurations, as far as they are few.
        is_scored: false: failed runs are left out there, as of what runs reached on validation.
        shows_lost: whether configurations of which every run failed are there, too.
    """
    failed = summary[(summary["num_failed"] > 0) & (summary["role"] == "trial")]
    is_lost = (failed["num_complete"] == 0) & (not shows_lost)
    counts = failed["with_failures_mean"].notna() & ~is_lost & is_scored
    task = task_of_runs(summary, str(summary["metric"].iloc[0])) if len(failed) else CLASSIFICATION
    said = []
    for rows, words in (
        (failed[counts], f"failed runs count as {majority_words(task)}"),
        (failed[~counts & ~is_lost], "failed runs are left out, which flatters who has them"),
    ):
        if len(rows):
            said.append(f"{words}: {_few_names(rows, with_counts=True)}" if with_names else words)
    if is_lost.any() and with_names:
        said.append(f"left out, since no run is complete: {_few_names(failed[is_lost], with_counts=False)}")
    return said


def _few_names(rows: pd.DataFrame, *, with_counts: bool) -> str:
    counts = rows.groupby("strategy", sort=False)[["num_failed", "num_trials"]].sum()
    names = [f"{name} ({few} of {number})" for name, few, number in counts.itertuples(name=None)]
    names = names if with_counts else list(map(str, rows[KEY]))
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return "; ".join([*names[:_MOST_NAMES], *more])


def is_flattered(row: Mapping[Any, Any]) -> bool:
    """Tell whether a row of `comparisons` is better, and by so much, only as long as failed runs are left out."""
    sign = Scale(row["metric"]).sign
    loses = row["verdict"] == BETTER and row["with_failures_verdict"] != BETTER
    return bool(loses and sign * row["with_failures_difference"] < sign * row["difference"])


def failed_throughout(summary: pd.DataFrame) -> list[str]:
    """Return the configurations of which every run failed."""
    is_lost = (summary["role"] == "trial") & (summary["num_failed"] == summary["num_trials"])
    return [str(name) for name in summary.loc[is_lost, KEY]]


def _sentence(row: Mapping[Any, Any], comparisons: pd.DataFrame) -> str:
    one, several = ("run", "runs") if row["folds"] > 1 else ("seed", "seeds")
    count, planned, waiting = row["num_failed"], row["num_trials"], row["num_pending"]
    pending = f" and {waiting} {'has' if waiting == 1 else 'have'} not finished" if waiting else ""
    front = f"{row[KEY]}: {count} of {planned} {one if planned == 1 else several} failed{pending}"
    if not row["num_complete"]:
        return f"{front}: compared with nothing."
    own = comparisons[comparisons[KEY] == row[KEY]]
    if not own.empty:
        left, beside = int(own["num_pairs"].iloc[0]), own["baseline"].iloc[0]
        return f"{front}: compared with {beside} over the {'one that is' if left == 1 else f'{left} that are'} left."
    if (comparisons["baseline_configuration"] == row[KEY]).any():
        return f"{front}: what is compared with it goes without {'it' if count == 1 else 'these'}."
    return f"{front}: left out of its mean."


def _scored(row: Mapping[Any, Any], *, by_failures: bool) -> str:
    """Return what a comparison says once failed runs are scored.

    Args:
        row: of `compare_with_failures`.
        by_failures: whether it would not be better without: that the baseline fails makes nothing better.
    """
    scale = Scale(row["metric"])
    is_made = row["verdict"] == BETTER and by_failures
    words = f"better only because {row['baseline']} fails" if is_made else verdict_words(row)
    values = f"{scale.value(row['mean'])} against {scale.value(row['baseline_mean'])}"
    scored = majority_words(_task_of(str(row["metric"])))
    return f"{row[KEY]}, with failed runs scored as {scored}: {words} ({values}, {size_words(row)})."


def _task_of(metric: str) -> Task:
    """Return the task of a metric; of one that several have, classification."""
    known = metric_of(metric).tasks
    return CLASSIFICATION if CLASSIFICATION in known else next(iter(known))


def _of(comparisons: pd.DataFrame, verdict: str) -> list[dict[Any, Any]]:
    return comparisons[comparisons["verdict"] == verdict].to_dict("records")
