"""Embeddings in two dimensions, for pictures: the same points whenever they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raybert.errors import SweepError

Method = Literal["pca", "umap"]
METHODS: tuple[Method, ...] = ("pca", "umap")
_FITTED_ON = 20_000
"""Rows that decide the axes: more make no visible difference."""


@dataclass(frozen=True)
class Projection:
    """The places of a pool's examples in a picture.

    Attributes:
        points: (n, 2) float64.
        method: how they were found.
        shares: of the variance along the two axes; None: the method has none.
    """

    points: np.ndarray
    method: Method
    shares: tuple[float, float] | None = None


def project(embeddings: np.ndarray, method: Method = "pca") -> Projection:
    """Return embeddings in two dimensions.

    Args:
        embeddings: (n, d), n >= 3.
        method: pca: the two directions of largest variance; umap: neighbours stay neighbours, distances mean little.

    Raises:
        SweepError: UMAP is not installed, or the method is unknown.
    """
    if method == "umap":
        return Projection(_umap(embeddings), "umap")
    if method != "pca":
        raise SweepError(f"projection: must be one of {', '.join(METHODS)}, got '{method}'")
    rows = np.asarray(embeddings, np.float64)
    step = -(-len(rows) // _FITTED_ON)
    sample = rows[::step]
    center = sample.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(sample - center, rowvar=False, bias=True).reshape(rows.shape[1], -1))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])  # an eigenvector has no sign
    points = (rows - center) @ axes
    if points.shape[1] < 2:
        points = np.column_stack([points, np.zeros(len(points))])
    total = max(float(values.sum()), np.finfo(float).tiny)
    first, second = (float(value) / total for value in [*values[::-1][:2], 0.0][:2])
    return Projection(points, "pca", (first, second))


def _umap(embeddings: np.ndarray) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError:
        raise SweepError("projection: umap needs a package: pip install 'raybert[umap]'") from None
    return np.asarray(UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(embeddings), np.float64)
