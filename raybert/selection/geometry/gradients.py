"""Gradients of the last layer, as pairs of a residual and a feature: their products need no outer product."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raybert.selection.geometry.points import as_points, as_selected, check_budget, tie_ranks

_SAME = 1e-6
"""Squared distances below this share of the largest squared norm are those of equal gradients, up to float32."""


def hallucinated_residuals(probs: np.ndarray) -> np.ndarray:
    """Return (n, C) float32 p - onehot(argmax p): the gradient in the logits if the prediction were the label.

    Args:
        probs: (n, C) rows sum to 1.
    """
    residuals = probs.astype(np.float32, copy=True)
    residuals[np.arange(len(probs)), probs.argmax(axis=1)] -= 1.0
    return residuals


def spread_by_squared_distance(
    residuals: ArrayLike,
    features: ArrayLike,
    budget: int,
    generator: np.random.Generator,
    *,
    selected: ArrayLike | None = None,
    tie_keys: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a k-means++ draw of the gradients a h^T: each with a chance by its squared distance to what is drawn.

    |a h^T|^2 = |a|^2 |h|^2 and <a h^T, b g^T> = (a . b)(h . g), so a step is two products with (n, C) and (n, d)
    rows, and the (C d)-vectors are never made. The first is the one with the largest norm.

    Args:
        residuals: (n, C) rows a.
        features: (n, d) rows h.
        budget: number of new positions, 0..n - len(selected).
        generator: draws.
        selected: positions chosen earlier; they are not returned, and new ones keep away from them, too.
        tie_keys: (n,) uint64, the lowest wins where all gradients left are equal to chosen ones; default: the position.

    Returns:
        positions (budget,) int64 in the order of the draws; distances (budget,) float64 to what was drawn before, of
        the first its norm.

    Raises:
        SelectionError: values not finite, budget or positions out of range.

    Source: Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", algorithm 1.
    """
    left, right = as_points(residuals), as_points(features)
    kept = as_selected(selected, len(left))
    check_budget(budget, len(left) - len(kept))
    order = np.argsort(tie_ranks(tie_keys, len(left)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    left, right = left[order], right[order]
    norms = np.square(left).sum(axis=1, dtype=np.float64) * np.square(right).sum(axis=1, dtype=np.float64)
    smallest = _SAME * float(norms.max())
    squared, is_free = np.full(len(left), np.inf), np.ones(len(left), bool)

    def take(row: int) -> None:
        products = (left @ left[row]).astype(np.float64) * (right @ right[row])
        distances = norms + norms[row] - 2.0 * products
        np.minimum(squared, np.where(distances > smallest, distances, 0.0), out=squared)
        is_free[row] = False

    for row in place[kept]:
        take(int(row))
    rows, values = np.empty(budget, np.int64), np.empty(budget)
    for count in range(budget):
        is_first = count + len(kept) == 0
        row = int(norms.argmax()) if is_first else _draw(np.where(is_free, squared, 0.0), is_free, generator)
        rows[count], values[count] = row, np.sqrt(norms[row] if is_first else squared[row])
        take(row)
    return order[rows], values


def _draw(weights: np.ndarray, is_free: np.ndarray, generator: np.random.Generator) -> int:
    """Return a row drawn by its weight, or the first free one where no weight is left."""
    ends = np.cumsum(weights)
    if ends[-1] <= 0:
        return int(is_free.argmax())
    row = int(np.searchsorted(ends, generator.random() * ends[-1], side="right"))
    return min(row, int(np.flatnonzero(weights)[-1]))
