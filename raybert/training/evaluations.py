"""What one evaluation leaves: its row, and whether it is the best so far."""

from __future__ import annotations

import math

from raybert.config import MetricName, sign_of
from raybert.training.measures.history import LossHistory
from raybert.training.objective import Objective
from raybert.training.optimization.schedules import learning_rate_factor
from raybert.training.request import FitRequest
from raybert.training.state import Row, RunState


def evaluation_row(
    objective: Objective,
    metrics: dict[str, float],
    state: RunState,
    history: LossHistory,
    request: FitRequest,
    passes: float,
    position: float,
) -> Row:
    """Return the row of an evaluation; it ends the window of the training loss.

    Args:
        objective: makes the row of what is known.
        metrics: of the validation split.
        state: of the run.
        history: of its losses.
        request: of the run.
        passes: done, with the share of the current one.
        position: on the schedule, before the last step.
    """
    train_loss, train_accuracy = history.close_window()
    factor = learning_rate_factor(request.config, position, request.total_steps) * state.rate_factor
    values = {
        "evaluation": len(state.rows) + 1,
        "pass": round(passes, 4),
        "step": state.step,
        "examples_seen": state.examples_seen,
        "samples": state.samples_per_pass[-1],
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        **{f"validation_{name}": value for name, value in metrics.items()},
        "learning_rate": request.config.learning_rate * factor,
        "seconds": round(state.train_seconds + state.evaluation_seconds + state.selection_seconds, 3),
    }
    return objective.row(values)


def is_better(row: Row, best: Row | None, metric: MetricName) -> bool:
    """Tell whether an evaluation is better than the best one before; anything is better than none, or than NaN."""
    if best is None:
        return True
    new, old = (sign_of(metric) * float(each[f"validation_{metric}"]) for each in (row, best))
    return math.isnan(old) or new > old
