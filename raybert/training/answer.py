"""What rank 0 of several workers hands back: a file of numbers and words, which nobody unpickles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from raybert.files import save_arrays
from raybert.training.objective import MeasuredElsewhere
from raybert.training.ran_on import RanOn
from raybert.training.result import FitResult

_FACTS = "facts"
_ARRAYS = ("validation_probs", "test_probs", "train_losses", "train_loss_passes")
_EXTRA = "extra."
"""Begins the name of the array of a further test set."""
_TUPLES = ("samples_per_pass", "notes")


def write_answer(path: Path, result: FitResult) -> None:
    """Write what a run measured: its arrays, and everything else as JSON, whose numbers read back to the last bit."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    arrays = {name: fields.pop(name) for name in _ARRAYS}
    extra = fields.pop("extra")
    arrays |= {f"{_EXTRA}{name}": measured.probs for name, measured in extra.items()}
    fields["extra"] = {name: measured.metrics for name, measured in extra.items()}
    fields["ran_on"] = None if result.ran_on is None else dataclasses.asdict(result.ran_on)
    facts = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    save_arrays(path, **{_FACTS: facts}, **{name: array for name, array in arrays.items() if array is not None})


def read_answer(path: Path) -> FitResult:
    """Return what `write_answer` has written."""
    with np.load(path, allow_pickle=False) as stored:
        fields: dict[str, Any] = json.loads(stored[_FACTS].tobytes())
        fields |= {name: stored.get(name) for name in _ARRAYS}
        fields["extra"] = {
            name: MeasuredElsewhere(stored[f"{_EXTRA}{name}"], metrics) for name, metrics in fields["extra"].items()
        }
    fields |= {name: tuple(fields[name]) for name in _TUPLES}
    if fields["ran_on"] is not None:
        fields["ran_on"] = RanOn(**fields["ran_on"])
    return FitResult(**fields)
