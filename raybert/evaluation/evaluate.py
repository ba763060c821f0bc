"""`raybert evaluate` and `raybert predict`: a trained model on a run's own split, or on a file of somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.data.unseen import UnseenExamples, read_unseen
from raybert.errors import DataError
from raybert.evaluation.measures import Evaluation, check_threshold, evaluate_predictions, predictions_frame
from raybert.evaluation.report import write_evaluation
from raybert.evaluation.targets import (
    Target,
    class_names_of_run,
    find_target,
    stored_predictions_of_folds,
    targets_of_folds,
)
from raybert.evaluation.trained_model import TrainedModel
from raybert.files import write_frame, write_json
from raybert.models.description import DataColumns, read_description

_TEXT_KEYS = ("text", "text_pair")


@dataclass(frozen=True)
class Question:
    """What to evaluate a model on.

    Attributes:
        data: a file, or a folder with a file per split; None: the split of the model's own run.
        split: of the run or of the folder.
        columns: key of the `data` section -> column, where it is not that of training.
        threshold: of class 1 of two classes.
        num_resamples: behind the intervals.
    """

    data: Path | None = None
    split: str = "test"
    columns: Mapping[str, str] | None = None
    threshold: float = 0.5
    num_resamples: int = 1000


@dataclass(frozen=True)
class Answer:
    """What `evaluate_target` found.

    Attributes:
        target: which model.
        evaluation: every metric.
        predictions: `predictions_frame`.
        notes: what had to be assumed.
    """

    target: Target
    evaluation: Evaluation
    predictions: pd.DataFrame
    notes: tuple[str, ...] = ()


def evaluate_target(path: str | Path, question: Question) -> Answer:
    """Evaluate the model that a path stands for.

    On its run's own split no model is loaded: the trial has kept what its best evaluation predicts.

    Args:
        path: as for `find_target`.
        question: on what.

    Raises:
        RaybertError: what is wrong with the path, the model or the data.
    """
    target = find_target(path)
    notes: tuple[str, ...] = ()
    if question.data is None:
        if question.columns:
            raise DataError(f"--{min(question.columns)}: names a column of --data, which must be given too")
        is_run = target.model.name == "best" and target.run is not None and Path(path).resolve() == target.run
        targets = targets_of_folds(target) if is_run else [target]
        examples, probs = stored_predictions_of_folds(targets, question.split)
        if len(targets) > 1:
            notes = (f"out of fold: {question.split} of {len(targets)} folds, each predicted by its own fold's model",)
        names = _names_of(target, probs.shape[1])
    else:
        model = TrainedModel.load(target.model)
        check_threshold(question.threshold, len(model.description.label_names))
        names, notes = model.description.label_names, model.notes
        examples = _read(question.data, model, question.columns, with_labels=True, split=question.split)
        probs = model.predict_probs(examples.texts, examples.text_pairs)
    assert examples.labels is not None
    evaluation = evaluate_predictions(
        examples.labels,
        probs,
        names,
        groups=examples.groups,
        threshold=question.threshold,
        num_resamples=question.num_resamples,
    )
    return Answer(target, evaluation, _frame(examples, probs, names, question.threshold), notes)


def write_answer(answer: Answer, question: Question, folder: Path) -> list[Path]:
    """Write metrics, tables, plots, predictions and what was evaluated, and return the plots.

    `about.json` is what tells two such folders apart.
    """
    from raybert.evaluation.plots import write_evaluation_plots  # matplotlib is slow to import

    target = answer.target
    write_evaluation(answer.evaluation, folder)
    write_frame(answer.predictions, folder / "predictions.parquet")
    write_json(
        folder / "about.json",
        {
            "model": str(target.model),
            "run": None if target.run is None else str(target.run),
            "trial_id": target.trial_id,
            "data": None if question.data is None else str(question.data.resolve()),
            "split": question.split if question.data is None or question.data.is_dir() else None,
            "threshold": answer.evaluation.threshold,
            "notes": list(answer.notes),
        },
    )
    return write_evaluation_plots(answer.evaluation, folder)


def predict_file(
    path: str | Path, file: Path, *, columns: Mapping[str, str] | None = None, threshold: float = 0.5
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return what the model that a path stands for predicts for the texts of a file, and what had to be assumed.

    Args:
        path: as for `find_target`.
        file: parquet, csv, jsonl, or txt with one text a line.
        columns: key of the `data` section (text, text_pair, id) -> column, where it is not that of training.
        threshold: of class 1 of two classes.

    Raises:
        RaybertError: what is wrong with the path, the model or the file.
    """
    model = TrainedModel.load(find_target(path).model)
    check_threshold(threshold, len(model.description.label_names))
    if file.is_dir():
        raise DataError(f"{file}: must be a file of texts, got a folder")
    examples = _read(file, model, columns, with_labels=False)
    probs = model.predict_probs(examples.texts, examples.text_pairs)
    return _frame(examples, probs, model.description.label_names, threshold, with_texts=True), model.notes


def _read(
    path: Path, model: TrainedModel, given: Mapping[str, str] | None, *, with_labels: bool, split: str = "test"
) -> UnseenExamples:
    """Read the columns of training, or those given in their place."""
    given = given or {}
    trained: DataColumns = model.description.columns
    keys = (*_TEXT_KEYS, "id", *(("label", "group") if with_labels else ()))
    columns = {key: given.get(key) or getattr(trained, key) for key in keys}
    required = {*_TEXT_KEYS, "label", *given}
    return read_unseen(
        path,
        {key: column for key, column in columns.items() if column is not None},
        required=required,
        split=split,
        label_names=model.description.label_names,
    )


def _frame(
    examples: UnseenExamples, probs: np.ndarray, names: tuple[str, ...], threshold: float, *, with_texts: bool = False
) -> pd.DataFrame:
    frame = predictions_frame(
        examples.ids,
        examples.labels,
        probs,
        names,
        threshold=threshold,
        texts=examples.texts if with_texts else None,
    )
    if with_texts and examples.text_pairs is not None:
        frame.insert(2, "text_pair", examples.text_pairs)
    if examples.groups is not None:
        frame.insert(1, "group", examples.groups)
    return frame


def _names_of(target: Target, num_classes: int) -> tuple[str, ...]:
    """Return the names of a run's classes: of the model's own description where it is still there."""
    description = read_description(target.model)
    if description is not None:
        return description.label_names
    assert target.run is not None
    return class_names_of_run(target.run, num_classes)
