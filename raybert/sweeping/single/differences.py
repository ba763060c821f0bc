"""Two runs of one trial, file by file: the same bits, or what differs and by how much."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from raybert.files import reading_back
from raybert.sweeping.folder.predictions import EXTRA_PREDICTIONS_FILE, PREDICTIONS_FILE
from raybert.sweeping.folder.trial_folder import REPAIR, TrialFolder
from raybert.tables import RAN_ON, RENAMED_COLUMNS

_MODEL = "model"
"""Folder of a pretrained model."""
_MEASURED = ("steps", "total_steps", "tokens", "stopped_early", "padding_share", "parameters")
"""Of `training_summary.json`, what belongs to the run alone; its evaluations are compared by themselves."""
_CLOCK = "seconds"
"""In the name of everything that a clock measured."""


@dataclass(frozen=True)
class Comparison:
    """One kind of output of two runs.

    Attributes:
        what: evaluations, result, selection, scores, predictions, extra predictions, losses, weights.
        size: how much was compared, in words.
        differences: a line for each; none: bit-identical.
    """

    what: str
    size: str
    differences: tuple[str, ...] = ()


def compare_trials(first: TrialFolder, again: TrialFolder) -> list[Comparison]:
    """Return how what two runs of a trial left compares; what the first run has not (or no longer) is left out.

    An unfinished first run is compared as far as it came.
    """
    return [part for part in _compare(first, again) if part is not None]


def _compare(first: TrialFolder, again: TrialFolder) -> Iterator[Comparison | None]:
    yield _evaluations(first.rows(), again.rows())
    if first.status() != "complete" or again.status() != "complete":
        return
    one, other = _timeless(first.result()), _timeless(again.result())
    yield Comparison("result", f"{len(one)} values", tuple(_values(one, other)))
    for what, name in (
        ("selection", "selection.parquet"),
        ("predictions", PREDICTIONS_FILE),
        ("extra predictions", EXTRA_PREDICTIONS_FILE),
    ):
        yield _tables(what, first.path / name, again.path / name)
    yield _tables("conflicts", first.path / "conflicts.csv", again.path / "conflicts.csv")
    yield _losses(first.read_losses(), again.read_losses())
    for path in sorted([*first.path.glob("pool_scores.npy"), *first.path.glob("dynamics/*.npy")]):
        yield _arrays(path, again.path / path.relative_to(first.path))
    yield _weights(first, again)


def compare_models(first: TrialFolder, again: TrialFolder) -> list[Comparison]:
    """Return how what two pretrainings of one model left compares; an unfinished first one as far as it came."""
    found = [_evaluations(first.rows(), again.rows())]
    one, other = first.pretraining_summary(), again.pretraining_summary()
    if one is not None and other is not None:
        ones, others = ({key: value for key, value in summary.items() if key in _MEASURED} for summary in (one, other))
        found.append(Comparison("summary", f"{len(ones)} values", tuple(_values(ones, others))))
        found.append(_weights_in(first.path / _MODEL, again.path / _MODEL))
    return [part for part in found if part is not None]


def _evaluations(first: list[dict[str, Any]], again: list[dict[str, Any]]) -> Comparison | None:
    if not first:
        return None
    known = {row["evaluation"]: _timeless(row) for row in again}
    lines, changed = [], 0
    largest: dict[str, float] = {}
    for row in first:
        other = known.get(row["evaluation"])
        if other is None:
            lines.append(f"evaluation {row['evaluation']} is missing")
            continue
        differing = list(_changes(_timeless(row), other))
        if differing and not changed:
            lines.append(f"from evaluation {row['evaluation']} (step {row['step']}) on")
        changed += bool(differing)
        for key, size in differing:
            largest[key] = max(largest.get(key, 0.0), size)
    lines += [f"{key} by {_size(size)}" for key, size in largest.items()]
    return Comparison("evaluations", f"{len(first)} rows", tuple(lines))


def _values(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key, size in _changes(one, other):
        yield f"{key}: {one.get(key)!r}, now {other.get(key)!r}" + (f" ({_size(size)})" if size < math.inf else "")


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the keys whose values differ, with the size of the difference (infinite: not numbers)."""
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key), other.get(key)
        if json.dumps(a) != json.dumps(b):  # NaN equals NaN here
            yield key, abs(a - b) if isinstance(a, int | float) and isinstance(b, int | float) else math.inf


def _tables(what: str, first: Path, again: Path) -> Comparison | None:
    """Compare two tables, by row and column."""
    if not first.is_file():
        return None
    one = _read_table(first)
    if not again.is_file():
        return Comparison(what, f"{len(one):,} rows", (f"{again.name} is missing",))
    other = _read_table(again)
    if "example_id" in one and "pass" in one:
        differing = _chosen(one, other)
        if differing:
            return Comparison(what, f"{len(one):,} rows", (differing,))
    if one.shape != other.shape or list(one) != list(other):
        shape = f"{len(one):,} rows of {one.shape[1]} columns, now {len(other):,} of {other.shape[1]}"
        return Comparison(what, f"{len(one):,} rows", (shape,))
    parts = [_column(str(name), one[name].to_numpy(), other[name].to_numpy()) for name in one]
    lines = [line for line in parts if line]
    return Comparison(what, f"{len(one):,} rows", tuple(lines))


def _read_table(path: Path) -> pd.DataFrame:
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    with reading_back(path, REPAIR):
        frame: pd.DataFrame = read(path)
    return frame.rename(columns=RENAMED_COLUMNS)


def _chosen(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """Say how many examples of a selection are others; nothing: they are the same, in whatever order."""
    keys = ["pass", "example_id"]
    both = one[keys].merge(other[keys], on=keys)
    if len(both) == len(one) == len(other):
        return ""
    gone, new = len(one) - len(both), len(other) - len(both)
    return f"{gone:,} of {len(one):,} examples are not chosen now, {new:,} others are"


def _losses(one: dict[str, np.ndarray] | None, other: dict[str, np.ndarray] | None) -> Comparison | None:
    if one is None:
        return None
    size = f"{len(one['loss']):,} examples"
    if other is None:
        return Comparison("losses", size, ("losses.npz is missing",))
    lines = [_column(name, one[name], other[name]) for name in one]
    return Comparison("losses", size, tuple(line for line in lines if line))


def _arrays(first: Path, again: Path) -> Comparison:
    name = first.stem if first.parent.name != "dynamics" else f"dynamics {first.stem}"
    one = _read_array(first)
    size = f"{one.size:,} numbers"
    if not again.is_file():
        return Comparison(name, size, (f"{again.name} is missing",))
    line = _column("", one, _read_array(again))
    return Comparison(name, size, (line,) if line else ())


def _read_array(path: Path) -> np.ndarray:
    with reading_back(path, REPAIR):
        return np.asarray(np.load(path, allow_pickle=False))


def _column(name: str, one: np.ndarray, other: np.ndarray) -> str:
    """Say in how many places two arrays differ, and by how much; nothing: nowhere."""
    if one.shape != other.shape:
        return f"{name} has the shape {one.shape}, now {other.shape}".strip()
    is_number = one.dtype.kind in "fiu" and other.dtype.kind in "fiu"
    differs = one != other
    if is_number:
        differs &= ~(np.isnan(one.astype(float)) & np.isnan(other.astype(float)))
    if not differs.any():
        return ""
    size = f", by at most {_size(_largest(one[differs], other[differs]))}" if is_number else ""
    return f"{name}: {differs.sum():,} of {differs.size:,} differ{size}".removeprefix(": ")


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    difference = np.abs(one.astype(float) - other.astype(float))
    return float(np.nanmax(difference)) if np.isfinite(difference).any() else math.inf


def _weights(first: TrialFolder, again: TrialFolder) -> Comparison | None:
    """Compare the best models, where both are kept."""
    if not first.has_model() or not again.has_model():
        return None
    return _weights_in(first.checkpoints / "best", again.checkpoints / "best")


def _weights_in(first: Path, again: Path) -> Comparison:
    """Compare the weights of two folders."""
    lines, count = [], 0
    for path in sorted(first.glob("*.safetensors")):
        one, other = _read_weights(path), _read_weights(again / path.name)
        count += len(one)
        for name, tensor in one.items():
            line = _column(name, tensor.float().numpy(), other[name].float().numpy()) if name in other else name
            lines += [line] if line else []
    return Comparison("weights", f"{count} tensors", tuple(lines))


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    with reading_back(path, "delete the trial's folder: the same sweep command trains it again"):
        try:
            weights: dict[str, torch.Tensor] = load_file(path)
        except SafetensorError as error:  # which is no ValueError
            raise ValueError(str(error)) from None
        return weights


def _timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if _CLOCK not in key and key not in RAN_ON}


def _size(difference: float) -> str:
    return "not comparable" if math.isinf(difference) else f"{difference:.3g}"
