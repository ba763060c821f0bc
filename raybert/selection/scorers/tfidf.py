"""How far the words of a text are from those of the middle of the pool: TF-IDF, and its geometric median."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.scorers.text import joined_texts
from raybert.training.pulse import pulse

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_WORD = r"(?u)\b\w+\b"
_AT = 1e-12
"""A row nearer than this to where the search stands is where it stands."""


def tfidf_distances(texts: Sequence[str]) -> np.ndarray:
    """Return (n,) float32 Euclidean distances of the TF-IDF vectors of texts from their geometric median.

    tf = count of a word / words of the text; idf = ln(n / (1 + texts with the word)); words are lower-cased runs of
    letters and digits.

    Source: Nguyen & He 2025, "Swift Cross-Dataset Pruning", section 3 (frequency distance), arXiv 2501.02432.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # takes a second, which a plan need not wait for

    texts = list(texts)
    if not any(any(sign.isalnum() or sign == "_" for sign in text) for text in texts):
        return np.zeros(len(texts), np.float32)
    counts = CountVectorizer(token_pattern=_WORD, dtype=np.float64).fit_transform(texts).tocsr()
    words = np.asarray(counts.sum(axis=1)).ravel()
    in_texts = np.bincount(counts.indices, minlength=counts.shape[1])
    counts.data *= np.log(len(texts) / (1.0 + in_texts))[counts.indices]
    counts.data /= np.repeat(np.maximum(words, 1.0), np.diff(counts.indptr))
    middle = geometric_median(counts)
    return np.asarray(np.sqrt(_squared_distances(counts, middle)), np.float32)


def geometric_median(rows: csr_matrix, *, tolerance: float = 1e-7, max_steps: int = 500) -> np.ndarray:
    """Return (v,) float64 the point with the least sum of Euclidean distances to the rows.

    Weiszfeld's iteration from the mean, in the form that may begin at, and leave, one of the rows.

    Args:
        rows: (n, v) sparse.
        tolerance: of a step, as a share of the distance to the rows on average.
        max_steps: after which the search ends in any case.

    Source: Vardi & Zhang 2000, "The multivariate L1-median and associated data depth", eq. 2.6.
    """
    point = np.asarray(rows.mean(axis=0)).ravel()
    for _ in range(max_steps):
        pulse()
        distances = np.sqrt(_squared_distances(rows, point))
        is_here = distances <= _AT
        weights = np.divide(1.0, distances, out=np.zeros(len(distances)), where=~is_here)
        if not weights.any():
            return point
        mean = (rows.T @ weights) / weights.sum()
        pull = float(np.linalg.norm(mean - point)) * weights.sum()
        stay = min(1.0, int(is_here.sum()) / pull) if pull > 0 else 1.0
        step = (1.0 - stay) * (mean - point)
        point = point + step
        if np.linalg.norm(step) <= tolerance * distances.mean():
            break
    return point


def _squared_distances(rows: csr_matrix, point: np.ndarray) -> np.ndarray:
    norms = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    squared = norms - 2.0 * (rows @ point) + point @ point
    return np.where(squared > _AT * (norms + point @ point), squared, 0.0)


@dataclass(frozen=True)
class TfidfScorer:
    """`tfidf_distance` (n,): of each text of the pool."""

    signals = ("tfidf_distance",)
    reads = ()
    runs = ()

    def identity(self) -> dict[str, Any]:
        """Return its name and version, which is raised when the same texts give other values."""
        return {"scorer": "tfidf_distance", "version": 1}

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Read all texts at once; both texts of a pair are one."""
        texts = scoring_data.texts
        return {"tfidf_distance": tfidf_distances(joined_texts(texts, np.arange(texts.num_rows)))}


def tfidf_scorer(request: ScorerRequest) -> TfidfScorer:
    """Return the scorer of a trial; nothing of it depends on the trial."""
    return TfidfScorer()
