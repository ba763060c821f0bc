"""The pool of a round: texts with and without a label, what is known of them, and what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.annotation.adviser import Adviser, given_adviser, train_adviser
from raybert.annotation.candidates import Candidates, read_candidates
from raybert.annotation.evidence import gather
from raybert.annotation.rounds import LABELLED
from raybert.annotation.stopping import normalised_entropy
from raybert.config import RaybertConfig
from raybert.data import Splits, TokenizedData
from raybert.data.identity import content_fingerprint
from raybert.data.local import has_split
from raybert.errors import ConfigError, DataError
from raybert.files import writable_cache
from raybert.models import Encoder, resolve_encoder
from raybert.selection.choose import select_from_pool
from raybert.selection.compose import Composed
from raybert.selection.geometry.clusters import assign_clusters, fit_centroids
from raybert.selection.keys import draw_keys, tie_keys
from raybert.selection.pool import Pool, Selection
from raybert.sweeping.phases.prepare import prepare_with, resolve_language_model

_OF_CLUSTERS, _OF_CHOICE = 0xC1, 0xA77
"""Keep the draws of clusters and of a strategy apart."""


@dataclass(frozen=True)
class Desk:
    """Everything that a round works with.

    Attributes:
        config: the sweep file.
        candidates: all rows of the source, with all labels that there are.
        validation: labelled rows of the source's own validation split; None: it has none.
        data: the pool as `train`, tokenized.
        encoder: the frozen one.
        label_names: classes that occur.
        seed: of model, ties and draws.
    """

    config: RaybertConfig
    candidates: Candidates
    validation: Candidates | None
    data: TokenizedData
    encoder: Encoder
    label_names: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, config: RaybertConfig, candidates: Candidates, seed: int) -> Desk:
        """Return the pool of a round, tokenized.

        Raises:
            DataError: every text has a label already.
            ModelError: the encoder is missing or unfit.
        """
        if candidates.is_labelled.all():
            raise DataError(
                f"data.source: must have texts without a label to choose from, got {len(candidates.labels):,} that all "
                f"have one; train on {LABELLED} of the folder"
            )
        validation = read_validation(config, candidates)
        names = candidates.label_names
        encoder = resolve_encoder(config.model, candidates.texts["text"].to_pylist(), writable_cache())
        splits = _splits(candidates, validation, names)
        ready = prepare_with(config, splits, encoder)
        assert isinstance(ready.data, TokenizedData)
        return cls(config, candidates, validation, ready.data, ready.encoder, names, seed)

    @property
    def labelled(self) -> np.ndarray:
        """(m,) int64 rows that have a label."""
        return np.flatnonzero(self.candidates.is_labelled)

    @property
    def unlabelled(self) -> np.ndarray:
        """(u,) int64 rows that have none."""
        return np.flatnonzero(~self.candidates.is_labelled)

    def ask(self, model: Path | None, *, trust: bool, tell: Callable[[str], None]) -> Adviser | None:
        """Return who knows the classes: the model given, or one trained on the labels; None: fewer than two classes.

        Args:
            model: folder of a trained model.
            trust: whether code may run that comes with it.
            tell: is told what is done.
        """
        if model is not None:
            tell(f"asks the model in {model}")
            return given_adviser(model, self.candidates.texts, trust=trust)
        if len(self.label_names) < 2:
            return None
        number_of = {name: number for number, name in enumerate(self.label_names)}
        labels = np.array([number_of[self.candidates.labels[row]] for row in self.labelled], np.int64)
        tell(f"trains a model on {len(labels):,} labelled texts of {len(self.label_names)} classes")
        return train_adviser(
            self.config,
            self.data,
            self.encoder,
            self.labelled,
            labels,
            self.seed,
            has_validation=self.validation is not None,
        )

    def ask_clusters(self, num_clusters: int, tell: Callable[[str], None]) -> tuple[Adviser, np.ndarray]:
        """Return a model of clusters of embeddings, which stand for classes, and (n,) the cluster of each text.

        Args:
            num_clusters: how many.
            tell: is told what is done.
        """
        rows = len(self.data.train)
        if not 2 <= num_clusters <= rows:
            raise ConfigError(f"clusters: must be in 2..{rows} (texts), got {num_clusters}")
        tell(f"trains a model on {num_clusters} clusters of embeddings in place of classes")
        points = self.signals(frozenset({"embeddings"}), None)["embeddings"]
        generator = np.random.default_rng([self.seed, _OF_CLUSTERS])
        clusters = assign_clusters(points, fit_centroids(points, num_clusters, generator))[0]
        data = replace(self.data, label_names=tuple(f"cluster {number}" for number in range(num_clusters)))
        every = np.arange(rows)
        adviser = train_adviser(self.config, data, self.encoder, every, clusters, self.seed, has_validation=False)
        return adviser, clusters

    def signals(self, needs: frozenset[str], adviser: Adviser | None) -> dict[str, np.ndarray]:
        """Return what a strategy reads, of all texts."""
        language_model = None
        if "perplexity" in needs:
            language_model = resolve_language_model(self.config, self.encoder, writable_cache())
        texts = self.candidates.texts
        return gather(needs, self.config, self.data, texts, self.encoder, language_model, adviser, self.seed)

    def choose(
        self,
        strategy: Composed,
        signals: Mapping[str, np.ndarray],
        adviser: Adviser | None,
        clusters: np.ndarray | None,
        count: int,
    ) -> Selection:
        """Return what a strategy chooses of the texts without a label; positions are rows of the pool.

        What it would go on from, where it chooses in rounds, are the labelled texts. The class of a text without a
        label is the one that the model predicts, or its cluster; where neither is there, all are of one class.

        Args:
            strategy: which.
            signals: of all texts.
            adviser: who knows the classes.
            clusters: (n,) that stand for classes.
            count: texts to choose.
        """
        labels, num_classes = self._classes(adviser, clusters)
        ids = np.asarray(self.candidates.example_ids)
        pool = Pool(
            labels,
            num_classes,
            tie_keys(ids, self.seed),
            signals,
            np.random.default_rng([self.seed, _OF_CHOICE, len(self.labelled)]),
            draw_keys=draw_keys(ids, self.seed),
        )
        once = strategy.model_copy(update={"schedule": "once", "random_start": None})
        if "rounds" in strategy.inner.schedules and strategy.then is None and not strategy.pre:
            whole = replace(pool, selected=self.labelled)
            selection = select_from_pool(once, whole, len(self.labelled) + count)
            new = ~np.isin(selection.positions, self.labelled)
            return replace(selection, positions=selection.positions[new], scores=selection.scores[new], weights=None)
        selection = select_from_pool(once, pool.subset(self.unlabelled), count)
        scores = None
        if selection.pool_scores is not None:
            scores = np.full(len(pool), np.nan)
            scores[self.unlabelled] = selection.pool_scores
        return replace(selection, positions=self.unlabelled[selection.positions], pool_scores=scores)

    def _classes(self, adviser: Adviser | None, clusters: np.ndarray | None) -> tuple[np.ndarray, int]:
        """Return (n,) the class of every text, as far as it is known, and how many there are."""
        if clusters is not None:
            return clusters, int(clusters.max()) + 1
        if adviser is None:
            return np.zeros(len(self.data.train), np.int64), 1
        names = list(adviser.label_names)
        names += [name for name in self.label_names if name not in names]  # of a model that knows fewer
        classes = adviser.probs.argmax(axis=1).astype(np.int64)
        for row in self.labelled:
            classes[row] = names.index(self.candidates.labels[row])
        return classes, len(names)

    def state(self, adviser: Adviser) -> pd.DataFrame:
        """Return what the model says of the texts without a label (`STATES`)."""
        probs = adviser.probs[self.unlabelled]
        return pd.DataFrame(
            {
                "example_id": np.asarray(self.candidates.example_ids)[self.unlabelled],
                "predicted": [adviser.label_names[number] for number in probs.argmax(axis=1)],
                "confidence": probs.max(axis=1).astype(np.float64),
                "entropy": normalised_entropy(probs),
            }
        )


def read_validation(config: RaybertConfig, candidates: Candidates) -> Candidates | None:
    """Return the labelled rows of the source's own validation split, of classes that the pool has; None: there is none.

    Raises:
        DataError: what is wrong with the split.
    """
    if not has_split(Path(config.data.source).expanduser(), "validation"):
        return None
    found = read_candidates(config.data, split="validation")
    known = set(candidates.label_names)
    rows = np.array([row for row, label in enumerate(found.labels) if label in known], np.int64)
    return Candidates(found.texts.take(pa.array(rows)), found.labels[rows]) if len(rows) else None


def _splits(candidates: Candidates, validation: Candidates | None, names: tuple[str, ...]) -> Splits:
    """Return the pool and what is measured on as splits; what has no label has the number 0, which nobody reads."""
    shown = names if len(names) > 1 else ("0", "1")
    number_of = {name: number for number, name in enumerate(names)}

    def table(of: Candidates) -> pa.Table:
        numbers = np.array([number_of.get(label, 0) for label in of.labels], np.int64)
        return of.texts.append_column("label", pa.array(numbers))

    pool = table(candidates)
    measured = pool.slice(0, 0) if validation is None else table(validation)
    tables: dict[str, Any] = {"train": pool, "validation": measured, "test": pool.slice(0, 0)}
    plain = {name: of.select([c for c in of.column_names if ":" not in c]) for name, of in tables.items()}
    return Splits(**plain, label_names=shown, fingerprint=content_fingerprint(plain, shown))
