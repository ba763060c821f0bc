"""The public `fit`: a user's own model and data in the training loop of raybert, without Ray or a sweep file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from raybert.config import OptimizerConfig, TrainConfig
from raybert.config.load import validate_model
from raybert.config.tasks import CLASSIFICATION, PROBLEM_TYPES
from raybert.errors import ConfigError, ModelError
from raybert.fitting.chosen import plan_passes
from raybert.fitting.fitted import FittedModel, TextSettings, find_finished
from raybert.fitting.parts import own_parts
from raybert.fitting.read import Reading, read_data
from raybert.fitting.tables import FitData
from raybert.models.own import OwnClassifier, as_classifier
from raybert.models.tasks import task_of
from raybert.selection.strategy import Strategy
from raybert.training.checkpoint import remove_last
from raybert.training.inference import eval_mode
from raybert.training.interface import LocalSurroundings
from raybert.training.loop import fit as run_loop
from raybert.training.optimization.named import check_optimizer
from raybert.training.optimization.schedules import check_schedule
from raybert.training.request import FitRequest
from raybert.training.state import generator_states, set_generator_states

Row = Mapping[str, Any]


def fit(
    model: nn.Module,
    train: Any,
    validation: Any = 0.1,
    *,
    test: Any = None,
    tokenizer: Any = None,
    max_length: int = 128,
    text: str = "text",
    text_pair: str | None = None,
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    loss: Any = "cross_entropy",
    class_weights: str | Sequence[float] = "none",
    optimizer: Any = None,
    schedule: Any = None,
    strategy: str | Strategy | Sequence[int] | np.ndarray | Any = None,
    budget: int | float | None = None,
    parameters: Mapping[str, Any] | None = None,
    signals: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    on_evaluation: Callable[[Row], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    **options: Any,
) -> FittedModel:
    """Train a model of your own, in the same loop as in sweeps, and leave the weights of its best evaluation in it.

    It predicts one class per example: several labels, or a number, are what `raybert.train` learns (`data.task`).
    The order of the examples is raybert's own, from `seed`: examples of similar length go together where they have
    lengths. The model is trained in place, on `device`; the global generators are afterwards as they were.

    Args:
        model: a classifier: of transformers as it is, or any module that returns logits (b, C), or (b,) of two classes.
            Its `forward` gets the inputs that its parameters name, or one mapping of all, or those of
            `(input, ..., label)` in their order.
        train: `(texts, labels)`, `(texts, second texts, labels)` or a table (data frame, mapping of columns,
            `datasets.Dataset`) with a `tokenizer`; or items: a torch Dataset, a list or table of `(input, ..., label)`
            or mappings, `(arrays, labels)`, or a DataLoader of such, of which dataset, `collate_fn` and batch size
            are taken. Labels are class numbers from 0, or names.
        validation: data likewise, or the share of `train` that is held out for it.
        test: data likewise, measured once, with the best weights; default: none.
        tokenizer: a fast one of transformers, for texts.
        max_length: word pieces of a text, special ones included.
        text: column of the texts.
        text_pair: column of second texts.
        label: column or key of the label; default: `label` or `labels`.
        label_names: class number -> name; default: what the data say.
        collate_fn: makes a batch of items: tensors by name, or a tuple of them that ends with the labels.
        epochs: passes over what is trained on (default 3).
        steps: optimizer steps, in place of `epochs`.
        batch_size: examples per optimizer step; default: that of the DataLoader, else 32.
        loss: a name or section of `train.loss` (`"focal"`, `{"name": "focal", "gamma": 1}`), or a function or module
            (logits (b, C) float32, labels (b,)) -> (b,) losses.
        class_weights: `none`, `inverse` or `effective`, as `train.loss.class_weights`, or (C,) numbers.
        optimizer: a name or section of `train.optimizer` (`"lion"`), or a torch optimizer over the model's parameters,
            whose rates are the peaks of the schedule, or what makes one of them; default: AdamW.
        schedule: a name or section of `train.schedule`, or a torch scheduler of `optimizer`, stepped after every step.
        strategy: which examples: a strategy by name, `module:Class` or object, row numbers of `train`, or an object
            with `next_pass` (a `PassPlanner`); default: all.
        budget: examples that the strategy chooses: a number, or a share.
        parameters: of the strategy, where it is given by name.
        signals: arrays of n rows that the strategy reads, by name, as `raybert.select` takes them.
        seed: of order, dropout, held-out rows, ties and draws. The weights that the model begins with are yours.
        device: default: a GPU if there is one.
        checkpoint: folder to save to on the way and at the end. The same call continues exactly where it was stopped,
            and returns the finished run without training again. It belongs to options, data and parts, which are
            compared by their content and code (every item of a dataset is read for it, of one with random items only
            the labels); not to the weights that the model begins with.
        on_evaluation: called with the row of every evaluation.
        should_stop: asked between steps; once it is true the run saves its checkpoint and returns.
        **options: further keys of the section `train` of a sweep file: `learning_rate`, `precision`, `micro_batch_size`
            (accumulation), `max_grad_norm`, `averaging` (`ema`, `swa`), `early_stopping`, `eval_every`, `best_metric`,
            `metrics` (of your own, `["my_module:fn"]`), `warmup_fraction`, ...

    Returns:
        The model with its history (a row per evaluation), best evaluation, predictions, `save` and `load`.

    Raises:
        ConfigError: an option is unknown or out of range.
        DataError: the data cannot be read as examples with labels.
        ModelError: the model returns no logits, or has nothing to train.
        SelectionError: the strategy lacks a signal.
        TrialError: the loss is not finite, or `checkpoint` holds a run with other options, data or parts.

    Example:
        >>> found = raybert.fit(model, (texts, labels), tokenizer=tokenizer, epochs=2, loss="focal")
        >>> found.history[["step", "train_loss", "validation_accuracy"]]
    """
    named = {"optimizer": optimizer, "schedule": schedule}
    if checkpoint is None and options.get("checkpoints"):
        raise ConfigError("checkpoints: must come with `checkpoint`, the folder that they are kept in")
    config = _train_config(options, train, batch_size, epochs, steps, loss, class_weights, named)
    classifier = as_classifier(model)
    _check_parameters(model)
    reading = Reading(
        tokenizer=tokenizer,
        max_length=max_length,
        text=text,
        text_pair=text_pair,
        label=label,
        collate=collate_fn,
        rows_per_pass=config.micro_batch_size if isinstance(config.micro_batch_size, int) else config.batch_size,
        inputs=_named_inputs(classifier),
        pad_id=_pad_id(tokenizer, model),
    )
    data = read_data(train, validation, test, reading, label_names=label_names, seed=seed)
    chosen_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    classifier.to(chosen_device)
    data = _with_all_classes(classifier, data, chosen_device)
    length = plan_passes(
        data,
        config,
        strategy,
        budget=budget,
        parameters=parameters,
        signals=signals,
        seed=seed,
        compared=checkpoint is not None,
    )
    parts = own_parts(
        model, config, loss=loss, weights=class_weights, optimizer=optimizer, scheduler=schedule, data=data,
        chosen=length.identity, compared=checkpoint is not None,
    )  # fmt: skip
    if parts.optimizer is not None:
        config = config.model_copy(update={"learning_rate": float(parts.optimizer.param_groups[0]["lr"] or 0.0)})
    request = FitRequest(
        config, length.total_steps, seed, evaluate_test=test is not None, passes=length.passes, own=parts
    )
    folder = None if checkpoint is None else Path(checkpoint)
    settings = request.settings(data.fingerprint, 1)
    texts = None if tokenizer is None else TextSettings(tokenizer, max_length, text, text_pair, label or "label")
    finished = find_finished(folder, settings, classifier, reading, texts)
    if finished is not None:
        return finished.tested_on(data.held_out, config)
    surroundings = _Script(folder, heard=on_evaluation, asked=should_stop)
    with _generators_kept(chosen_device):
        result = run_loop(classifier, data, length.planner, request, surroundings)
    found = FittedModel.of(classifier, data, result, config, reading, texts, length.positions, settings)
    if folder is not None and not result.stopped:
        found.save(folder / "best")
        remove_last(folder)
    return found


@dataclass
class _Script(LocalSurroundings):
    """A plain process whose owner hears of evaluations, and may ask to stop."""

    heard: Callable[[Row], None] | None = None
    asked: Callable[[], bool] | None = None

    def report(self, row: Row) -> None:
        if self.heard is not None:
            self.heard(dict(row))

    def should_stop(self) -> bool:
        return self.asked is not None and bool(self.asked())


def _train_config(
    options: Mapping[str, Any],
    train: Any,
    batch_size: int | None,
    epochs: float | None,
    steps: int | None,
    loss: Any,
    class_weights: str | Sequence[float],
    named: Mapping[str, Any],
) -> TrainConfig:
    """Return the train section that the options describe.

    Raises:
        ConfigError: one is unknown or out of range.
    """
    if "length" in options:
        raise ConfigError("length: must be left out; give `epochs` or `steps`")
    if isinstance(loss, str):
        section: dict[str, Any] = {"name": loss}
    else:
        section = dict(loss) if isinstance(loss, Mapping) else {}
    if isinstance(class_weights, str) and class_weights != "none":
        section["class_weights"] = class_weights
    size = train.batch_size if batch_size is None and isinstance(train, DataLoader) else batch_size
    document = {
        **options,
        "loss": section,
        "length": {"epochs": epochs, "steps": steps, "min_steps": 0},
        **({} if size is None else {"batch_size": size}),
        **{key: value for key, value in named.items() if isinstance(value, str | Mapping)},
    }
    config = validate_model(TrainConfig, document)
    if config.optimizer != OptimizerConfig():
        check_optimizer(config)
    if config.schedule.is_own:
        check_schedule(config)
    return config


def _check_parameters(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ModelError(f"model: must be a torch.nn.Module, got {type(model).__name__}")
    if task_of(model) != CLASSIFICATION:
        raise ModelError(
            f"model: must predict one class per example, but its configuration says `problem_type: "
            f"{PROBLEM_TYPES[task_of(model)]}`; `raybert.train` trains such models, with `data.task: {task_of(model)}`"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"model: must have parameters that can be trained, {type(model).__name__} has none")


def _named_inputs(classifier: Any) -> frozenset[str] | None:
    """Return the inputs that a classifier of transformers names: it would not know what else a table holds."""
    if isinstance(classifier, OwnClassifier):
        return None
    reader = getattr(classifier, "backbone", classifier)  # a head of raybert's hands on what its encoder takes
    return frozenset(inspect.signature(reader.forward).parameters) - {"labels"}


def _pad_id(tokenizer: Any, model: nn.Module) -> int:
    """Return the word piece that fills rows: that of the tokenizer, or of the model; some count positions by it."""
    known = (getattr(tokenizer, "pad_token_id", None), getattr(getattr(model, "config", None), "pad_token_id", None))
    return next((int(number) for number in known if isinstance(number, int)), 0)


def _with_all_classes(classifier: Any, data: FitData, device: torch.device) -> FitData:
    """Return the data with a name for every class that the model has, found by asking it for one example.

    Raises:
        ModelError: the model cannot be asked, or has fewer classes than the labels.
    """
    batch = data.batch(data.train, np.zeros(1, np.int64))
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    with _generators_kept(device), eval_mode(classifier), torch.no_grad():
        num_classes = classifier(**inputs).logits.shape[1]
    if num_classes < data.num_classes:
        raise ModelError(
            f"model: must have a logit for each of the {data.num_classes} classes of the labels, returns {num_classes}"
        )
    further = tuple(str(number) for number in range(data.num_classes, num_classes))
    return FitData(data.train, data.validation, data.held_out, data.rows, (*data.label_names, *further))


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were before the block."""
    states = generator_states(device)
    try:
        yield
    finally:
        set_generator_states(states, device)
