"""Signals of a share of the pool, extended to the rest by neighbours (`selection.scorers.sample`).

Some more examples are computed only to know what the extension is worth: what their neighbours say is kept beside what
was computed of them, and each trial that reads the signal says how well the two agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.selection.geometry.neighbours import nearest_among
from raybert.selection.sampling import LEAST_CHECKED, OF_LABELS, sample_sizes, sampled_rows
from raybert.selection.scorers.scorer import ScoreFunction, Scorer, ScoringData

NUM_NEIGHBOURS = 8
_NONE = -1
GUESSED = "guessed:"
"""Begins the name of what neighbours say of examples that were computed, too."""


@dataclass(frozen=True)
class SampledScorer:
    """What another scorer computes, of a share of the pool; NaN of the rest.

    Attributes:
        inner: the other one.
        share: of the pool.
    """

    inner: Scorer
    share: float

    uses_model = True

    @property
    def signals(self) -> tuple[str, ...]:
        """Those of the other."""
        return self.inner.signals

    @property
    def passes(self) -> int:
        """Of an example that is computed."""
        return self.inner.passes

    @property
    def runs(self) -> tuple[str, ...]:
        """Those of the other."""
        return self.inner.runs

    def num_computed(self, num_rows: int) -> int:
        """Return how many of n examples are put through the model."""
        return sum(sample_sizes(num_rows, self.share))

    def identity(self) -> dict[str, Any]:
        """Return that of the other, the share, and a version that is raised when other rows are computed."""
        return {**self.inner.identity(), "sample": [self.share, 1]}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the score function of the rows that are computed."""
        sampled, checked = sampled_rows(scoring_data.data.example_ids, self.share)
        is_computed, compute = sampled | checked, self.inner.load(scoring_data)

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            rows = np.flatnonzero(is_computed[positions])
            found = compute(positions[rows] if len(rows) else positions[:1])  # of none the shape is not known
            arrays = {}
            for name, values in found.items():
                arrays[name] = np.full((len(positions), *values.shape[1:]), np.nan, np.float32)
                arrays[name][rows] = values[: len(rows)]
            return arrays

        return score


@dataclass(frozen=True)
class ExtendedScorer:
    """Values of a share of the pool, and of the rest the mean of the nearest of them, by the encoder's embeddings.

    Attributes:
        signals: names of the arrays; each has a second one, `guessed:<name>`: of the rows that check the extension
            what neighbours say of them, else NaN.
        share: of the pool.
    """

    signals: tuple[str, ...]
    share: float

    runs = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """What was computed, and where examples are."""
        return (*self.signals, "embeddings")

    def identity(self) -> dict[str, Any]:
        """Return share, neighbours and a version; what was computed is behind the signals that it reads."""
        return {"scorer": "extended", "signals": list(self.signals), "sample": [self.share, NUM_NEIGHBOURS, 1]}

    def compute(self, scoring_data: ScoringData, signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Find the neighbours of what was not computed, and of what checks them."""
        data = scoring_data.data
        sampled, checked = sampled_rows(data.example_ids, self.share)
        points, labels = np.asarray(signals["embeddings"]), np.asarray(data.train.labels)
        near = nearest_sampled(points, sampled)
        near_alike = near if OF_LABELS.isdisjoint(self._bases) else nearest_sampled(points, sampled, labels)
        arrays: dict[str, np.ndarray] = {}
        for name in self.signals:
            values = np.asarray(signals[name], np.float32)
            neighbours = near_alike if name.partition(":")[0] in OF_LABELS else near
            guessed = mean_of(values, neighbours)
            is_known = sampled | checked
            arrays[name] = np.where(_beside(is_known, values), values, guessed)
            arrays[GUESSED + name] = np.where(_beside(checked, values), guessed, np.float32(np.nan))
        return arrays

    @property
    def _bases(self) -> frozenset[str]:
        return frozenset(name.partition(":")[0] for name in self.signals)


def nearest_sampled(points: np.ndarray, sampled: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return (n, k) the sampled rows that are nearest to each row, k at most `NUM_NEIGHBOURS`; -1: it has fewer.

    Args:
        points: (n, d) embeddings.
        sampled: (n,) bool.
        labels: (n,) of which neighbours must be the same, where the class has any sampled row; default: any.
    """
    anchors = np.flatnonzero(sampled)
    if labels is None:
        return nearest_among(points, anchors, min(NUM_NEIGHBOURS, len(anchors)))
    found = nearest_among(points, anchors, min(NUM_NEIGHBOURS, len(anchors)))
    for label in np.unique(labels):
        rows, own = np.flatnonzero(labels == label), anchors[labels[anchors] == label]
        if not len(own):
            continue
        members = np.concatenate([rows[~sampled[rows]], own])
        places = np.arange(len(members) - len(own), len(members))
        nearest = members[nearest_among(points[members], places, min(found.shape[1], len(own)))]
        found[members] = _NONE
        found[members, : nearest.shape[1]] = nearest
    return found


def mean_of(values: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return (n, ...) float32 the mean of the values of neighbours, as `nearest_sampled` gives them.

    Args:
        values: (n, ...) of all rows.
        neighbours: (n, k).
    """
    is_there = (neighbours >= 0).reshape(*neighbours.shape, *(1,) * (values.ndim - 1))  # (n, k, 1, ...)
    found = np.where(is_there, values[neighbours], 0.0).sum(axis=1, dtype=np.float64)
    return np.asarray(found / is_there.sum(axis=1), np.float32)


def _beside(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *(1,) * (values.ndim - 1))


def agreement_notes(signals: Mapping[str, np.ndarray], labels: np.ndarray, read: Collection[str]) -> list[str]:
    """Return a note for every extended signal that is read: how well neighbours say what was computed.

    Of probabilities it is that of the label that is looked at.

    Args:
        signals: (n, ...) by name, `guessed:<name>` among them.
        labels: (n,) class numbers.
        read: names of those that are read.
    """
    from scipy.stats import spearmanr

    notes = []
    for name in sorted({name.removeprefix(GUESSED) for name in signals if name.startswith(GUESSED)} & {*read}):
        guessed, values = (_one_number(signals[key], labels) for key in (GUESSED + name, name))
        rows = np.flatnonzero(np.isfinite(guessed) & np.isfinite(values))
        if len(rows) < LEAST_CHECKED:
            said = f"too few examples ({len(rows)}) check it"
        elif np.ptp(guessed[rows]) == 0 or np.ptp(values[rows]) == 0:
            said = f"on {len(rows):,} examples that check it one of both is constant"
        else:
            correlation = float(spearmanr(guessed[rows], values[rows]).statistic)
            said = f"its rank correlation with what is computed is {correlation:.2f} on the {len(rows):,} that check it"
        notes.append(
            f"selection.scorers.sample: `{name}` is computed of a share of the pool, and of the rest the mean of "
            f"{NUM_NEIGHBOURS} neighbours: {said}"
        )
    return notes


def _one_number(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) of values with more axes: the probability of the label if the last axis is classes, else a mean."""
    if values.ndim == 1:
        return np.asarray(values)
    flat = values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)
    sums = flat.sum(axis=1)
    is_of_classes = values.shape[-1] > int(labels.max(initial=0)) and np.allclose(sums[~np.isnan(sums)], 1, atol=1e-3)
    return np.asarray(flat[np.arange(len(flat)), labels] if is_of_classes else flat.mean(axis=1))
