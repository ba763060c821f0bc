"""What predictions are worth, whatever their task: classes by `measures`, labels and numbers by `target_measures`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from raybert.evaluation.bootstrap import Interval, bootstrap_intervals
from raybert.evaluation.measures import Evaluation, evaluate_predictions, predicted_classes, predictions_frame
from raybert.evaluation.target_measures import evaluate_targets, target_frame, target_intervals, target_values
from raybert.training.measures.metrics import evaluation_metrics
from raybert.training.measures.of_targets import has_targets
from raybert.training.measures.own_metrics import OwnMetric, own_values


def evaluate_answers(
    answers: np.ndarray,
    probs: np.ndarray,
    names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    threshold: float = 0.5,
    num_resamples: int = 1000,
    own: Sequence[OwnMetric] = (),
) -> Evaluation:
    """Return every metric of a set of predictions, with its interval.

    Args:
        answers: (m,) class numbers, (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, C) or (m, L) probabilities, or (m, 1) numbers.
        names: of the classes, the labels or the number.
        groups: (m,) ids of what intervals draw together.
        threshold: of class 1 of two classes, or of every label.
        num_resamples: of the bootstrap; 0: no intervals.
        own: metrics of a user's own.

    Raises:
        RaybertError: as `evaluate_predictions` and `evaluate_targets`.
    """
    evaluate = evaluate_targets if has_targets(answers) else evaluate_predictions
    return evaluate(answers, probs, names, groups=groups, threshold=threshold, num_resamples=num_resamples, own=own)


def values_with_intervals(
    answers: np.ndarray,
    probs: np.ndarray,
    threshold: float = 0.5,
    *,
    units: np.ndarray | None = None,
    num_resamples: int = 1000,
    own: Sequence[OwnMetric] = (),
) -> dict[str, tuple[float, Interval]]:
    """Return of every metric its value and the ends of its interval.

    Args:
        answers: as of `evaluate_answers`.
        probs: likewise.
        threshold: likewise.
        units: (m,) numbers of what is drawn in resamples, as of `bootstrap_intervals`.
        num_resamples: of the bootstrap; 0: no intervals.
        own: metrics of a user's own.
    """
    if has_targets(answers):
        values = target_values(answers, probs, threshold, own)
        ends = target_intervals(answers, probs, threshold, units=units, num_resamples=num_resamples, own=own)
    else:
        held = (answers, probs, predicted_classes(probs, threshold))
        values = evaluation_metrics(*held) | own_values(own, *held)
        ends = bootstrap_intervals(*held, units=units, num_resamples=num_resamples, own=own)
    return {name: (value, ends[name]) for name, value in values.items()}


def frame_of_answers(
    example_ids: np.ndarray,
    answers: np.ndarray | None,
    probs: np.ndarray,
    names: Sequence[str],
    *,
    of_targets: bool,
    threshold: float = 0.5,
    texts: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per example, in the order given: `predictions_frame`, or `target_frame` of labels and numbers.

    Args:
        example_ids: (m,).
        answers: as of `evaluate_answers`; None: not known.
        probs: likewise.
        names: likewise.
        of_targets: whether labels or numbers are predicted.
        threshold: as of `evaluate_answers`.
        texts: (m,); default: left away.
    """
    frame = target_frame if of_targets else predictions_frame
    return frame(example_ids, answers, probs, names, threshold=threshold, texts=texts)
