"""What the training loop is asked to do for a trial, from its specification."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from raybert.config import CheckpointsConfig, MonitorConfig
from raybert.data.augment import Augmentation, make_augmentation
from raybert.models import Encoder, load_tokenizer
from raybert.models.tokenizer_options import with_options
from raybert.sweeping.plan.roles import PART, TRIAL, TUNE
from raybert.sweeping.plan.specs import RunSpec
from raybert.training import FitRequest

WITHOUT_TEST = (TUNE, PART)
"""Runs of a search, and what only serves scores, its own among them: tuning never reads the test split."""


def fit_request(spec: RunSpec, encoder: Encoder, texts: pa.Table | None) -> FitRequest:
    """Return the request of a trial.

    Args:
        spec: of the trial.
        encoder: whose tokenizer made its word pieces.
        texts: of its pool.

    Raises:
        ConfigError: its examples cannot be changed as `data.augment` says.
    """
    train = spec.config.train
    if spec.role != TRIAL:  # what only serves others keeps nothing
        train = train.model_copy(update={"checkpoints": CheckpointsConfig()})
    return FitRequest(
        train,
        spec.total_steps,
        spec.model_seed,
        last_step=spec.last_step,
        passes=spec.passes,
        examples=spec.examples,
        evaluate_test=spec.role not in WITHOUT_TEST or spec.scored_fraction is not None,  # that part is in its place
        monitor=spec.config.monitor if spec.role == TRIAL else MonitorConfig(),
        augmentation=_augmentation(spec, encoder, texts),
    )


def proxy_pooling(spec: RunSpec) -> Literal["mean", "cls"] | None:
    """Return how embeddings of the model that trains are pooled, where strategies read them; else None."""
    embedding = spec.config.selection.embedding
    return embedding.pooling if embedding.of == "proxy" else None


def _augmentation(spec: RunSpec, encoder: Encoder, texts: pa.Table | None) -> Augmentation | None:
    if spec.augment is None:
        return None
    config = spec.config.data
    return make_augmentation(config, with_options(load_tokenizer(encoder), config), texts)
