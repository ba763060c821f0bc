"""What `raybert.fit` returns: the trained model with its history, which predicts, is saved and loaded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from raybert.config import TrainConfig
from raybert.durable import make_folder
from raybert.errors import ModelError, TrialError
from raybert.files import read_json, save_arrays, write_frame, write_json
from raybert.fitting.identity import data_identity
from raybert.fitting.read import Reading, read_inputs
from raybert.fitting.tables import FitData, Table
from raybert.models import load_model, quiet_transformers
from raybert.models.description import DataColumns, ModelDescription, write_description
from raybert.models.encoder import as_trained, loading
from raybert.models.own import WEIGHTS, OwnClassifier, as_classifier
from raybert.training.inference import Inference
from raybert.training.measures.metrics import classification_metrics
from raybert.training.measures.own_metrics import import_metrics, own_values
from raybert.training.result import FitResult
from raybert.training.start import differing_keys

_FILE, _HISTORY, _ARRAYS = "fit.json", "history.parquet", "fit_arrays.npz"


@dataclass(frozen=True)
class TextSettings:
    """How texts are read.

    Attributes:
        tokenizer: of transformers.
        max_length: word pieces of a text.
        text: column of texts.
        text_pair: of second ones; None: there are none.
        label: of labels.
    """

    tokenizer: Any
    max_length: int
    text: str
    text_pair: str | None
    label: str


@dataclass(frozen=True)
class FittedModel:
    """A model trained by `raybert.fit`.

    Attributes:
        model: the module that was given, with the weights of its best evaluation.
        history: a row per evaluation: evaluation, pass, step, examples_seen, samples (of the pass), train_loss and
            train_accuracy (since the one before), validation_accuracy, ..., learning_rate, seconds.
        best: the row whose weights the model has.
        test: metrics on test, with these weights; None: there was none.
        label_names: class number -> name.
        validation_probs: (v, C) float32, with these weights; None: the run was stopped before its end.
        test_probs: (t, C) float32, likewise.
        rows: (n,) int64, which rows of `train` were candidates: all but those that were held out.
        positions: (k,) int64, which of these were chosen, as rows of `train`; None: all, or others in every pass.
        train_losses: (n,) float32, the cross entropy of each candidate when it was last trained on; NaN: never.
        train_loss_passes: (n,) int32, the pass of that loss; -1: never.
        stopped: whether it was asked to stop; the same call with the same `checkpoint` goes on.
        ran_on: device, precision, attention.
        notes: what a user should know.
    """

    model: nn.Module
    history: pd.DataFrame
    best: dict[str, Any]
    test: dict[str, float] | None
    label_names: tuple[str, ...]
    validation_probs: np.ndarray | None
    test_probs: np.ndarray | None
    rows: np.ndarray
    positions: np.ndarray | None
    train_losses: np.ndarray
    train_loss_passes: np.ndarray
    stopped: bool
    ran_on: str
    notes: tuple[str, ...]
    _reading: Reading
    _texts: TextSettings | None
    _precision: str
    _settings: dict[str, Any]
    _test_data: str | None

    @classmethod
    def of(
        cls,
        classifier: Any,
        data: FitData,
        result: FitResult,
        config: TrainConfig,
        reading: Reading,
        texts: TextSettings | None,
        positions: np.ndarray | None,
        settings: dict[str, Any],
    ) -> FittedModel:
        """Return what a run of the loop has left."""
        return cls(
            model=_given(classifier),
            history=pd.DataFrame(result.rows),
            best=dict(result.best_row),
            test=result.test_metrics,
            label_names=data.label_names,
            validation_probs=result.validation_probs,
            test_probs=result.test_probs,
            rows=data.rows,
            positions=None if positions is None else data.rows[positions],
            train_losses=result.train_losses,
            train_loss_passes=result.train_loss_passes,
            stopped=result.stopped,
            ran_on=str(result.ran_on),
            notes=result.notes,
            _reading=reading,
            _texts=texts,
            _precision=config.precision,
            _settings=settings,
            _test_data=data_identity(data.held_out),
        )

    def predict(self, data: Any) -> np.ndarray:
        """Return (m, C) float32 probabilities.

        Args:
            data: as `train`, with or without labels; or a list of texts.

        Raises:
            DataError: it cannot be read.
        """
        table = read_inputs(data, self._reading)
        return Inference(as_classifier(self.model), _Batches(), self._precision).probs(table)

    def tested_on(self, test: Table | None, config: TrainConfig) -> FittedModel:
        """Return the run with what its model says of these test data: measured now, where they are others."""
        digest = data_identity(test)
        if digest == self._test_data:
            return self
        if test is None:
            return replace(self, test=None, test_probs=None, _test_data=None)
        probs = Inference(as_classifier(self.model), _Batches(), self._precision).probs(test)
        found = classification_metrics(test.labels, probs)
        found |= own_values(import_metrics(config.metrics), test.labels, probs)
        return replace(self, test=found, test_probs=probs, _test_data=digest)

    def save(self, folder: str | Path) -> None:
        """Write the model, its history and its predictions.

        A classifier of transformers becomes a folder that `from_pretrained` reads, and with a tokenizer also
        `raybert.predict` and `raybert.evaluate`; of other modules it is the `state_dict` as `model.safetensors`.

        Args:
            folder: is made, or added to.
        """
        folder = Path(folder)
        make_folder(folder)
        with quiet_transformers():
            as_classifier(self.model).save_pretrained(folder)
        if self._texts is not None:
            self._save_texts(folder, self._texts)
        write_frame(self.history, folder / _HISTORY)
        arrays = {
            name: value
            for name in ("validation_probs", "test_probs", "rows", "positions", "train_losses", "train_loss_passes")
            if (value := getattr(self, name)) is not None
        }
        save_arrays(folder / _ARRAYS, **arrays)
        own = ("best", "test", "label_names", "stopped", "ran_on", "notes")
        document = {name: getattr(self, name) for name in own}
        document |= {
            "precision": self._precision,
            "settings": self._settings,
            "test_data": self._test_data,
            "class": type(self.model).__qualname__,
        }
        write_json(folder / _FILE, document)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model: nn.Module | None = None,
        *,
        tokenizer: Any = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> FittedModel:
        """Return what `save` wrote.

        Args:
            folder: that it wrote.
            model: a module like the one that was trained, which gets its weights; default: the classifier of
                transformers in the folder.
            tokenizer: of texts; default: that of the folder, where it has one.
            collate_fn: as of `raybert.fit`.

        Raises:
            ModelError: the folder holds none, or weights of another module.
        """
        folder = Path(folder)
        document = read_json(folder / _FILE)
        if document is None:
            raise ModelError(f"{folder}: must be a folder that `save` of a fitted model wrote, has no {_FILE}")
        if model is None and not (folder / "config.json").is_file():
            raise ModelError(f"{folder}: holds weights of '{document['class']}'; give such a module as `model`")
        classifier = load_model(folder) if model is None else _with_weights(as_classifier(model), folder)
        description = read_json(folder / "raybert.json")
        texts = _read_texts(folder, tokenizer, description or {})
        reading = Reading(
            tokenizer=None if texts is None else texts.tokenizer,
            max_length=0 if texts is None else texts.max_length,
            text="text" if texts is None else texts.text,
            text_pair=None if texts is None else texts.text_pair,
            label=None if texts is None else texts.label,
            collate=collate_fn,
            rows_per_pass=32,
            pad_id=int(getattr(getattr(_given(classifier), "config", None), "pad_token_id", None) or 0),
        )
        return _restored(folder, document, _given(classifier), reading, texts)

    def _save_texts(self, folder: Path, texts: TextSettings) -> None:
        as_trained(copy.deepcopy(texts.tokenizer), texts.max_length).save_pretrained(folder)
        columns = DataColumns(text=texts.text, text_pair=texts.text_pair, label=texts.label)
        names = self.label_names
        write_description(folder, ModelDescription(names, texts.max_length, columns, self._precision))

    def __repr__(self) -> str:
        metric = next((name for name in self.best if name.startswith("validation_")), None)
        best = "" if metric is None else f", {metric} {self.best[metric]:.4f}"
        state = "stopped" if self.stopped else "finished"
        return f"FittedModel({type(self.model).__name__}: {state}, {len(self.history)} evaluations{best})"


class _Batches:
    """Tables of a script make their batches themselves."""

    def batch(self, table: Table, positions: np.ndarray) -> dict[str, torch.Tensor]:
        return table.batch(positions)


def find_finished(
    checkpoint: Path | None, settings: dict[str, Any], classifier: Any, reading: Reading, texts: TextSettings | None
) -> FittedModel | None:
    """Return the finished run in a checkpoint folder, its weights in the classifier; None: there is none.

    Raises:
        TrialError: it is one of another run.
    """
    folder = None if checkpoint is None else checkpoint / "best"
    document = None if folder is None else read_json(folder / _FILE)
    if folder is None or document is None:
        return None
    others = differing_keys(document["settings"], json.loads(json.dumps(settings)))  # lists where there were tuples
    if others:
        raise TrialError(
            f"checkpoint: must be of the same run, but {folder} holds one with other options, data or parts (differs "
            f"in {', '.join(others)}); take another folder, or delete it"
        )
    return _restored(folder, document, _given(_with_weights(classifier, folder)), reading, texts)


def _restored(
    folder: Path, document: dict[str, Any], model: nn.Module, reading: Reading, texts: TextSettings | None
) -> FittedModel:
    with np.load(folder / _ARRAYS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return FittedModel(
        model=model,
        history=pd.read_parquet(folder / _HISTORY),
        best=document["best"],
        test=document["test"],
        label_names=tuple(document["label_names"]),
        validation_probs=arrays.get("validation_probs"),
        test_probs=arrays.get("test_probs"),
        rows=arrays["rows"],
        positions=arrays.get("positions"),
        train_losses=arrays["train_losses"],
        train_loss_passes=arrays["train_loss_passes"],
        stopped=document["stopped"],
        ran_on=document["ran_on"],
        notes=tuple(document["notes"]),
        _reading=reading,
        _texts=texts,
        _precision=document["precision"],
        _settings=document["settings"],
        _test_data=document["test_data"],
    )


def _given(classifier: Any) -> nn.Module:
    """Return the module that a user has given."""
    module: nn.Module = classifier.module if isinstance(classifier, OwnClassifier) else classifier
    return module


def _with_weights(classifier: Any, folder: Path) -> Any:
    """Return a classifier with the weights of a folder.

    Raises:
        ModelError: they are of another module.
    """
    module = _given(classifier)
    if not isinstance(classifier, OwnClassifier):  # whose files are those of transformers: tied, or in parts
        try:
            module.load_state_dict(load_model(folder).state_dict())
        except RuntimeError as error:
            raise ModelError(f"{folder}: does not fit {type(module).__name__}: {error}") from None
        return classifier
    try:
        module.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{folder / WEIGHTS}: does not fit {type(module).__name__}: {error}") from None
    return classifier


def _read_texts(folder: Path, tokenizer: Any, description: dict[str, Any]) -> TextSettings | None:
    if tokenizer is None and (folder / "tokenizer.json").is_file():
        from transformers import AutoTokenizer

        with loading(f"{folder}: its tokenizer"), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer is None or not description:
        return None
    columns = description["columns"]
    return TextSettings(tokenizer, description["max_length"], columns["text"], columns["text_pair"], columns["label"])
