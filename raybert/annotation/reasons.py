"""Why a text was chosen, in words that the person who labels it can read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raybert.selection.pool import Selection

_ROWS = 1024


def reasons_for(
    selection: Selection, signals: Mapping[str, np.ndarray], label: str, labelled: np.ndarray, unlabelled: np.ndarray
) -> list[str]:
    """Return a line for every chosen text: its score among the others, the model's doubt, and how new it is.

    The predicted class is not said: whoever reads it would follow it.

    Args:
        selection: what was chosen; positions in the pool.
        signals: that the strategy read, of the whole pool.
        label: of the strategy.
        labelled: (m,) rows of the pool that have a label.
        unlabelled: (u,) rows that have none.
    """
    rows = selection.positions
    parts = [_of_scores(selection, label, unlabelled)]
    if "probs" in signals:
        parts.append(_of_probs(signals["probs"][rows]))
    if "embeddings" in signals and len(labelled):
        parts.append(_of_neighbours(signals["embeddings"], rows, labelled))
    return ["; ".join(line) for line in zip(*parts, strict=True)]


def _of_scores(selection: Selection, label: str, unlabelled: np.ndarray) -> list[str]:
    """Return the place of each score among those of all texts without a label."""
    lines = []
    others = None if selection.pool_scores is None else np.sort(selection.pool_scores[unlabelled])
    count = len(selection.positions)
    for place, score in enumerate(selection.scores, 1):
        line = f"{label}: {place:,} of {count:,}"
        if np.isfinite(score):
            line += f", score {score:.3g}"
        if others is not None and np.isfinite(score):
            known = others[np.isfinite(others)]
            line += f" (above {np.searchsorted(known, score) / len(known):.0%} of the texts without a label)"
        lines.append(line)
    return lines


def _of_probs(probs: np.ndarray) -> list[str]:
    """Return how sure the model is."""
    flat = probs if probs.ndim == 2 else probs.mean(axis=1)
    ordered = np.sort(flat, axis=1)
    return [f"the model's two most probable classes: {row[-1]:.2f} and {row[-2]:.2f}" for row in ordered]


def _of_neighbours(embeddings: np.ndarray, rows: np.ndarray, labelled: np.ndarray) -> list[str]:
    """Return how near the nearest labelled text is, by the cosine of embeddings."""
    nearest = [
        (embeddings[rows[start : start + _ROWS]] @ embeddings[labelled].T).max(axis=1)
        for start in range(0, len(rows), _ROWS)
    ]
    return [f"nearest labelled text: cosine {value:.2f}" for value in np.concatenate(nearest)]
