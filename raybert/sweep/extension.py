"""What may change in the sweep file of a folder that holds finished trials."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from raybert.config import RaybertConfig
from raybert.errors import SweepError

_EXECUTION_ONLY = (
    "sweep",
    "limits",
    "resources.concurrent_trials",
    "train.checkpoint_seconds",
    "selection.store",
    "monitor",
    "name",
)


def check_extension(old: RaybertConfig, new: RaybertConfig) -> None:
    """Refuse a file that changes what finished trials of a folder mean.

    More (or fewer) strategies, seeds and grid values are fine.

    Raises:
        SweepError: with the differing lines.
    """
    before, after = (_comparable(config) for config in (old, new))
    if before == after:
        return
    lines = difflib.unified_diff(before, after, "finished trials", "this file", lineterm="", n=0)
    changes = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
    raise SweepError(
        "the sweep file differs from the one that this folder belongs to in more than strategies, seeds and "
        f"grid values; give --output a new folder, or take the change back:\n{changes}"
    )


def _comparable(config: RaybertConfig) -> list[str]:
    flat = flatten(config.model_dump(mode="json"))
    return [
        f"{key}: {value}"
        for key, value in sorted(flat.items())
        if not any(key == skip or key.startswith(skip + ".") for skip in _EXECUTION_ONLY)
    ]


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value})
    return flat
