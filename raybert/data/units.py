"""Units of a table, which no cut tears: the copies of a text, or the examples of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa

from raybert.data.identity import form_digests, keyed_order, normal_forms
from raybert.data.same import number_rows
from raybert.data.strings import stream_strings

FORM = "normal form"
"""Column of a table that is being cut: what stands for the normal form of each example's text (`form_digests`)."""


@dataclass(frozen=True)
class Units:
    """Which rows belong together.

    Attributes:
        of_row: (n,) the number of each row's unit, of 0..u-1.
        names: yields the u names in the order of their numbers; they are strings only while they are read.
    """

    of_row: np.ndarray
    names: Callable[[], Iterator[str]]

    @classmethod
    def of_names(cls, names: Iterable[str]) -> Units:
        """Return the units of rows that are given by name."""
        distinct: dict[str, int] = {}
        numbers = np.fromiter((distinct.setdefault(name, len(distinct)) for name in names), np.int64)
        return cls(numbers, lambda: iter(distinct))

    @classmethod
    def of_table(cls, table: pa.Table) -> Units:
        """Return the units of a table: its groups if there are groups, else the copies of its texts.

        Args:
            table: columns text, [text_pair], [group], [`FORM`: otherwise it is computed].
        """
        if "group" in table.column_names:
            groups = table["group"]
            numbers = number_rows(groups)
            return cls(numbers, lambda: compress(stream_strings(groups), _are_first(numbers)))
        numbers = number_rows(table[FORM] if FORM in table.column_names else form_digests(table))
        return cls(numbers, lambda: compress(normal_forms(table), _are_first(numbers)))

    def __len__(self) -> int:
        return int(self.of_row.max(initial=-1)) + 1

    @property
    def sizes(self) -> np.ndarray:
        """(u,) rows of each unit."""
        return np.bincount(self.of_row, minlength=len(self))

    def take(self, rows: np.ndarray) -> Units:
        """Return the units of some rows, in their order."""
        if len(rows) == len(self.of_row) and (np.diff(rows) == 1).all():
            return self
        number = np.full(len(self), -1)
        number[self.of_row[rows]] = 0
        is_kept = number == 0
        number[is_kept] = np.arange(int(is_kept.sum()))
        return Units(number[self.of_row[rows]], lambda: compress(self.names(), is_kept))

    def order(self, seed: int, purpose: str) -> np.ndarray:
        """Return (u,) uint64 sort keys of the units, by their names alone (`keyed_order`)."""
        return keyed_order(self.names(), seed, purpose)


def _are_first(numbers: np.ndarray) -> np.ndarray:
    """Return (n,) bool: which rows are the first of their unit, where units are numbered in the order of the rows."""
    highest = np.maximum.accumulate(numbers)
    return np.concatenate([np.ones(min(1, len(numbers)), bool), highest[1:] > highest[:-1]])
