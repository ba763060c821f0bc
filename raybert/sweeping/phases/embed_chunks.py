"""The embeddings of documents' chunks, which IRIS trains on: computed once by the scoring pipeline, for all trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from raybert.config import RaybertConfig
from raybert.data import TokenizedData
from raybert.data.chunked import ChunkedData
from raybert.errors import Interrupted
from raybert.models import load_backbone
from raybert.selection.pipeline import ScoringJob, run_scoring
from raybert.selection.scorers.models import EmbeddingScorer
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.hung_scoring import hung_blocks_ended
from raybert.sweeping.cluster.staged_blocks import staged_blocks
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.cluster.tasks import share
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.phases.scoring_jobs import arithmetic, room_for_scoring
from raybert.training import Inference


def chunk_job(key: str, ready: Prepared, config: RaybertConfig) -> ScoringJob:
    """Return the scoring job that embeds the chunks of a data set.

    Args:
        key: of the data set.
        ready: with chunks that are not embedded.
        config: of a trial that uses it.
    """
    assert isinstance(ready.data, ChunkedData)
    pieces = ready.data.pieces
    scorer = EmbeddingScorer(ready.encoder, "mean")
    return ScoringJob(scorer, key, pieces.fingerprint, len(pieces.train), arithmetic(config, "auto"))


def embed_chunks(
    prepared: Mapping[str, Prepared],
    configs: Mapping[str, RaybertConfig],
    store: ScoreStore,
    cluster: Cluster,
    progress: Progress,
    interruption: Callable[[], bool],
    staging: Staging | None = None,
) -> dict[str, Prepared]:
    """Return the data sets with the vectors of their chunks, from the score store or by way of it.

    Args:
        prepared: data sets by key; those of token models are passed through.
        configs: a configuration for every key.
        store: where the vectors are kept.
        cluster: where they are computed.
        progress: told about every block.
        interruption: whether to stop.
        staging: how nodes reach the driver's files; None: there is one node.

    Raises:
        Interrupted: stopped on request; what is embedded is kept.
        ScoringError: the encoder failed.
    """
    jobs = {
        key: chunk_job(key, ready, configs[key])
        for key, ready in prepared.items()
        if isinstance(ready.data, ChunkedData)
    }
    if not jobs:
        return dict(prepared)
    progress.phase("prepare: embeddings of the chunks")
    texts = pa.table({"text": pa.array([], pa.string())})
    config = next(iter(configs.values()))
    with hung_blocks_ended(store, config.limits, progress.note) as guard:
        is_complete = run_scoring(
            list(jobs.values()),
            {key: share(ScoringData(_pieces(prepared[key]), texts)) for key in jobs},
            store,
            room=room_for_scoring(cluster, config),
            progress=lambda p: progress.scoring(p.rows_done, p.rows_total, p.rows_per_second),
            note=progress.note,
            should_stop=interruption,
            guard=staged_blocks(guard, list(jobs.values()), staging),
        )
    if not is_complete:
        raise Interrupted("stopped while chunks were embedded; the same command continues")
    vectors = {key: store.load(job.key)["embeddings"] for key, job in jobs.items()}
    return {key: _embedded(ready, vectors[key]) if key in jobs else ready for key, ready in prepared.items()}


def embed_chunks_here(key: str, ready: Prepared, config: RaybertConfig, store: ScoreStore) -> Prepared:
    """Return a data set with the vectors of its chunks, from the score store or computed in this process."""
    job = chunk_job(key, ready, config)
    if store.completion(job.key) is not None:
        return _embedded(ready, store.load(job.key)["embeddings"])
    pieces = _pieces(ready)
    model = load_backbone(ready.encoder).to(job.arithmetic.device)
    inference = Inference(model, pieces, job.arithmetic.precision, job.arithmetic.max_tokens)
    return _embedded(ready, inference.embeddings(pieces.train))


def _pieces(ready: Prepared) -> TokenizedData:
    assert isinstance(ready.data, ChunkedData)
    return ready.data.pieces


def _embedded(ready: Prepared, vectors: np.ndarray) -> Prepared:
    assert isinstance(ready.data, ChunkedData)
    return replace(ready, data=ready.data.with_vectors(vectors))
