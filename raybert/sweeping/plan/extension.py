"""What may change in the sweep file of a folder that holds finished trials."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from raybert.config import RaybertConfig, TuneConfig
from raybert.errors import SweepError
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.entries import read_entries
from raybert.sweeping.plan.search_space import strategy_of

_EXECUTION_ONLY = (
    "sweep",
    "limits",
    "resources.concurrent_trials",
    "train.checkpoint_seconds",
    "selection.store",
    "monitor",
    "name",
)


_FREE_IN_A_SEARCH = ("suggestions_per_strategy", "asha", "seed_test")
"""Keys of `sweep.tune` that may change while it is on its way: what was decided stays decided."""


def check_extension(old: RaybertConfig, new: Design, *, search_begun: bool = True) -> None:
    """Refuse a file that changes what finished trials of a folder mean.

    More (or fewer) strategies, seeds, grid values and suggestions are fine.

    Args:
        old: the file that the folder belongs to.
        new: of the file that is to be run.
        search_begun: whether suggestions of the old file's search are there.

    Raises:
        SweepError: with the differing lines.
    """
    _check_same(_comparable(old), _comparable(new.config), "finished trials", "strategies, seeds and grid values")
    begun, wanted = old.sweep.tune, new.config.sweep.tune
    if search_begun and begun is not None and wanted is not None:
        labels = [tuple(entry.label for entry in entries) for entries in (read_entries(old), new.entries)]
        before, after = (_comparable_search(tune, *labels) for tune in (begun, wanted))
        if begun.shared:  # its study chooses among them
            before, after = (
                [*lines, f"sweep.strategies: {', '.join(names)}"]
                for lines, names in zip((before, after), labels, strict=True)
            )
        _check_same(before, after, "finished suggestions", "suggestions_per_strategy (of sweep.tune)")


def _comparable_search(tune: TuneConfig, *labels: tuple[str, ...]) -> list[str]:
    """Return the lines of a search; keys of strategies that only one of the files has are left out."""
    document = tune.model_dump(mode="json", exclude=set(_FREE_IN_A_SEARCH))
    document["space"] = {
        key: domain
        for key, domain in document["space"].items()
        if not key.startswith("strategies.") or all(strategy_of(key, names) for names in labels)
    }
    return [f"sweep.tune.{key}: {value}" for key, value in sorted(flatten(document).items())]


def _check_same(before: list[str], after: list[str], what: str, free: str) -> None:
    if before == after:
        return
    lines = difflib.unified_diff(before, after, what, "this file", lineterm="", n=0)
    changes = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
    raise SweepError(
        f"the sweep file differs from the one that this folder belongs to in more than {free}; give `output` a new "
        f"folder, or undo the change:\n{changes}"
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
