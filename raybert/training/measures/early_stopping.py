"""Which metrics a run may be judged by, and when none of its evaluations has been better for too long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raybert.config import MetricName, TrainConfig, metric_of, sign_of
from raybert.errors import ConfigError


def check_metrics(config: TrainConfig, num_classes: int) -> None:
    """Refuse metrics of two classes where there are more.

    Raises:
        ConfigError: says the key.
    """
    for key, metric in (("best_metric", config.best_metric), ("early_stopping.metric", config.early_stopping.metric)):
        if metric is not None and metric_of(metric).two_classes_only and num_classes != 2:
            raise ConfigError(
                f"train.{key}: must not be `{metric}` with {num_classes} classes, it is for two; take macro_f1 or mcc"
            )


def stopping_metric(config: TrainConfig) -> MetricName:
    """Return the validation metric of early stopping."""
    return config.early_stopping.metric or config.best_metric


def patience_is_over(config: TrainConfig, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether training is to stop early after these evaluations."""
    rule, metric = config.early_stopping, stopping_metric(config)
    if rule.patience is None:
        return False
    sign = sign_of(metric, rule.direction)
    scores = [sign * float(row[f"validation_{metric}"]) for row in rows]
    return evaluations_since_better(scores, rule.min_change) >= rule.patience


def evaluations_since_better(scores: list[float], min_change: float) -> int:
    """Return how many evaluations ago the score last rose by more than `min_change`.

    Args:
        scores: of all evaluations so far, higher = better; NaN is never better.
        min_change: >= 0.
    """
    best, since = -math.inf, 0
    for score in scores:
        since += 1
        if score > best + min_change:
            best, since = score, 0
    return since
