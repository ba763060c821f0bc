"""The page of metrics, from their table."""

from __future__ import annotations

import math

from raybert.config.metrics import METRICS, Metric
from reference_pages.markdown import code, page, table

INTRODUCTION = """
What is measured on validation and test, by the task of the data (`data.task`): of classes, of several labels, or of
numbers. `train.best_metric`, `train.early_stopping.metric` and `sweep.tune.metric` take these names; columns are
`validation_<name>` and `test_<name>`. `raybert evaluate` measures all of them, with intervals and for every class;
trials measure those marked below, and any other that the sweep file names. Metrics of your own:
[](../how-to/metrics.md).
"""


_TASKS = {"classification": "classes", "multi_label": "labels", "regression": "numbers"}


def metrics_page() -> str:
    """Return every metric: what it is, its range, which end is better, what it reads, where it is measured."""
    header = ["metric", "of", "is", "range", "better", "classes", "reads", "measured by"]
    return page("Metrics", INTRODUCTION, table(header, [_row(metric) for metric in METRICS.values()]))


def _row(metric: Metric) -> tuple[str, ...]:
    highest = "∞" if math.isinf(metric.highest) else f"{metric.highest:g}"
    return (
        code(metric.name),
        " and ".join(words for task, words in _TASKS.items() if task in metric.tasks),
        f"{metric.words}: {metric.description}",
        f"{'-∞' if math.isinf(metric.lowest) else f'{metric.lowest:g}'} to {highest}",
        "lower" if metric.lower_is_better else "higher",
        "two" if metric.two_classes_only else "any",
        "probabilities" if metric.needs_probs else "predictions",
        metric.reported,
    )
