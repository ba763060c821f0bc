"""Columns of one type, whatever values a sweep file gives."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd


def plain_column(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return varied values as numbers where all are, else as text: a column has one type."""
    present = values.dropna()
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        return pd.to_numeric(values)
    return values.map(lambda v: v if v is None or v != v else v if isinstance(v, str) else json.dumps(v))
