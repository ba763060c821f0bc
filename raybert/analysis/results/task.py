"""What the runs of a sweep predict, by the metrics that they have measured; and which metrics are shown of it."""

from __future__ import annotations

import pandas as pd

from raybert.config.metrics import metric_of
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, Task

_SIGNS: tuple[tuple[str, Task], ...] = (("rmse", REGRESSION), ("subset_accuracy", MULTI_LABEL))
"""A metric that every run of a task has, and no run of another one."""
_SECOND = {
    CLASSIFICATION: ("accuracy", "macro_f1"),
    MULTI_LABEL: ("micro_f1", "macro_f1"),
    REGRESSION: ("rmse", "spearman"),
}


def task_of_runs(frame: pd.DataFrame, metric: str = "") -> Task:
    """Return what runs predict.

    Args:
        frame: trials, evaluations, or a summary of these.
        metric: of the sweep, where no run has measured anything yet.
    """
    for name, task in _SIGNS:
        for column in (f"validation_{name}", f"test_{name}", f"test_{name}_mean"):
            if column in frame and frame[column].notna().any():
                return task
    known = metric_of(metric).tasks if metric else frozenset({CLASSIFICATION})
    return CLASSIFICATION if CLASSIFICATION in known else next(iter(known))


def majority_words(task: Task) -> str:
    """Return what a failed run is scored as, in words."""
    return {
        CLASSIFICATION: "the majority class",
        MULTI_LABEL: "the most frequent set of labels",
        REGRESSION: "the mean of the pool",
    }[task]


def groups_words(task: Task) -> tuple[str, str]:
    """Return what the label of an example in the pool is, several of them, and where it is no class what stands for it.

    Of several labels and of numbers it is the stratum that cuts and quotas go by.
    """
    return {
        CLASSIFICATION: ("classes", ""),
        MULTI_LABEL: ("labels", "every example counts once, by the rarest of its labels, as in quotas and cuts"),
        REGRESSION: ("ranges of numbers", "ranges lie between quantiles of train"),
    }[task]


def second_metric(task: Task, metric: str) -> str:
    """Return the metric that is shown beside that of the sweep."""
    first, second = _SECOND[task]
    return second if metric == first else first
