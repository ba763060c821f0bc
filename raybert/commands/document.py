"""A document of JSON as `--json` prints it: its declared keys, and how values become JSON.

A document is one JSON object. Its first keys are `document` (which one it is) and `format` (raised when a key changes
its meaning or goes; new keys may come at any time). What is not a number (NaN, an infinity) and what is missing is
null; rows of tables are objects with the declared columns of `raybert.tables`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Key:
    """A key of a document.

    Attributes:
        name: of the key.
        kind: what its value is, in words: `text`, `number`, `rows of summary`, ...
        description: what it says.
    """

    name: str
    kind: str
    description: str


@dataclass(frozen=True)
class Document:
    """What a command prints with `--json`.

    Attributes:
        name: the value of `document`.
        command: as it is typed.
        keys: in their order, behind `document` and `format`.
    """

    name: str
    command: str
    keys: tuple[Key, ...]

    def of(self, **values: Any) -> dict[str, Any]:
        """Return a document, as JSON has it.

        Raises:
            ValueError: the keys are not those that are declared.
        """
        names = [key.name for key in self.keys]
        if set(names) != set(values):
            raise ValueError(f"{self.name}: must have the keys {', '.join(names)}, got {', '.join(values)}")
        return {"document": self.name, "format": FORMAT, **{name: as_json(values[name]) for name in names}}


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: rows for a table, null for what is no number, text for a path."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)  # an exit code, too
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame
        return [as_json(row) for row in value.to_dict("records")]
    if hasattr(value, "tolist"):  # of numpy: a number, or an array
        return as_json(value.tolist())
    return None if _is_missing(value) else str(value)


def _is_missing(value: Any) -> bool:
    """Tell whether a value is one of those by which pandas says that there is none."""
    import pandas as pd

    return value is pd.NA or value is pd.NaT
