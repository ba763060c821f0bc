"""The configurations of a sweep in its tables; `raybert.sweeping.folder.configurations` says what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from raybert.sweeping.folder.configurations import BUDGET_KEY as BUDGET_KEY
from raybert.sweeping.folder.configurations import Configuration as Configuration
from raybert.sweeping.folder.configurations import Configurations as Configurations
from raybert.sweeping.folder.configurations import short_parameter_names as short_parameter_names
from raybert.sweeping.folder.configurations import table_name as table_name

KEY = "configuration"
"""The column that names the configuration of a row."""
IDENTITY = ("strategy", "role", "budget_kind", "budget")


def has_budget(rows: pd.DataFrame) -> pd.Series[bool]:
    """Tell of which rows of a table the strategy has a budget; one without may use the whole pool."""
    return rows["budget_kind"] != "none"


def with_configurations(rows: pd.DataFrame, grid_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return trials with their configurations' names; those of `load_sweep` have them."""
    if KEY in rows:
        return rows
    specs = [
        {
            **{name: row[name] for name in IDENTITY},
            "grid": {key: row[key] for key in grid_columns if not _is_missing(row[key])},
        }
        for row in rows.to_dict("records")
    ]
    return rows.assign(**{KEY: list(Configurations.of(specs).of_runs)})


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
