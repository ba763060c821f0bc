"""The schedule `plateau`: the learning rate is reduced when evaluations get no better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raybert.config import TrainConfig, sign_of
from raybert.training.length import RunLength
from raybert.training.measures.early_stopping import stopping_metric


def plateau_factor(config: TrainConfig, rows: Sequence[Mapping[str, Any]], length: RunLength) -> float:
    """Return what the learning rate is multiplied by after these evaluations: 1 before the first reduction.

    The metric is that of early stopping. Evaluations inside the warm-up do not count. After a reduction, evaluations
    are counted anew; the best one stays what it was. Nothing but the rows decides, so that a checkpoint has it all.

    Args:
        config: of the run.
        rows: its evaluations so far.
        length: of the run, which says where on the schedule they were.

    Source: `torch.optim.lr_scheduler.ReduceLROnPlateau` with an absolute threshold; its patience is one less.
    """
    rule = config.schedule
    if rule.name != "plateau":
        return 1.0
    metric = stopping_metric(config)
    sign = sign_of(metric, config.early_stopping.direction)
    warmup = config.warmup(length.total_steps)
    factor, best, waited = 1.0, -math.inf, 0
    for row in rows:
        if length.position_of(row) < warmup:
            continue
        score = sign * float(row[f"validation_{metric}"])
        if score > best + rule.min_change:
            best, waited = score, 0
            continue
        waited += 1
        if waited == rule.patience:
            factor, waited = max(rule.min_factor, factor * rule.factor), 0
    return factor
