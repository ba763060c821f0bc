"""What an example is worth to simple classifiers on frozen embeddings: KNN-Shapley, and Data-OOB."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.selection.geometry.points import row_blocks, unit_rows
from raybert.selection.scorers.aflite import fit_ridge
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.scorers.target import VALIDATION, Target, make_target
from raybert.training.pulse import pulse

_PRODUCTS = 1 << 22
"""Numbers of a block of distances."""
_SORTED_BY = 4
"""Dimensions that order rows (see `aflite_signal`)."""
Classifier = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
"""(rows, labels) -> a function that gives the classes of rows."""


def knn_shapley(
    embeddings: np.ndarray, labels: np.ndarray, target: np.ndarray, target_labels: np.ndarray, num_neighbours: int
) -> np.ndarray:
    """Return (n,) float64 exact Shapley values of examples for a KNN classifier, averaged over target examples.

    What a set is worth to a target example is the share of its K nearest members (of fewer, if it has fewer, over K)
    that have its label. From the farthest to the nearest: s_N = 1[y_N = y] / K min(K, N) / N, and
    s_i = s_{i+1} + (1[y_i = y] - 1[y_{i+1} = y]) / K min(K, i) / i.

    Rows are put into an order of their content first and equal rows of one label share their mean, so that a permuted
    pool has the permuted values.

    Args:
        embeddings: (n, d) rows, normalised here.
        labels: (n,) class numbers.
        target: (m, d) rows, normalised here.
        target_labels: (m,) class numbers.
        num_neighbours: K.

    Source: Jia et al. 2019, "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", theorem 1,
    arXiv 1908.08619.
    """
    order, groups = content_order(embeddings, labels)
    points, classes, queries = unit_rows(embeddings)[order], np.asarray(labels)[order], unit_rows(target)
    count = len(points)
    places = np.arange(1, count + 1)
    factors = np.minimum(num_neighbours, places) / places / num_neighbours  # min(K, i) / i / K
    total = np.zeros(count)
    for block in row_blocks(len(queries), max(1, _PRODUCTS // count)):
        pulse()
        nearest = np.argsort(-np.rint(queries[block] @ points.T * 2.0**21), axis=1, kind="stable")
        is_right = (classes[nearest] == np.asarray(target_labels)[block, None]).astype(np.float64)
        steps = np.empty_like(is_right)
        steps[:, -1] = is_right[:, -1] * factors[-1]
        steps[:, :-1] = (is_right[:, :-1] - is_right[:, 1:]) * factors[:-1]
        values = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
        np.add.at(total, nearest.ravel(), values.ravel())
    return _shared(total / len(queries), order, groups)


def data_oob(
    embeddings: np.ndarray,
    labels: np.ndarray,
    generator: np.random.Generator,
    num_models: int,
    fit: Classifier | None = None,
) -> np.ndarray:
    """Return (n,) float64 share of the bootstrap models without an example that predict its label; NaN: none is.

    The models are ridge classifiers on the embeddings (those of `aflite`), where the paper has decision trees.

    Args:
        embeddings: (n, d) rows, normalised here.
        labels: (n,) class numbers.
        generator: draws the bootstrap samples.
        num_models: B.
        fit: what else trains a model.

    Source: Kwon & Zou 2023, "Data-OOB: Out-of-bag Estimate as a Simple and Efficient Data Value", eq. 3,
    arXiv 2304.07718.
    """
    order, groups = content_order(embeddings, labels)
    points, classes = unit_rows(embeddings)[order], np.asarray(labels)[order]
    right, out = np.zeros(len(points)), np.zeros(len(points))
    for _ in range(num_models):
        pulse()
        drawn = generator.integers(len(points), size=len(points))
        rest = np.setdiff1d(np.arange(len(points)), drawn)
        if len(rest):
            predict = (fit or _ridge)(points[drawn], classes[drawn])
            right[rest] += predict(points[rest]) == classes[rest]
            out[rest] += 1
    values = np.divide(right, out, out=np.full(len(points), np.nan), where=out > 0)
    return _shared(values, order, groups)


def _ridge(points: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    classes, numbers = np.unique(labels, return_inverse=True)
    weights = fit_ridge(_with_ones(points), np.eye(len(classes), dtype=np.float32)[numbers])
    return lambda rows: classes[(_with_ones(rows) @ weights).argmax(axis=1)]


def _with_ones(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.ones(len(points), np.float32)])


def content_order(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an order of rows by their content, and for each in that order the number of its group of equal rows."""
    points = unit_rows(embeddings)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in points]
    keys = np.frombuffer(b"".join(digests), np.uint64)
    order = np.lexsort((labels, keys, *points[:, :_SORTED_BY].T[::-1]))
    is_new = np.append(True, (np.diff(keys[order]) != 0) | (np.diff(np.asarray(labels)[order]) != 0))
    return order, np.cumsum(is_new) - 1


def _shared(values: np.ndarray, order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return values in pool order, of equal rows their mean."""
    means = np.bincount(groups, values) / np.bincount(groups)
    found = np.empty(len(values))
    found[order] = means[groups]
    return found


@dataclass(frozen=True)
class KnnShapleyScorer:
    """`knn_shapley` (n,): what each example is worth to a KNN classifier of target examples."""

    reads = ("embeddings",)

    signal: str
    target: Target
    num_neighbours: int
    embed: Any  # ScoringData, table -> (m, d), with what made the pool's embeddings
    runs: tuple[str, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """Name of the array."""
        return (self.signal,)

    def identity(self) -> dict[str, Any]:
        """Return neighbours and target; what made the embeddings is behind the signal that it reads."""
        return {
            "scorer": "knn_shapley",
            "signal": self.signal,
            "neighbours": self.num_neighbours,
            **self.target.identity(),
        }

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Embed the target and value the pool by it."""
        table = self.target.table(scoring_data)
        target = self.embed(scoring_data, table)
        labels = np.asarray(scoring_data.data.train.labels)
        values = knn_shapley(signals["embeddings"], labels, target, np.asarray(table.labels), self.num_neighbours)
        return {self.signal: values.astype(np.float32)}


@dataclass(frozen=True)
class DataOobScorer:
    """`data_oob` (n,): how often models that did not see an example predict its label."""

    signals = ("data_oob",)
    reads = ("embeddings",)
    runs = ()

    num_models: int

    def identity(self) -> dict[str, Any]:
        """Return the number of models and a version, raised when the same embeddings give other values."""
        return {"scorer": "data_oob", "models": self.num_models, "version": 1}

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Train the models; the seed is the same for every sweep, so that all trials share one result."""
        labels = np.asarray(scoring_data.data.train.labels)
        values = data_oob(signals["embeddings"], labels, np.random.default_rng(0), self.num_models)
        return {"data_oob": values.astype(np.float32)}


def knn_shapley_scorer(
    request: ScorerRequest, source: str = VALIDATION, signal: str = "knn_shapley"
) -> KnnShapleyScorer:
    """Return what values the pool of a trial by a target."""
    from raybert.selection.scorers.models import target_embedder

    embed, runs = target_embedder(request)
    neighbours = request.selection.scorers.knn_shapley.neighbours
    return KnnShapleyScorer(signal, make_target(source, request), neighbours, embed, runs)


def data_oob_scorer(request: ScorerRequest) -> DataOobScorer:
    """Return what values the pool of a trial by models without each example."""
    return DataOobScorer(request.selection.scorers.data_oob.models)
