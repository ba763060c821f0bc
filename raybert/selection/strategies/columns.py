"""Strategies that rank by what the data bring along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from raybert.config.tasks import EVERY_TASK, Task
from raybert.errors import SelectionError
from raybert.selection.pool import Pool
from raybert.selection.registry import register
from raybert.selection.scorers.source import COLUMN
from raybert.selection.strategies.valued import ValuedStrategy

_NUMBER = re.compile(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*")


@register
class Column(ValuedStrategy):
    """Examples by a number that the data bring along: what a judge, annotators or another library say of them.

    Rule: score = the value; top: the highest first, bottom: the lowest first, middle: the nearest to the median rank.

    Truth values count as 1 and 0. An example without a value (null, NaN, an empty field of csv) comes last, whatever
    the direction; equal values are drawn. Texts are refused, be they numbers among other words: say in the data what
    they are worth.
    """

    name: ClassVar[str] = "column"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[str]] = frozenset({f"{COLUMN}score"})
    uses_seed: ClassVar[bool] = False

    column: str = Field("score", min_length=1, description="of the source: its name there")

    def required_signals(self) -> frozenset[str]:
        return frozenset({COLUMN + self.column})

    def scores(self, pool: Pool) -> np.ndarray:
        return numbers_of(pool.signals[COLUMN + self.column], self.column)

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        numbers_of(columns[self.column], self.column)


def numbers_of(values: np.ndarray, column: str) -> np.ndarray:
    """Return the values of a column as (n,) float64, NaN where there is none.

    Args:
        values: (n,) as a pool has them.
        column: its name, for errors.

    Raises:
        SelectionError: they are no numbers, or none of them is there.
    """
    given = np.asarray(values)
    remedy = "give a number for each example, or leave it empty"
    if given.ndim != 1 or given.dtype.kind not in "iufbOU":
        raise SelectionError(f"{COLUMN}{column}: must hold a number each, got {given.dtype} of {given.shape}; {remedy}")
    if given.dtype.kind in "OU":
        texts = [str(value) for value in given if value is not None]
        if texts:
            odd = next((text for text in texts if not _NUMBER.fullmatch(text)), texts[0])
            raise SelectionError(f"{COLUMN}{column}: must hold numbers, got texts such as '{odd[:40]}'; {remedy}")
        given = np.full(len(given), np.nan)
    numbers = given.astype(np.float64)
    if len(numbers) and np.isnan(numbers).all():
        raise SelectionError(f"{COLUMN}{column}: must have a value for some example, got none for {len(numbers):,}")
    return numbers
