"""What a strategy reads of texts that have no label: what needs none, and what the round's model says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raybert.annotation.adviser import Adviser
from raybert.config import RaybertConfig
from raybert.data.tokens import TokenizedData
from raybert.errors import ConfigError
from raybert.models import Encoder
from raybert.selection.declared_signals import FREE, Signal
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import Arithmetic, PoolScorer, Scorer, ScoringData
from raybert.selection.signals import needed_signals
from raybert.training.optimization.precision import resolve_precision

OF_THE_MODEL = frozenset({"probs", "feature_norms", "features", "dropout_probs"})
"""Signals that the model of a round gives, in place of proxies."""
WITHOUT_LABELS = frozenset({"texts", "tfidf_distance", "perplexity", "embeddings"})
"""Signals of raybert's that no label goes into, besides those of single texts."""
_ROWS = 4096


def check_strategy(label: str, needs: Collection[str], config: RaybertConfig) -> None:
    """Refuse a strategy that reads the labels of the whole pool.

    Args:
        label: of the strategy.
        needs: signals that it reads.
        config: section selection.

    Raises:
        ConfigError: says which signal, and what to do.
    """
    for signal in needed_signals(set(needs) - FREE, config.selection):
        needs_none = signal.name in OF_THE_MODEL | WITHOUT_LABELS or signal.text is not None or signal.column
        if not needs_none:
            raise ConfigError(
                f"strategy: '{label}' reads {signal.name} ({signal.description[0].lower()}{signal.description[1:-1]}), "
                "which needs the label of every text; take one that asks the model, the embeddings or the texts, such "
                "as badge, confidence, bald, cal, typiclust, probcover or k_center"
            )


def asks_the_model(needs: Collection[str], config: RaybertConfig) -> bool:
    """Tell whether a strategy cannot choose without a model of the classes."""
    names = {signal.name for signal in needed_signals(set(needs) - FREE, config.selection)}
    return bool(names & OF_THE_MODEL) or ("embeddings" in names and config.selection.embedding.of == "proxy")


def gather(
    needs: Collection[str],
    config: RaybertConfig,
    data: TokenizedData,
    texts: pa.Table,
    encoder: Encoder,
    language_model: Encoder | None,
    adviser: Adviser | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the signals of all rows of a pool that a strategy reads, in this process.

    Args:
        needs: names of the signals.
        config: sections data, selection and train.
        data: the pool as `train`.
        texts: the pool with columns text, [text_pair], and those of the source that are signals.
        encoder: the frozen one.
        language_model: that of perplexity, where it is read.
        adviser: what is asked for the signals of a model; None: none of them is read.
        seed: of dropout.
    """
    found: dict[str, np.ndarray] = {"lengths": data.train.lengths}
    precision = resolve_precision(config.train.precision, _device()).name
    scoring = ScoringData(data, texts, Arithmetic(precision, device=_device().type))
    for signal in needed_signals(set(needs) - FREE, config.selection):
        if signal.name in found:
            continue
        if signal.name in OF_THE_MODEL or (signal.name == "embeddings" and config.selection.embedding.of == "proxy"):
            assert adviser is not None
            found[signal.name] = _ask(signal, adviser, config, seed)
        else:
            found |= _compute(signal, config, scoring, encoder, language_model, found)
    return found


def _ask(signal: Signal, adviser: Adviser, config: RaybertConfig, seed: int) -> np.ndarray:
    """Return what the model says."""
    if signal.name == "embeddings":
        return adviser.embeddings(config.selection.embedding.pooling)
    if signal.name == "dropout_probs":
        return adviser.dropout_probs(config.selection.scorers.dropout.passes, seed)
    if signal.name == "probs":
        return adviser.probs
    return adviser.features if signal.name == "features" else np.linalg.norm(adviser.features, axis=1)


def _compute(
    signal: Signal,
    config: RaybertConfig,
    scoring: ScoringData,
    encoder: Encoder,
    language_model: Encoder | None,
    known: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return what a scorer of sweeps computes, block by block."""
    scorer = signal.make_scorer(
        ScorerRequest(
            config.selection,
            config.data.max_length,
            encoder,
            language_model,
            in_chunks=False,
            cross_fit_seed=0,
            signal_runs=(),
            folder_of=_no_run,
            model_of=_no_run,
            losses_of=_no_run,
            columns={signal.column: ""} if signal.column else {},
            data=config.data,
        )
    )
    if isinstance(scorer, PoolScorer):
        return scorer.compute(scoring, known)
    assert isinstance(scorer, Scorer)
    score, rows = scorer.load(scoring), len(scoring.data.train)
    parts = [score(np.arange(start, min(start + _ROWS, rows))) for start in range(0, rows, _ROWS)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _no_run(run: str) -> Any:
    raise AssertionError(f"no run is read, got {run}")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
