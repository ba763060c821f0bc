"""What the task of a sweep file decides: defaults of loss and metric, and what is refused with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybert.config.data import DataConfig
from raybert.config.metrics import METRICS, metric_of
from raybert.config.model import ModelConfig
from raybert.config.tasks import CLASSIFICATION, DEFAULT_LOSS, DEFAULT_METRIC, LOSSES, MULTI_LABEL, REGRESSION, Task
from raybert.config.train import TrainConfig
from raybert.config.tune import TuneConfig


def with_defaults_of_task(document: Any) -> Any:
    """Return a sweep file with the loss and the metric of several labels, or of numbers, where it says nothing.

    Args:
        document: as written; what is no mapping is left to validation.
    """
    task = _task_of(document.get("data")) if isinstance(document, Mapping) else None
    if task is None:
        return document
    train = document.get("train") or {}
    if isinstance(train, TrainConfig):
        return document
    if not isinstance(train, Mapping):
        return document
    filled = {"best_metric": DEFAULT_METRIC[task], "loss": DEFAULT_LOSS[task], **train}
    if isinstance(filled["loss"], Mapping) and "name" not in filled["loss"]:
        filled["loss"] = {"name": DEFAULT_LOSS[task], **filled["loss"]}
    return {**document, "train": filled}


def _task_of(data: Any) -> Task | None:
    """Return the task that a section `data` says, if it is not to predict one class."""
    if isinstance(data, DataConfig):
        return None if data.predicts == CLASSIFICATION else data.predicts
    if not isinstance(data, Mapping):
        return None
    if data.get("task", "auto") == REGRESSION:
        return REGRESSION
    several = isinstance(data.get("label"), (list, tuple)) and data.get("task", "auto") == "auto"
    return MULTI_LABEL if several or data.get("task") == MULTI_LABEL else None


def check_task(data: DataConfig, model: ModelConfig, train: TrainConfig, tune: TuneConfig | None) -> None:
    """Refuse losses, metrics and models that a task has not.

    Raises:
        ValueError: the key, the rule and what there is.
    """
    task = data.predicts
    known = LOSSES[task]
    if train.loss.name not in known and ":" not in train.loss.name:
        raise ValueError(
            f"train.loss.name: must be one of {', '.join(known)} with `data.task: {task}`, got {train.loss.name}"
        )
    named = {
        "train.best_metric": train.best_metric,
        "train.early_stopping.metric": train.early_stopping.metric,
        "sweep.tune.metric": None if tune is None else tune.metric,
    }
    own = {one.name for one in train.metrics}
    for key, name in named.items():
        if name is not None and name not in own and name in METRICS and task not in metric_of(name).tasks:
            able = ", ".join(metric.name for metric in METRICS.values() if task in metric.tasks)
            raise ValueError(f"{key}: must be one of {able} with `data.task: {task}`, got {name}")
    if task == CLASSIFICATION:
        return
    if train.loss.class_weights != "none":
        raise ValueError(
            f"train.loss.class_weights: must be none with `data.task: {task}`, got {train.loss.class_weights}; "
            "take pos_weight for rare labels"
        )
    if data.noise is not None and data.noise.is_planted:
        raise ValueError(f"data.noise: must be left out with `data.task: {task}`, whose labels it cannot flip")
    if model.kind != "encoder":
        raise ValueError(f"model.kind: must be encoder with `data.task: {task}`, got {model.kind}")
