"""Names of raybert 0.1 in files of results, which are read for one release more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED_COLUMNS: Mapping[str, str] = {
    "epoch": "pass",
    "best_epoch": "best_pass",
    "samples_per_epoch": "samples_per_pass",
    "pool": "pool_size",
}
"""Columns, in files of runs and in all tables: name of raybert 0.1 -> today's."""
RENAMED_TABLES: Mapping[str, str] = {"epochs": "evaluations"}
"""Tables: name of raybert 0.1 -> today's."""
RENAMED_PLOTS: Mapping[str, str] = {"samples_per_epoch": "samples_per_pass"}
"""Plots: name of raybert 0.1 -> today's."""


def with_new_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with today's names, whichever raybert wrote it."""
    return {RENAMED_COLUMNS.get(name, name): value for name, value in row.items()}
