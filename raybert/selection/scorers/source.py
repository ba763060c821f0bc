"""What the data themselves say of an example, as signals: its text, and any column of the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.selection.scorers.text import joined_texts

COLUMN = "column:"
"""How the name of a signal begins that is a column of the source; what follows is the column's name there."""


@dataclass(frozen=True)
class TextsScorer:
    """The texts of the pool, (n,) str; both texts of a pair as paragraphs of one."""

    signals = ("texts",)
    uses_model = False
    passes = 0
    runs = ()

    def identity(self) -> dict[str, Any]:
        """Return the name: the data of which they are stand beside it."""
        return {"scorer": "texts"}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that reads the texts of positions."""

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            texts = np.empty(len(positions), object)
            texts[:] = joined_texts(scoring_data.texts, positions)
            return {"texts": texts}

        return score


@dataclass(frozen=True)
class ColumnScorer:
    """A column of the source, (n,), of numbers, truth values or texts.

    Attributes:
        column: its name there.
        digest: of its values over the pool, which the fingerprint of the data does not know.
    """

    uses_model = False
    passes = 0
    runs = ()

    column: str
    digest: str

    @property
    def signals(self) -> tuple[str, ...]:
        """Name of the array."""
        return (COLUMN + self.column,)

    def identity(self) -> dict[str, Any]:
        """Return the name of the column and its content."""
        return {"scorer": "column", "column": self.column, "content": self.digest}

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that reads the values of positions."""
        from raybert.data.source_columns import to_numpy  # Arrow

        values = scoring_data.texts[COLUMN + self.column]
        return lambda positions: {COLUMN + self.column: to_numpy(values.take(positions))}


def texts_scorer(request: ScorerRequest) -> TextsScorer:
    """Return the scorer of `texts`."""
    return TextsScorer()
