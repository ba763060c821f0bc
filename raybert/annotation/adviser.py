"""The model that a round asks about texts: trained on those that have a label, or given by a path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from raybert.config import EarlyStoppingConfig, RaybertConfig
from raybert.config.tasks import CLASSIFICATION
from raybert.data.examples import ExampleTable
from raybert.data.tokens import TokenizedData
from raybert.durable import atomic_folder
from raybert.errors import ModelError
from raybert.evaluation.trained_model import TrainedModel
from raybert.files import json_digest
from raybert.models import Encoder, build_classifier, load_tokenizer, quiet_transformers
from raybert.models.description import ModelDescription, describe_data, write_description
from raybert.models.encoder import as_trained
from raybert.models.iris import IrisClassifier
from raybert.models.tokenizer_options import with_options
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit


@dataclass(frozen=True)
class Adviser:
    """A classifier, and the pool as it reads it.

    Attributes:
        inference: asks the model.
        table: the n rows of the pool.
        label_names: of the model: class number -> name.
        accuracy: on the validation split of the source; NaN: there is none.
    """

    inference: Inference
    table: ExampleTable
    label_names: tuple[str, ...]
    accuracy: float = np.nan

    @cached_property
    def _answers(self) -> tuple[np.ndarray, np.ndarray]:
        return self.inference.probs_and_features(self.table)

    @property
    def probs(self) -> np.ndarray:
        """(n, C) float32 probabilities of the pool."""
        return self._answers[0]

    @property
    def features(self) -> np.ndarray:
        """(n, h) float32 inputs of the last layer."""
        return self._answers[1]

    def dropout_probs(self, passes: int, seed: int) -> np.ndarray:
        """Return (n, passes, C) float32 probabilities with dropout."""
        return self.inference.dropout_probs(self.table, np.arange(len(self.table)), passes, seed)

    def embeddings(self, pooling: Literal["mean", "cls"]) -> np.ndarray:
        """Return (n, d) float32 unit vectors by the encoder of the model."""
        return self.inference.embeddings(self.table, pooling=pooling)


def train_adviser(
    config: RaybertConfig,
    data: TokenizedData,
    encoder: Encoder,
    rows: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    has_validation: bool,
) -> Adviser:
    """Train the model of a sweep file on some rows of a pool, as long as it would on a pool of these rows alone.

    Args:
        config: sections model and train.
        data: the pool as `train`, and the validation split of the source.
        encoder: whose word pieces these are.
        rows: (m,) that are trained on.
        labels: (m,) class numbers.
        seed: of head, order and dropout.
        has_validation: whether `data.validation` is a split of the source; else nothing is measured.
    """
    table = replace(data.train.take(rows), labels=labels.astype(np.int64))
    measured = data.validation if has_validation else table.take(np.arange(1))
    part = replace(
        data,
        train=table,
        validation=measured,
        test=measured,
        example_ids=data.example_ids[rows],
        fingerprint=json_digest([data.fingerprint, rows.tolist(), labels.tolist()]),
    )
    steps = config.train.length.resolve(len(rows), len(rows), config.train.batch_size)
    # One evaluation, at the end: the last weights are the model, whatever validation says.
    train = config.train.model_copy(update={"eval_every": steps, "early_stopping": EarlyStoppingConfig()})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_classifier(encoder, data.label_names, seed, config.model, data.task).to(device)
    request = FitRequest(train, steps, seed, evaluate_test=False)
    result = fit(model, part, FixedPasses(np.arange(len(rows))), request, LocalSurroundings())
    accuracy = float(result.best_row["validation_accuracy"]) if has_validation else np.nan
    return Adviser(Inference(model, data, config.train.precision), data.train, data.label_names, accuracy)


def given_adviser(folder: Path, texts: pa.Table, *, trust: bool) -> Adviser:
    """Return a trained model as the adviser, with the pool as that model reads it.

    Args:
        folder: of the model.
        texts: columns text and [text_pair].
        trust: whether code may run that comes with it.

    Raises:
        ModelError: there is no classifier there that can be asked.
    """
    trained = TrainedModel.load(folder, trust=trust)
    description = trained.description
    if description.task != CLASSIFICATION or isinstance(trained.model, IrisClassifier):
        raise ModelError(f"{folder}: must be a classifier of word pieces, to say which texts to label next")
    if (description.columns.text_pair is not None) != ("text_pair" in texts.column_names):
        raise ModelError(f"{folder}: must read pairs as the source has them; set data.text_pair, or leave it out")
    unlabelled = texts.append_column("label", pa.array(np.zeros(texts.num_rows, np.int64)))
    table, batches = trained.reader.read(unlabelled)
    return Adviser(Inference(trained.model, batches, trained.precision), table, description.label_names)


def save_model(folder: Path, adviser: Adviser, encoder: Encoder, config: RaybertConfig) -> None:
    """Write the model into a folder from which plain transformers and `raybert predict` load it."""
    data = config.data
    with atomic_folder(folder) as fresh, quiet_transformers():
        adviser.inference.model.save_pretrained(fresh)
        as_trained(with_options(load_tokenizer(encoder), data), data.max_length).save_pretrained(fresh)
        write_description(
            fresh,
            ModelDescription(
                **describe_data(data),
                label_names=adviser.label_names,
                precision=config.train.precision,
                encoder=encoder.name,
                encoder_fingerprint=encoder.fingerprint,
            ),
        )
