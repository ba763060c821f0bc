"""How many optimizer steps a pretraining has."""

from __future__ import annotations

import copy
import math
import statistics
import time
from dataclasses import replace

import numpy as np

from raybert.config.pretrain import PretrainConfig, PretrainLengthConfig
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packing import PackedTable
from raybert.training.interface import FixedPasses
from raybert.training.loop import fit
from raybert.training.request import FitRequest
from raybert.training.stopwatch import Stopwatch

_TIMED_STEPS, _WARM_UP_STEPS = 8, 2
_ENDLESS = 10**6
_EVALUATIONS = 11


def steps_of(length: PretrainLengthConfig, table: PackedTable, batch_size: int) -> int:
    """Return T for a length in steps, epochs or tokens.

    T = ceil(epochs * ceil(n / batch_size)), or ceil(tokens / (batch_size * mean pieces of a sequence)).

    Args:
        length: not in hours.
        table: of train, n sequences.
        batch_size: sequences per step.
    """
    if length.steps is not None:
        return length.steps
    if length.epochs is not None:
        return max(1, math.ceil(length.epochs * math.ceil(len(table) / batch_size)))
    assert length.tokens is not None
    per_step = min(batch_size, len(table)) * float(table.lengths.mean())
    return max(1, math.ceil(length.tokens / per_step))


def steps_within(seconds: float, objective: Pretraining, config: PretrainConfig, seed: int) -> int:
    """Return how many steps, with their evaluations, take so long on this machine, by timing a few of a copy.

    Args:
        seconds: of the whole run.
        objective: of the run; its model stays as it is.
        config: the section `pretrain`.
        seed: of the copy's order.
    """
    watch = Stopwatch(is_enough=lambda times: len(times) > _TIMED_STEPS)
    trial = replace(objective, model=copy.deepcopy(objective.model))
    train = config.as_train(_ENDLESS).model_copy(update={"eval_every": _ENDLESS, "checkpoint_seconds": 1e9})
    planner = FixedPasses(np.arange(len(objective.data.train)))
    fit(trial.model, objective.data, planner, FitRequest(train, _ENDLESS, seed, evaluate_test=False), watch, trial)
    started = time.monotonic()
    trial.evaluate()
    evaluation = time.monotonic() - started
    step = statistics.median(np.diff(watch.times)[_WARM_UP_STEPS:])
    return max(1, int((seconds - _EVALUATIONS * evaluation) / step))
