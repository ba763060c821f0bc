"""The part of validation that scores a suggestion and chooses nothing (`sweep.tune.validation`).

The best of many evaluations on the examples that chose it is partly luck, and a search takes the best of that again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.data.cut import assign_units
from raybert.data.examples import ExampleData
from raybert.data.units import Units
from raybert.errors import ConfigError

SCORING = "scoring"
"""The split of its predictions in `predictions.parquet`."""


def scored_rows(validation: pa.Table, config: DataConfig, fraction: float) -> np.ndarray:
    """Return (m,) bool, which rows of validation score suggestions: always the same, stratified, units whole.

    Args:
        validation: texts and labels of the split.
        config: of the data, whose `split_seed` says which.
        fraction: share of the rows.

    Raises:
        ConfigError: a part would be empty.
    """
    labels = validation["label"].to_numpy()
    part = assign_units(Units.of_table(validation), labels, [fraction], config.split_seed, "suggestions")
    rows = np.asarray(part == 1)
    if rows.all() or not rows.any():
        raise ConfigError(
            f"sweep.tune.validation: must leave examples for both parts, got {fraction:g} of {len(labels):,} "
            f"validation examples, of which {int(rows.sum()):,} would score"
        )
    return rows


def with_scored_part(data: ExampleData, rows: np.ndarray) -> ExampleData:
    """Return the data of a run of a search: its validation is one part, and what it is measured on last the other.

    Args:
        data: with the whole validation split; its test split is in no way kept.
        rows: of `scored_rows`.
    """
    parts = {
        "validation": data.validation.take(np.flatnonzero(~rows)),
        "test": data.validation.take(np.flatnonzero(rows)),
    }
    cut: ExampleData = replace(data, **parts)  # type: ignore[type-var]
    return cut
