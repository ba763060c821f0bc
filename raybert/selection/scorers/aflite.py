"""AFLite: which examples linear models on frozen embeddings can predict, by adversarial filtering."""

from __future__ import annotations

import hashlib

import numpy as np

from raybert.selection.geometry.points import unit_rows
from raybert.training.pulse import pulse

_RIDGE = 0.1
_SORTED_BY = 4
"""Dimensions that order rows; those that agree in them are equal, but for very few."""


def aflite(
    embeddings: np.ndarray,
    labels: np.ndarray,
    generator: np.random.Generator,
    *,
    target: int,
    num_splits: int = 64,
    train_fraction: float = 0.5,
    threshold: float = 0.75,
    drop_fraction: float = 0.1,
    tie_keys: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return when filtering removed each example, and how predictable it was then.

    While more than `target` examples are left, a linear model is trained on `num_splits` random halves of them and
    predicts the other half; E is the share of its predictions of an example that are right (0 if it was never held
    out). The most predictable are removed: at most `drop_fraction` of what is left, only with E >= threshold, never
    below the target. Filtering stops when fewer than that qualify. Splits whose training part has one
    class are skipped.

    The linear model is a ridge classifier (least squares on one-hot labels with an intercept), which one solve of
    a (d + 1, d + 1) system trains; logistic regression, as in the paper, takes 3.5 times as long (measured: 6.1 s
    against 1.7 s a round at 25,000 examples of 384 dimensions and 4 classes, one core; the same time at 4,000 of 2
    classes). Its shrinkage agrees with logistic regression on MiniLM's embeddings of TREC and
    SST-2 (measured: E correlates .79 and .83 at n = 800, .89 and .92 at n = 4,000; the mean differs by .05 at most),
    where a hundredth of it fails when about d + 1 examples train the model (.49 and .52 at n = 800).

    Args:
        embeddings: (n, d) rows.
        labels: (n,) class numbers.
        generator: draws the splits.
        target: examples to stop at.
        num_splits: m.
        train_fraction: of the examples left, in (0, 1).
        threshold: least E of what may be removed.
        drop_fraction: largest share removed in a round.
        tie_keys: (n,) uint64, ascending keys break ties; default: the position.

    Returns:
        round of removal (n,) int64, 0, 1, ...; survivors have the number of rounds. E (n,) float64 when it was removed,
        of survivors in the last round.

    Source: Le Bras et al. 2020, "Adversarial Filters of Dataset Biases", algorithm 1, arXiv 2002.04108.
    """
    count = len(labels)
    keys = np.arange(count, dtype=np.uint64) if tie_keys is None else tie_keys
    points = np.column_stack([np.asarray(embeddings, np.float32), np.ones(count, np.float32)])
    removed_in = np.full(count, -1)
    predictability = np.zeros(count)
    left = np.arange(count)
    round_number = 0
    while len(left) > target:
        scores = _predictability(points[left], labels[left], generator, num_splits, train_fraction)
        predictability[left] = scores
        most = max(1, int(drop_fraction * len(left)))
        allowed = min(most, len(left) - target)
        ranked = np.lexsort((keys[left], -scores))
        qualified = int((scores >= threshold).sum())
        gone = left[ranked[: min(allowed, qualified)]]
        removed_in[gone] = round_number
        left = left[removed_in[left] < 0]
        round_number += 1
        if qualified < most:
            break
    removed_in[removed_in < 0] = round_number
    return removed_in, predictability


def _predictability(
    points: np.ndarray, labels: np.ndarray, generator: np.random.Generator, num_splits: int, train_fraction: float
) -> np.ndarray:
    """Return (s,) E of the examples that are left."""
    count = len(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes), dtype=np.float32)[numbers]
    num_trained = max(1, int(train_fraction * count))
    correct, held_out = np.zeros(count), np.zeros(count)
    for _ in range(num_splits):
        pulse()
        order = generator.permutation(count)
        train, rest = order[:num_trained], order[num_trained:]
        if len(np.unique(numbers[train])) < 2:
            continue
        weights = fit_ridge(points[train], targets[train])
        correct[rest] += (points[rest] @ weights).argmax(axis=1) == numbers[rest]
        held_out[rest] += 1
    return np.divide(correct, held_out, out=np.zeros(count), where=held_out > 0)


def fit_ridge(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return (d + 1, C) float32 least-squares weights, lightly shrunk; the last row is the intercept."""
    gram = (points.T @ points).astype(np.float64)
    shrink = _RIDGE * np.trace(gram) / len(gram)
    gram[np.diag_indices_from(gram)] += np.append(np.full(len(gram) - 1, shrink), 1e-9)
    return np.linalg.solve(gram, (points.T @ targets).astype(np.float64)).astype(np.float32)


def aflite_hardness(rounds: np.ndarray, predictability: np.ndarray) -> np.ndarray:
    """Return (n,) float64, higher = harder: removed later, and inside a round less predictable.

    Args:
        rounds: (n,) of removal.
        predictability: (n,) E in 0..1.
    """
    return rounds.astype(np.float64) + (1.0 - predictability) / 2.0


def aflite_signal(
    embeddings: np.ndarray, labels: np.ndarray, seed: int, *, target_fraction: float = 0.25
) -> np.ndarray:
    """Return (n, 2) float32 round of removal and E, down to a quarter of the pool.

    Rows are divided by their norms and put into an order of their content first, and equal rows of one label share the
    mean of what they got, so a permuted pool gives the permuted result, and a scale of the embeddings makes no
    difference. The order is that of values, not of hashes: what rounding changes is then a few rows and not all.

    Args:
        embeddings: (n, d) rows.
        labels: (n,) class numbers.
        seed: of the splits.
        target_fraction: of the pool, to stop at.
    """
    labels, points = np.asarray(labels), unit_rows(embeddings)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in points]
    keys = np.frombuffer(b"".join(digests), np.uint64)
    order = np.lexsort((labels, keys, *points[:, :_SORTED_BY].T[::-1]))
    found = aflite(
        points[order],
        labels[order],
        np.random.default_rng(seed),
        target=max(1, round(target_fraction * len(labels))),
    )
    signal = np.empty((len(labels), 2), np.float32)
    is_new = np.append(True, (np.diff(keys[order]) != 0) | (np.diff(labels[order]) != 0))
    signal[order] = _mean_of_runs(np.column_stack(found), np.flatnonzero(is_new))
    return signal


def _mean_of_runs(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return (n, 2) values in which every run of rows, given by (r,) first rows, has its mean."""
    sizes = np.diff(np.append(starts, len(values)))
    return np.repeat(np.add.reduceat(values, starts) / sizes[:, None], sizes, axis=0)
