"""What a trial predicts of held-out examples, as the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.data.examples import ExampleTable, answers_of
from raybert.durable import atomic_path


def predicted_rows(split: str, table: ExampleTable, probs: np.ndarray, rows: np.ndarray | None = None) -> pd.DataFrame:
    """Return what is predicted of a split: `PREDICTIONS`.

    Args:
        split: its name.
        table: its examples.
        probs: (m, C) of them.
        rows: (all rows of the split,) bool, which ones these are; None: all.
    """
    part = pd.DataFrame(probs, columns=[f"prob_{c}" for c in range(probs.shape[1])])
    answers = answers_of(table)
    for place in reversed(range(probs.shape[1] if answers.ndim == 2 else 0)):
        part.insert(0, f"target_{place}", answers[:, place])
    part.insert(0, "label", np.asarray(table.labels))
    part.insert(0, "row", np.arange(len(probs)) if rows is None else np.flatnonzero(rows))
    part.insert(0, "split", split)
    return part


def write_rows(parts: Sequence[pd.DataFrame], path: Path) -> None:
    """Write the rows of several splits, one below the other."""
    with atomic_path(path) as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
