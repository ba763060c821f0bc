"""Whether two sweeps came to the same results: every table that they publish, but for what a clock or a host says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

_MEASURED = ("seconds", "host")
_OF_CLOCKS = ("estimate",)
"""Tables without anything else."""


def assert_same_results(one: Path, other: Path) -> None:
    """Two results folders hold the same tables, bit for bit, and all of their trials are complete.

    Args:
        one: results folder, on a local disk.
        other: likewise; of what lies elsewhere, `assert_same_tables` compares what `published_tables` would read.
    """
    ours, theirs = published_tables(one), published_tables(other)
    assert set(ours["trials"]["status"]) == {"complete"}
    assert_same_tables(ours, theirs)


def assert_same_tables(ours: Mapping[str, pd.DataFrame], theirs: Mapping[str, pd.DataFrame]) -> None:
    """Tables by name are the same, bit for bit, but for what a clock or a host says."""
    assert sorted(ours) == sorted(theirs), f"only one has {sorted(set(ours) ^ set(theirs))}"
    for name in sorted(ours):
        pd.testing.assert_frame_equal(timeless(ours[name]), timeless(theirs[name]), obj=name)


def published_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables in `results/` by name, their cells as they are written."""
    paths = [path for path in sorted((folder / "results").glob("*.csv")) if path.stem not in _OF_CLOCKS]
    found = {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths}
    assert {"trials", "evaluations", "summary"} <= found.keys()
    return found


def timeless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns that a clock or a host decides, and without rows that are about seconds."""
    kept = frame.drop(columns=[name for name in frame if _is_measured(str(name))])
    for name in {"cost", "metric"} & set(kept):
        kept = kept[~kept[name].map(_is_measured).astype(bool)]
    return kept.reset_index(drop=True)


def _is_measured(name: str) -> bool:
    return any(word in name for word in _MEASURED)
