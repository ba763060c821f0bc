"""`raybert explain`: what the queries of a trained IRIS read in documents, and what they look for in general."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.config import load_stored_config
from raybert.data.chunked import ChunkedData
from raybert.errors import ConfigError, ModelError, SweepError
from raybert.evaluation.retrieval import explain_documents, strongest_chunks
from raybert.files import writable_cache
from raybert.models import load_model
from raybert.models.iris import IrisClassifier
from raybert.sweeping.folder.best import read_best_id
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.phases.embed_chunks import embed_chunks_here
from raybert.sweeping.phases.prepare import Prepared, prepare_variants
from raybert.sweeping.phases.scoring_jobs import score_store
from raybert.sweeping.plan.grid import Variant
from raybert.training import Inference

_BLOCK = 256


@dataclass(frozen=True)
class Explanation:
    """What an IRIS classifier read.

    Attributes:
        trial_id: whose model it is.
        label_names: class number -> name.
        documents: rows of `explain_documents`, with the columns split and example_id in front.
        queries: for every label and query the chunks of the pool with the highest contribution, likewise.
        probs: (b, C) of the explained documents, by their order in `documents`.
    """

    trial_id: str
    label_names: tuple[str, ...]
    documents: pd.DataFrame
    queries: pd.DataFrame
    probs: np.ndarray

    def __repr__(self) -> str:
        return f"<Explanation of trial {self.trial_id}: {len(self.probs)} documents, {len(self.documents):,} terms>"


def explain_run(
    folder: str | Path,
    *,
    trial_id: str | None = None,
    split: str = "test",
    rows: Sequence[int] | None = None,
    num_documents: int = 5,
    num_chunks: int = 3,
) -> Explanation:
    """Return why an IRIS model of a results folder decided as it did.

    Chunks that the score store does not have are embedded in this process.

    Args:
        folder: of a sweep or of `raybert train`.
        trial_id: whose model; default: that of `best/`.
        split: train, validation or test.
        rows: of the split; default: the first `num_documents`.
        num_documents: how many are explained.
        num_chunks: of the pool, for every query.

    Raises:
        SweepError: there is no such trial, or it has no model.
        ConfigError: a row that is not there.
        ModelError: the model is no IRIS classifier, or its head is an MLP.
    """
    sweep = SweepFolder(Path(folder))
    trial_id = trial_id or read_best_id(sweep)
    trial = sweep.trial(trial_id)
    if not trial.has_model():
        raise SweepError(f"{trial.path}: must be a finished trial with its model")
    model = load_model(trial.checkpoints / "best")
    if not isinstance(model, IrisClassifier):
        raise ModelError(f"{trial.path}: must be a model of the kind iris to be explained, got {type(model).__name__}")
    ready = _prepare(sweep, trial)
    assert isinstance(ready.data, ChunkedData)
    table = getattr(ready.data, split)
    chosen = np.arange(min(num_documents, len(table))) if rows is None else np.asarray(rows)
    if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= len(table):
        raise ConfigError(f"documents: must be in 0..{len(table) - 1} (rows of {split}), got {chosen.tolist()}")
    whole_pool = np.arange(len(ready.data.train))
    parts = np.array_split(whole_pool, range(_BLOCK, len(whole_pool), _BLOCK))
    strongest = [strongest_chunks(_explained(model, ready, "train", part), num_chunks) for part in parts]
    distinct, places = np.unique(chosen, return_inverse=True)
    return Explanation(
        trial_id=trial_id,
        label_names=ready.data.label_names,
        documents=_explained(model, ready, split, chosen),
        queries=strongest_chunks(pd.concat(strongest, ignore_index=True), num_chunks),
        probs=Inference(model, ready.data, "fp32").probs(table, distinct)[places],  # as the contributions add up
    )


def _explained(model: IrisClassifier, ready: Prepared, split: str, rows: np.ndarray) -> pd.DataFrame:
    assert isinstance(ready.data, ChunkedData)
    table = getattr(ready.splits, split)
    texts = table["text_pair" if ready.data.is_pair else "text"].to_pylist()
    frame = explain_documents(model, getattr(ready.data, split), rows, ready.data.chunks[split].spans, texts)
    ids = np.array(table["example_id"].to_pylist(), np.str_)
    frame.insert(0, "example_id", ids[frame["position"].to_numpy()])
    frame.insert(0, "split", split)
    return frame


def _prepare(sweep: SweepFolder, trial: TrialFolder) -> Prepared:
    """Return the data that the trial was trained on, embedded."""
    config = load_stored_config(trial.path / "config.yaml")
    if config.model.trust_remote_code:  # somebody else's word for it does not count
        raise ModelError(
            f"{trial.path}: its encoder is computed by Python code that comes with it, which is not run here"
        )
    fold = int(trial.result()["fold"])
    variant = Variant({}, config, fold)
    prepared = prepare_variants([variant], writable_cache())
    return embed_chunks_here(
        variant.data_key, prepared[variant.data_key], config, score_store(config, sweep, num_nodes=1)
    )
