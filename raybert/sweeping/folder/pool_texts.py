"""Texts of the pool, for the few examples that people are shown: no other file of a results folder has any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.rows import take_rows

MOST_LETTERS = 400
"""Of a text: enough to see what it is about."""
TEXT_COLUMNS = ("text", "text_pair")


@dataclass(frozen=True, eq=False, repr=False)
class PoolTexts:
    """The texts of a pool.

    Attributes:
        table: with columns example_id, text, and for pairs text_pair.
    """

    table: pa.Table

    def of(self, example_ids: Sequence[str]) -> pd.DataFrame:
        """Return the beginnings of the texts of some examples, by id; of ids that are not in the pool nothing."""
        columns = [name for name in TEXT_COLUMNS if name in self.table.column_names]
        places = pc.index_in(pa.array(example_ids, pa.string()), self.table["example_id"].cast(pa.string()))
        rows = take_rows(self.table, places.drop_null().to_numpy())
        parts = {name: [beginning(text) for text in rows[name].to_pylist()] for name in columns}
        return pd.DataFrame(parts, index=pd.Index(rows["example_id"].to_pylist(), name="example_id"))


def beginning(text: str) -> str:
    """Return as much of a text as is shown."""
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
