"""What is predicted of an example: one class, any number of labels, or a number. Nothing is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Task = Literal["classification", "multi_label", "regression"]
CLASSIFICATION: Task = "classification"
MULTI_LABEL: Task = "multi_label"
REGRESSION: Task = "regression"
EVERY_TASK: frozenset[Task] = frozenset({CLASSIFICATION, MULTI_LABEL, REGRESSION})
ONE_CLASS: frozenset[Task] = frozenset({CLASSIFICATION})
LABELS: frozenset[Task] = frozenset({CLASSIFICATION, MULTI_LABEL})

PROBLEM_TYPES: Mapping[Task, str] = {
    CLASSIFICATION: "single_label_classification",
    MULTI_LABEL: "multi_label_classification",
    REGRESSION: "regression",
}
"""What the configuration of a model of transformers calls each, in `problem_type`."""
TASK_OF: Mapping[str, Task] = {name: task for task, name in PROBLEM_TYPES.items()}

DEFAULT_LOSS: Mapping[Task, str] = {CLASSIFICATION: "cross_entropy", MULTI_LABEL: "bce", REGRESSION: "mse"}
LOSSES: Mapping[Task, tuple[str, ...]] = {
    CLASSIFICATION: ("cross_entropy", "bce", "focal"),
    MULTI_LABEL: ("bce", "focal"),
    REGRESSION: ("mse", "huber"),
}
"""The losses of raybert's that each task can be trained by, its default first."""
DEFAULT_METRIC: Mapping[Task, str] = {CLASSIFICATION: "accuracy", MULTI_LABEL: "micro_f1", REGRESSION: "rmse"}
