"""`raybert explain`: what the queries of a trained IRIS read in documents, and what a token model attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.config import load_stored_config
from raybert.data import Splits, load_folds, load_splits
from raybert.data.chunked import ChunkedData
from raybert.data.rows import take_rows
from raybert.errors import ConfigError, ModelError, SweepError
from raybert.evaluation.explain_tokens import Text, TokenExplanation, explain_texts
from raybert.evaluation.retrieval import explain_documents, shared_chunks, strongest_chunks
from raybert.evaluation.trained_model import TrainedModel
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
        overlap: for every pair of queries how alike they are and how often they retrieve the same: `QUERY_OVERLAP`.
    """

    trial_id: str
    label_names: tuple[str, ...]
    documents: pd.DataFrame
    queries: pd.DataFrame
    probs: np.ndarray
    overlap: pd.DataFrame

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
    texts: Sequence[Text] | None = None,
    layer: int | None = None,
) -> Explanation | TokenExplanation:
    """Return what a model of a results folder read in documents.

    Of an IRIS model it is why it decided as it did; chunks that the score store does not have are embedded in this
    process. Of a token model it is what its heads attend to.

    Args:
        folder: of a sweep or of `raybert train`.
        trial_id: whose model; default: that of `best/`.
        split: train, validation or test.
        rows: of the split; default: the first `num_documents`.
        num_documents: how many are explained.
        num_chunks: of the pool, for every query of an IRIS model.
        texts: for a token model, in place of rows of a split.
        layer: of a token model, from 0; default: the last one.

    Raises:
        SweepError: there is no such trial, or it has no model.
        ConfigError: a row or a layer that is not there, or a key of the other kind of model.
        ModelError: the head of an IRIS model is an MLP, or an encoder gives no attention weights.
    """
    sweep = SweepFolder(Path(folder))
    trial_id = trial_id or read_best_id(sweep)
    trial = sweep.trial(trial_id)
    if not trial.has_model():
        raise SweepError(f"{trial.path}: must be a finished trial with its model")
    model = load_model(trial.checkpoints / "best")
    if not isinstance(model, IrisClassifier):
        names = tuple(f"text {number}" for number in range(len(texts or ())))
        if texts is None:
            table = getattr(load_splits_of(trial), split)
            chosen = _chosen_rows(rows, num_documents, table.num_rows, split)
            texts, names = _texts_at(table, chosen), tuple(f"{split} {row}" for row in chosen)
        return explain_texts(TrainedModel.load(trial.checkpoints / "best"), texts, names, layer)
    for key, given in (("texts", texts), ("layer", layer)):
        if given is not None:
            raise ConfigError(f"{key}: must be left out with an IRIS model, of which rows of a split are explained")
    ready = _prepare(sweep, trial)
    assert isinstance(ready.data, ChunkedData)
    table = getattr(ready.data, split)
    chosen = _chosen_rows(rows, num_documents, len(table), split)
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
        overlap=shared_chunks(model, ready.data.train),
    )


def _chosen_rows(rows: Sequence[int] | None, count: int, num_rows: int, split: str) -> np.ndarray:
    """Return the rows that are asked for, or the first ones.

    Raises:
        ConfigError: one is not there.
    """
    chosen = np.arange(min(count, num_rows)) if rows is None else np.asarray(rows)
    if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= num_rows:
        raise ConfigError(f"documents: must be in 0..{num_rows - 1} (rows of {split}), got {chosen.tolist()}")
    return chosen


def _texts_at(table: pa.Table, rows: np.ndarray) -> list[Text]:
    """Return the texts of some rows, or the pairs."""
    taken = take_rows(table, rows)
    if "text_pair" in taken.column_names:
        return list(zip(taken["text"].to_pylist(), taken["text_pair"].to_pylist(), strict=True))
    found: list[Text] = taken["text"].to_pylist()
    return found


def load_splits_of(trial: TrialFolder) -> Splits:
    """Return the texts that the trial was trained and measured on."""
    data, cache = load_stored_config(trial.path / "config.yaml").data, writable_cache()
    return load_folds(data, cache)[int(trial.result()["fold"])] if data.folds else load_splits(data, cache)


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
