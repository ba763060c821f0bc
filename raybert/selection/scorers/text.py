"""Signals of single texts as scorers: what `TextSignal` computes, over the blocks of a pool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.selection.text_signal import TextSignal

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TextScorer:
    """One signal of single texts, (n,) or (n, columns).

    Attributes:
        signal: with its parameters.
        stamp: its identity as JSON, taken where the scoring is planned: the processes that score must not look for the
            source of a user's module, or find another one.
    """

    uses_model = False
    passes = 0
    runs = ()

    signal: TextSignal
    stamp: str

    @classmethod
    def of(cls, signal: TextSignal) -> TextScorer:
        """Return the scorer of a signal whose code is that of this process."""
        return cls(signal, json.dumps(signal.identity()))

    @property
    def signals(self) -> tuple[str, ...]:
        """Name of the array."""
        return (self.signal.name,)

    def identity(self) -> dict[str, Any]:
        """Return name, parameters and code."""
        identity: dict[str, Any] = json.loads(self.stamp)
        return identity

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that reads the texts of positions."""
        labels = np.asarray(scoring_data.data.train.labels)

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            texts = joined_texts(scoring_data.texts, positions)
            return {self.signal.name: self.signal.values(texts, labels[positions])}

        return score


def joined_texts(table: pa.Table, positions: np.ndarray) -> list[str]:
    """Return the texts of some rows, both texts of a pair one after the other as paragraphs of their own."""
    from raybert.data.rows import take_rows  # Arrow

    rows = take_rows(table, positions)
    texts: list[str] = rows["text"].to_pylist()
    if "text_pair" not in rows.column_names:
        return texts
    return [f"{first}\n\n{second}" for first, second in zip(texts, rows["text_pair"].to_pylist(), strict=True)]
