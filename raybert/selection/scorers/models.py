"""Signals that a model computes: embeddings of the frozen encoder, and outputs of proxy models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from raybert.data import TokenTable
from raybert.data.nulls import null_table
from raybert.files import reading_back
from raybert.models import Encoder, load_backbone, load_model, load_tokenizer
from raybert.models.own_kind import is_own_model
from raybert.selection.folds import assign_folds
from raybert.selection.keys import draw_keys
from raybert.selection.losses import mean_cross_entropy
from raybert.selection.scorers.request import ScorerRequest, SignalRuns
from raybert.selection.scorers.scorer import ScoreFunction, Scorer, ScoringData
from raybert.training.inference import Inference

HeldoutSignal = Literal["probs", "heldout_probs", "irreducible_loss"]


@dataclass(frozen=True)
class EmbeddingScorer:
    """`embeddings` (n, d): L2-normalised last hidden states of the frozen encoder, pooled over word pieces."""

    signals = ("embeddings",)
    uses_model = True
    passes = 1
    runs = ()

    encoder: Encoder
    pooling: Literal["mean", "cls"]

    def identity(self) -> dict[str, Any]:
        """Return encoder files and pooling."""
        return {"scorer": "embeddings", "encoder": self.encoder.fingerprint, "pooling": self.pooling}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that embeds positions."""
        assert not self.encoder.is_pending, "its own weights are not there yet"
        return _embedder(load_backbone(self.encoder), scoring_data, self.pooling)


@dataclass(frozen=True)
class DocumentEmbeddingScorer:
    """`embeddings` (n, d): the L2-normalised mean of a document's chunks, as IRIS sees them."""

    signals = ("embeddings",)
    uses_model = False
    passes = 0
    runs = ()

    encoder: Encoder

    def identity(self) -> dict[str, Any]:
        """Return encoder files; how documents are cut is in the data's fingerprint."""
        return {"scorer": "document_embeddings", "encoder": self.encoder.fingerprint}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that averages the chunks of positions."""
        table = scoring_data.data.train

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            rows = table.mean_vectors(positions)
            return {"embeddings": rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)}

        return score


@dataclass(frozen=True)
class OneProxy:
    """What scorers have in common that read one proxy, the first one of several.

    Attributes:
        run: the proxy's trial id.
        checkpoint: folder of its model.
        trust: whether code that comes with the encoder may run.
    """

    uses_model = True

    run: str
    checkpoint: Path
    trust: bool = False

    @classmethod
    def of(cls, request: ScorerRequest, **more: Any) -> Self:
        """Return what reads the proxy of a trial.

        Args:
            request: of the trial.
            more: the other fields.
        """
        run = request.runs("proxy").runs[0]
        return cls(run, request.model_of(run), _trust(request), **more)

    @property
    def runs(self) -> tuple[str, ...]:
        """The proxy's trial id."""
        return (self.run,)

    def load_proxy(self, scoring_data: ScoringData) -> Inference:
        """Return its outputs on any table."""
        return load_proxy(self.checkpoint, scoring_data, trust=self.trust)


@dataclass(frozen=True)
class ProxyEmbeddingScorer(OneProxy):
    """`embeddings` (n, d): those of a proxy's fine-tuned encoder instead of the frozen one."""

    signals = ("embeddings",)
    passes = 1

    pooling: Literal["mean", "cls"] = field(kw_only=True)

    def identity(self) -> dict[str, Any]:
        """Return the proxy's trial id and pooling."""
        return {"scorer": "proxy_embeddings", "proxy": self.run, "pooling": self.pooling}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that embeds positions."""
        return _embedder(_model_of(self.checkpoint, trust=self.trust), scoring_data, self.pooling)


@dataclass(frozen=True)
class ProxyScorer:
    """Outputs of proxies on the pool that they were trained on, in eval mode.

    `probs` (n, m, C) of m proxies and `feature_norms` (n, m), the norms of their last layers' inputs; with a `null`
    also `null_probs` (n, m, C), their outputs without the text.
    """

    uses_model = True

    runs: tuple[str, ...]
    checkpoints: tuple[Path, ...]
    null: Literal["empty", "mask"] | None = None
    encoder: Encoder | None = None
    trust: bool = False  # whether code that comes with the encoder may run

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return ("probs", "feature_norms") if self.null is None else ("probs", "feature_norms", "null_probs")

    @property
    def passes(self) -> int:
        """Forward passes per example."""
        return len(self.runs) * (1 if self.null is None else 2)

    def identity(self) -> dict[str, Any]:
        """Return the proxies' trial ids, which are content hashes of all that made them."""
        return {"scorer": "proxy", "proxies": list(self.runs), "null": self.null}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs all proxies on positions."""
        proxies, table = (
            [load_proxy(folder, scoring_data, trust=self.trust) for folder in self.checkpoints],
            scoring_data.data.train,
        )
        nulls: TokenTable | None = None
        if self.null is not None:
            assert self.encoder is not None
            has_pairs = "text_pair" in scoring_data.texts.column_names
            nulls = null_table(table, self.null, load_tokenizer(self.encoder), has_pairs=has_pairs)

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            outputs = [proxy.probs_and_features(table, positions) for proxy in proxies]
            arrays = {
                "probs": np.stack([probs for probs, _ in outputs], axis=1),
                "feature_norms": np.stack([np.linalg.norm(features, axis=1) for _, features in outputs], axis=1),
            }
            if nulls is not None:
                blank = [proxy.probs_and_features(nulls, positions)[0] for proxy in proxies]
                arrays["null_probs"] = np.stack(blank, axis=1)
            return arrays

        return score


@dataclass(frozen=True)
class HeldoutScorer:
    """Outputs of cross-fitted proxies: every example is scored by those that did not train on it.

    `probs` (n, m, C) and `feature_norms` (n, m) of m repetitions, `heldout_probs` (n, C), or `irreducible_loss` (n,).
    """

    uses_model = True

    signal: HeldoutSignal
    runs: tuple[str, ...]
    checkpoints: tuple[Path, ...]
    num_folds: int
    seed: int
    trust: bool = False  # whether code that comes with the encoder may run

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return ("probs", "feature_norms") if self.signal == "probs" else (self.signal,)

    @property
    def passes(self) -> int:
        """Forward passes per example."""
        return len(self.runs) // self.num_folds

    def identity(self) -> dict[str, Any]:
        """Return the proxies' trial ids, repetition by repetition, fold by fold."""
        return {"scorer": self.signal, "heldout": list(self.runs), "folds": self.num_folds, "seed": self.seed}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that runs on every position the proxies of its fold."""
        proxies = [load_proxy(folder, scoring_data, trust=self.trust) for folder in self.checkpoints]
        data = scoring_data.data
        folds = assign_folds(np.asarray(data.train.labels), draw_keys(data.example_ids, self.seed), self.num_folds)

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            probs = np.empty((len(positions), self.passes, len(data.output_names)), np.float32)
            norms = np.empty((len(positions), self.passes), np.float32)
            for number, proxy in enumerate(proxies):
                repetition, fold = divmod(number, self.num_folds)
                rows = np.flatnonzero(folds[positions] == fold)
                if len(rows):
                    probs[rows, repetition], features = proxy.probs_and_features(data.train, positions[rows])
                    norms[rows, repetition] = np.linalg.norm(features, axis=1)
            if self.signal == "probs":
                return {"probs": probs, "feature_norms": norms}
            if self.signal == "heldout_probs":
                return {"heldout_probs": probs.mean(axis=1)}
            labels = np.asarray(data.train.labels)[positions]
            return {"irreducible_loss": mean_cross_entropy(probs, labels).astype(np.float32)}

        return score


@dataclass(frozen=True)
class DynamicsScorer:
    """`dynamics` (n, t, C): probabilities at t checkpoints of one training run over the whole pool.

    The run itself left those of all but the last checkpoint in its folder; the last is its final model.
    """

    signals = ("dynamics",)
    uses_model = True
    passes = 1

    run: str
    folder: Path
    trust: bool = False  # whether code that comes with the encoder may run

    @property
    def runs(self) -> tuple[str, ...]:
        """The run's trial id."""
        return (self.run,)

    def identity(self) -> dict[str, Any]:
        """Return the run's trial id."""
        return {"scorer": "dynamics", "proxy": self.run}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that gathers positions."""
        last = load_proxy(self.folder / "checkpoint" / "best", scoring_data, trust=self.trust)
        earlier = []
        for path in sorted((self.folder / "dynamics").glob("*.npy")):
            with reading_back(path, "delete the run's folder to run it again"):
                earlier.append(np.load(path, mmap_mode="r", allow_pickle=False))

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            probs, _ = last.probs_and_features(scoring_data.data.train, positions)
            return {"dynamics": np.stack([*(part[positions] for part in earlier), probs], axis=1)}

        return score


def embedding_scorer(request: ScorerRequest) -> Scorer:
    """Return what embeds the pool of a trial: its encoder, a proxy's, or for documents their chunks."""
    embedding = request.selection.embedding
    if request.in_chunks:
        return DocumentEmbeddingScorer(request.encoder)
    if embedding.of == "encoder":
        return EmbeddingScorer(request.encoder, embedding.pooling)
    return ProxyEmbeddingScorer.of(request, pooling=embedding.pooling)


def proxy_scorer(request: ScorerRequest) -> Scorer:
    """Return what gives a trial the outputs of its proxies: on what they have seen, or with folds on what not."""
    runs = request.runs("proxy")
    if runs.num_folds is not None:
        return _heldout("probs", runs, request)
    return ProxyScorer(runs.runs, request.models(runs), runs.null, request.encoder, _trust(request))


def heldout_scorer(request: ScorerRequest) -> Scorer:
    """Return what gives a trial its out-of-fold probabilities."""
    return _heldout("heldout_probs", request.runs("heldout"), request)


def irreducible_scorer(request: ScorerRequest) -> Scorer:
    """Return what gives a trial the loss of the twin that did not see an example."""
    return _heldout("irreducible_loss", request.runs("irreducible"), request)


def dynamics_scorer(request: ScorerRequest) -> Scorer:
    """Return what gathers the probabilities at the checkpoints of a trial's run behind the dynamics."""
    (run,) = request.runs("dynamics").runs
    return DynamicsScorer(run, request.folder_of(run), _trust(request))


def _heldout(signal: HeldoutSignal, runs: SignalRuns, request: ScorerRequest) -> HeldoutScorer:
    assert runs.num_folds is not None
    models = request.models(runs)
    return HeldoutScorer(signal, runs.runs, models, runs.num_folds, request.cross_fit_seed, _trust(request))


def _trust(request: ScorerRequest) -> bool:
    """Return what the sweep's own file says of code that comes with the encoder, whatever a run's folder says."""
    return request.encoder.trust_remote_code


def target_embedder(request: ScorerRequest) -> tuple[TargetEmbedder, tuple[str, ...]]:
    """Return what embeds other examples as `embedding_scorer` does the pool, and the runs whose models it loads."""
    embedding = request.selection.embedding
    if request.in_chunks or embedding.of == "encoder":
        return TargetEmbedder(request.encoder, None, embedding.pooling, request.in_chunks), ()
    run = request.runs("proxy").runs[0]
    return TargetEmbedder(request.encoder, request.model_of(run), embedding.pooling), (run,)


@dataclass(frozen=True)
class TargetEmbedder:
    """Embeds rows of any token table: by the frozen encoder, or by a proxy's.

    Attributes:
        encoder: the frozen one.
        checkpoint: of the proxy; None: the encoder's own files.
        pooling: over word pieces.
        in_chunks: whether rows are documents in chunks, which are embedded already.
    """

    encoder: Encoder
    checkpoint: Path | None
    pooling: Literal["mean", "cls"]
    in_chunks: bool = False

    def __call__(self, scoring_data: ScoringData, table: Any) -> np.ndarray:
        """Return (m, d) float32 embeddings."""
        if self.in_chunks:
            vectors: np.ndarray = table.mean_vectors(np.arange(len(table)))
            return vectors
        trust = self.encoder.trust_remote_code
        model = load_backbone(self.encoder) if self.checkpoint is None else _model_of(self.checkpoint, trust=trust)
        return _inference(model, scoring_data).embeddings(table, pooling=self.pooling)


def _embedder(model: Any, scoring_data: ScoringData, pooling: Literal["mean", "cls"]) -> ScoreFunction:
    inference, table = _inference(model, scoring_data), scoring_data.data.train
    return lambda positions: {"embeddings": inference.embeddings(table, positions, pooling)}


def load_proxy(folder: Path, scoring_data: ScoringData, *, trust: bool) -> Inference:
    """Return what asks the model that a run has left."""
    return _inference(_model_of(folder, trust=trust), scoring_data)


def _model_of(folder: Path, *, trust: bool) -> Any:
    """Return the model of a run of this sweep, whose file names what code of a user's own it is made by."""
    return load_model(folder, trust_remote_code=trust or is_own_model(folder))


def _inference(model: Any, scoring_data: ScoringData) -> Inference:
    how = scoring_data.arithmetic
    return Inference(model.to(how.device), scoring_data.data, how.precision, how.max_tokens)
