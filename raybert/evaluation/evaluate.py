"""`raybert evaluate` and `raybert predict`: a trained model on a run's own split, or on data of somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from raybert.analysis.plot_formats import formats_of, in_formats
from raybert.config import DataConfig
from raybert.config.metrics import metric_of
from raybert.config.tasks import CLASSIFICATION, DEFAULT_METRIC
from raybert.data.label_columns import label_columns
from raybert.data.token_store import TokenStore
from raybert.data.unseen import UnseenExamples, read_unseen
from raybert.display import html_frame, html_section
from raybert.errors import DataError
from raybert.evaluation.any_task import evaluate_answers, frame_of_answers, values_with_intervals
from raybert.evaluation.by_columns import keys_of, metrics_by, naming_the_option, values_of_run
from raybert.evaluation.checkpoints import predicted_by_checkpoint
from raybert.evaluation.find import Target, find_target
from raybert.evaluation.measures import Evaluation, check_threshold
from raybert.evaluation.own_metrics import metrics_of_run, note_left_out, trusted_metrics, with_stored_values
from raybert.evaluation.report import write_evaluation
from raybert.evaluation.seen import note_on_seen, where_seen
from raybert.evaluation.target_measures import check_target_threshold, note_on_thresholds
from raybert.evaluation.targets import (
    output_names_of_run,
    stored_predictions_of_folds,
    targets_of_folds,
)
from raybert.evaluation.trained_model import TrainedModel
from raybert.files import write_frame, write_json
from raybert.models.description import DataColumns, read_description
from raybert.plain import csv_frame, printable_lines
from raybert.sweeping.folder.predictions import PREDICTIONS_FILE, read_predictions
from raybert.training.measures.of_targets import has_targets, task_of_answers
from raybert.training.measures.own_metrics import OwnMetric

_TEXT_KEYS = ("text", "text_pair")


@dataclass(frozen=True)
class Question:
    """What to evaluate a model on.

    Attributes:
        data: a file, a folder with a file per split, or a table; None: the split of the model's own run.
        split: of the sweep, or of the folder in `data`.
        columns: key of the `data` section -> column, where it is not that of training.
        threshold: of class 1 of two classes.
        num_resamples: behind the intervals.
        trust: whether metrics of a user's own that the model's run names are imported and measured, and the model
            itself, where it is one.
        by: columns of what is evaluated, for metrics of each value.
        quantiles: into how many parts columns of numbers among them are put together.
    """

    data: Path | pd.DataFrame | None = None
    split: str = "test"
    columns: Mapping[str, str] | None = None
    threshold: float = 0.5
    num_resamples: int = 1000
    trust: bool = False
    by: tuple[str, ...] = ()
    quantiles: int | None = None


@dataclass(frozen=True, repr=False)
class ModelEvaluation(Evaluation):
    """What a model's predictions are worth on a split of its run, or on other data.

    Attributes:
        target: which model.
        predictions: `predictions_frame`.
        notes: what had to be assumed.
        plots: that were written.
        by: `raybert.tables.evaluation.BY`, of the columns that were asked for; None: of none.
    """

    target: Target
    predictions: pd.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    plots: tuple[Path, ...] = ()
    by: pd.DataFrame | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        name = "accuracy" if "accuracy" in self.overall.index else str(self.overall.index[0])
        value, *_ = self.metric(name)
        return f"<ModelEvaluation of {self.target.model}: {', '.join(self._facts())}, {name} {value:.3f}>"

    def __str__(self) -> str:
        by = [] if self.by is None else [self.by.to_string(index=False)]
        tables = [self.overall.to_string(), *by, self.per_class.to_string(index=False), self.confusion.to_string()]
        lines = [f"{self.target.model}: {', '.join(self._facts())}", *tables, *self.notes]
        return printable_lines("\n".join(lines))

    def _repr_html_(self) -> str:
        """Show metrics, classes and confusions in a notebook."""
        overall, confusion = (html_frame(table, index=True) for table in (self.overall, self.confusion))
        title = str(self.target.model)
        return html_section(title, self._facts(), overall, html_frame(self.per_class), confusion, notes=self.notes)

    def _facts(self) -> list[str]:
        words = f"{len(self.label_names)} {'classes' if self.labels.ndim == 1 else 'outputs'}"
        return [f"{len(self.labels):,} examples", words]


def evaluate_target(path: str | Path, question: Question) -> ModelEvaluation:
    """Evaluate the model that a path stands for.

    On its run's own split no model is loaded: the trial has kept what its best evaluation predicts.

    Args:
        path: as for `find_target`.
        question: on what.

    Raises:
        RaybertError: what is wrong with the path, the model or the data.
    """
    target = find_target(path)
    targets = [target]
    notes: tuple[str, ...] = ()
    if question.data is None and question.columns:
        raise DataError(f"{min(question.columns)}: names a column of `data`, which must be given too")
    if question.data is None and target.is_checkpoint:
        examples, probs, names = predicted_by_checkpoint(target, question.split, trust=question.trust)
        columns = values_of_run(targets, question.split, question.by) if question.by else {}
    elif question.data is None:
        is_run = target.model.name == "best" and target.run is not None and Path(path).resolve() == target.run
        targets = targets_of_folds(target) if is_run else targets
        examples, probs = stored_predictions_of_folds(targets, question.split)
        if len(targets) > 1:
            notes = (f"out of fold: {question.split} of {len(targets)} folds, each predicted by its own fold's model",)
        names = _names_of(target, probs.shape[1], of_targets=has_targets(np.asarray(examples.labels)))
        columns = values_of_run(targets, question.split, question.by) if question.by else {}
    else:
        model = TrainedModel.load(target.model, trust=question.trust)
        _check_threshold(question.threshold, model)
        names, notes = model.description.label_names, model.notes
        examples = _read(
            question.data, model, question.columns, with_labels=True, split=question.split, further=keys_of(question.by)
        )
        columns = {column: examples.further[key] for key, column in keys_of(question.by).items()}
        notes = (*notes, *examples.notes)
        # Held-out data are read for one model after another; what `predict` is given leaves nothing on the disk.
        probs = model.predict_probs(examples.texts, examples.text_pairs, store=TokenStore.in_cache())
    assert examples.labels is not None
    answers = np.asarray(examples.labels)
    configs = metrics_of_run(target)
    own, changes = trusted_metrics(target, configs) if question.trust and configs else ((), ())
    evaluation = evaluate_answers(
        answers,
        probs,
        names,
        groups=examples.groups,
        threshold=question.threshold,
        num_resamples=question.num_resamples,
        own=own,
    )
    if configs and not own:
        of_its_best = question.data is None and not target.is_checkpoint
        as_stored = of_its_best and len(targets) == 1 and question.threshold == 0.5
        if as_stored:
            overall, changes = with_stored_values(evaluation.overall, target, question.split, configs)
            evaluation = replace(evaluation, overall=overall)
        else:
            changes = (note_left_out(configs),)
    notes = (*notes, *changes, *_thresholds_of_labels(target, question, answers, probs, names))
    by = _metrics_by(columns, evaluation, examples, question, own)
    parts = {part.name: getattr(evaluation, part.name) for part in fields(evaluation)}
    of_targets = has_targets(answers)
    predictions = _frame(examples, probs, names, question.threshold, of_targets=of_targets)
    seen = None if question.data is None else where_seen(target, examples, names)
    if seen is not None:
        predictions.insert(1, "seen", seen)
        notes = (*notes, *note_on_seen(seen, *_main_metric(evaluation, question.threshold)))
    return ModelEvaluation(**parts, target=target, predictions=predictions, notes=notes, by=by)


def _main_metric(evaluation: Evaluation, threshold: float) -> tuple[str, Callable[[np.ndarray], float]]:
    """Return the metric that is told of a part of the examples, in words, and what measures it there."""
    metric = metric_of(DEFAULT_METRIC[task_of_answers(evaluation.labels)])

    def value(part: np.ndarray) -> float:
        labels, probs = evaluation.labels[part], evaluation.probs[part]
        return values_with_intervals(labels, probs, threshold, num_resamples=0)[metric.name][0]

    return metric.words, value


def _thresholds_of_labels(
    target: Target, question: Question, answers: np.ndarray, probs: np.ndarray, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the note on thresholds of several labels that are chosen on validation."""
    if not has_targets(answers) or len(names) == 1 or target.run is None or target.trial_id is None:
        return ()
    if question.split == "validation" or target.is_checkpoint:  # what is held is of the best evaluation
        return ()
    held = read_predictions(target.run / "trials" / target.trial_id / PREDICTIONS_FILE).get("validation")
    return () if held is None else (note_on_thresholds(held, answers, probs, names),)


def _check_threshold(threshold: float, model: TrainedModel) -> None:
    """Refuse a threshold that a model cannot decide by, before anything is computed."""
    num_outputs = len(model.description.label_names)
    if model.description.task == CLASSIFICATION:
        check_threshold(threshold, num_outputs)
    else:
        check_target_threshold(threshold, num_outputs)


def _metrics_by(
    columns: Mapping[str, np.ndarray],
    evaluation: Evaluation,
    examples: UnseenExamples,
    question: Question,
    own: Sequence[OwnMetric],
) -> pd.DataFrame | None:
    """Return the metrics by columns; None: none are asked for."""
    if not columns:
        return None
    return metrics_by(
        columns,
        evaluation.labels,
        evaluation.probs,
        question.threshold,
        units=None if examples.groups is None else pd.factorize(np.asarray(examples.groups))[0],
        quantiles=question.quantiles,
        num_resamples=question.num_resamples,
        own=own,
    )


def write_model_evaluation(found: ModelEvaluation, question: Question, folder: Path) -> ModelEvaluation:
    """Write metrics, tables, plots, predictions and what was evaluated, and return the evaluation with its plots.

    `about.json` is what tells two such folders apart.
    """
    from raybert.evaluation.plots import write_evaluation_plots  # matplotlib is slow to import

    target, data = found.target, question.data
    write_evaluation(found, folder)
    write_frame(found.predictions, folder / "predictions.parquet")
    if found.by is not None:
        write_frame(csv_frame(found.by), folder / "by.csv")
    else:
        (folder / "by.csv").unlink(missing_ok=True)  # of an earlier evaluation
    write_json(
        folder / "about.json",
        {
            "model": str(target.model),
            "run": None if target.run is None else str(target.run),
            "trial_id": target.trial_id,
            "data": f"a table of {len(data):,} rows"
            if isinstance(data, pd.DataFrame)
            else data and str(data.resolve()),
            "split": question.split if data is None or (isinstance(data, Path) and data.is_dir()) else None,
            "threshold": found.threshold,
            "notes": list(found.notes),
        },
    )
    with in_formats(formats_of(target.run)):
        return replace(found, plots=tuple(write_evaluation_plots(found, folder)))


def predict_texts(
    path: str | Path,
    texts: Path | pd.DataFrame | Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    threshold: float = 0.5,
    trust: bool = False,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return what the model that a path stands for predicts for texts, and what had to be assumed.

    Args:
        path: as for `find_target`.
        texts: a file (any that training reads, or txt with one text a line), a table, or the texts themselves.
        columns: key of the `data` section (text, text_pair, id) -> column, where it is not that of training.
        threshold: of class 1 of two classes.
        trust: whether a model of a user's own that the folder names is imported.

    Raises:
        RaybertError: what is wrong with the path, the model or the texts.
    """
    model = TrainedModel.load(find_target(path).model, trust=trust)
    _check_threshold(threshold, model)
    if isinstance(texts, Path) and texts.is_dir():
        raise DataError(f"{texts}: must be a file of texts, got a folder")
    examples = _read(texts, model, columns, with_labels=False)
    names = model.description.label_names
    frame = _frame(
        examples,
        _probs_of(model, examples, len(names)),
        names,
        threshold,
        with_texts=True,
        of_targets=model.description.task != CLASSIFICATION,
    )
    if examples.blank is not None:
        nothing = float("nan") if frame["predicted"].dtype.kind == "f" else None
        frame["predicted"] = frame["predicted"].where(~examples.blank, nothing)
    return frame, (*model.notes, *examples.notes)


def _probs_of(model: TrainedModel, examples: UnseenExamples, num_classes: int) -> np.ndarray:
    """Return (m, C) probabilities, NaN where there is no text."""
    if examples.blank is None:
        return model.predict_probs(examples.texts, examples.text_pairs)
    rows = np.flatnonzero(~examples.blank).tolist()
    pairs = None if examples.text_pairs is None else [examples.text_pairs[row] for row in rows]
    probs = np.full((len(examples.texts), num_classes), np.nan, np.float32)
    probs[rows] = model.predict_probs([examples.texts[row] for row in rows], pairs)
    return probs


def _read(
    source: Path | pd.DataFrame | Sequence[str],
    model: TrainedModel,
    given: Mapping[str, str] | None,
    *,
    with_labels: bool,
    split: str = "test",
    further: Mapping[str, str] = MappingProxyType({}),
) -> UnseenExamples:
    """Read the columns of training, or those given in their place."""
    given = given or {}
    trained: DataColumns = model.description.columns
    keys = (*_TEXT_KEYS, "id", *(("label", "group") if with_labels else ()))
    columns = {key: given.get(key) or getattr(trained, key) for key in keys}
    required = {*_TEXT_KEYS, "label", *given}
    task = None
    if with_labels and model.description.task != CLASSIFICATION:
        label = columns["label"] if isinstance(columns["label"], str) else tuple(columns["label"])
        task = DataConfig(label=label, task=model.description.task, label_separator=model.description.label_separator)
        if isinstance(label, tuple):
            columns |= {"label": None, **label_columns(label)}
            required |= label_columns(label).keys()
    with naming_the_option():
        return read_unseen(
            source,
            {key: column for key, column in columns.items() if column is not None},
            required=required,
            split=split,
            label_names=model.description.label_names,
            further=further,
            task=task,
        )


def _frame(
    examples: UnseenExamples,
    probs: np.ndarray,
    names: tuple[str, ...],
    threshold: float,
    *,
    of_targets: bool,
    with_texts: bool = False,
) -> pd.DataFrame:
    texts = examples.texts if with_texts else None
    frame = frame_of_answers(
        examples.ids, examples.labels, probs, names, of_targets=of_targets, threshold=threshold, texts=texts
    )
    if with_texts and examples.text_pairs is not None:
        frame.insert(2, "text_pair", examples.text_pairs)
    if examples.groups is not None:
        frame.insert(1, "group", examples.groups)
    return frame


def _names_of(target: Target, num_outputs: int, *, of_targets: bool) -> tuple[str, ...]:
    """Return the names of what a run's models say: of the model's own description where it is still there."""
    description = read_description(target.model)
    if description is not None:
        return description.label_names
    assert target.run is not None
    return output_names_of_run(target.run, num_outputs, of_targets=of_targets)
