"""The public `select`: what a strategy chooses from arrays of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybert.config import StrategyConfig
from raybert.errors import SelectionError
from raybert.selection.catalogue import build_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.declared_signals import TABLE
from raybert.selection.geometry.points import unit_rows
from raybert.selection.keys import draw_keys, tie_keys
from raybert.selection.pool import Pool, Selection
from raybert.selection.scorers.source import COLUMN
from raybert.selection.signals import find_signal
from raybert.selection.strategy import Strategy


def select(
    strategy: str | Strategy,
    budget: int,
    *,
    labels: Any,
    seed: int = 0,
    example_ids: Any = None,
    parameters: Mapping[str, Any] | None = None,
    texts: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
    **signals: Any,
) -> Selection:
    """Return the examples that a strategy chooses from arrays of your own, without Ray or a sweep.

    Args:
        strategy: name, `module:Class`, or a strategy object.
        budget: examples to choose.
        labels: (n,) class numbers 0..C-1.
        seed: of ties and random draws.
        example_ids: (n,) stable ids; default: the position as text.
        parameters: the strategy's own, when it is given by name.
        texts: (n,), the signal `texts`, of which those of single texts are computed where they are needed.
        columns: name -> (n,) of the data, the signals `column:<name>`.
        **signals: arrays of length n by name, e.g. `probs=` (n, C), `embeddings=` (n, d), which are divided by their
            norms. What follows from these and the texts need not be given: `feature_norms` from `features`, `aflite`
            from `embeddings`.

    Raises:
        ConfigError: unknown strategy or parameter, or an impossible budget.
        SelectionError: a needed signal is missing or has the wrong length.
    """
    if isinstance(strategy, str):
        strategy = build_strategy(StrategyConfig(name=strategy, **dict(parameters or {})))
    labels = _class_numbers(labels)
    arrays = {name: np.asarray(values) for name, values in signals.items()}
    if texts is not None:
        arrays["texts"] = np.asarray(texts, dtype=object)
    for name, values in (columns or {}).items():
        column = np.asarray(values)
        arrays[COLUMN + name] = column.astype(object) if column.dtype.kind == "U" else column
    for name, values in arrays.items():
        if len(values) != len(labels):
            raise SelectionError(f"{name}: must have one row per label ({len(labels)}), got {len(values)}")
    if "embeddings" in arrays:
        arrays["embeddings"] = unit_rows(arrays["embeddings"])  # for all strategies alike, as in a sweep
    arrays |= derive_signals(arrays, strategy.all_signals(), labels)
    ids = np.arange(len(labels)).astype(str) if example_ids is None else np.asarray(example_ids).astype(str)
    num_classes = _count_classes(labels, arrays)
    generator = np.random.default_rng(seed)
    pool = Pool(labels, num_classes, tie_keys(ids, seed), arrays, generator, draw_keys=draw_keys(ids, seed))
    return select_from_pool(strategy, pool, budget)


def _class_numbers(labels: Any) -> np.ndarray:
    """Return labels as (n,) int64.

    Raises:
        SelectionError: they are not class numbers.
    """
    given = np.asarray(labels)
    if given.dtype.kind in "fb" and np.array_equal(given, given.astype(np.int64)):
        given = given.astype(np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu" or (len(given) and given.min() < 0):
        described = f"one of {given.min()}" if given.dtype.kind == "i" and given.ndim == 1 else f"{given.dtype}"
        raise SelectionError(
            f"labels: must be (n,) class numbers 0..C-1, got {described} of shape {given.shape}; "
            "number names first, e.g. by np.unique(labels, return_inverse=True)[1]"
        )
    return given.astype(np.int64)


def _count_classes(labels: np.ndarray, arrays: Mapping[str, np.ndarray]) -> int:
    """Return C, from the labels and what has a column per class.

    Raises:
        SelectionError: probabilities have fewer columns than there are classes, or another shape.
    """
    num_classes = int(labels.max()) + 1 if len(labels) else 0
    for signal in TABLE:
        dimensions = [len(shape) for shape in signal.shapes if shape[-1] == "C"]
        if not dimensions or signal.name not in arrays:
            continue
        name, values = signal.name, arrays[signal.name]
        if values.ndim not in dimensions or values.dtype.kind != "f" or values.shape[-1] < num_classes:
            raise SelectionError(
                f"{name}: must be probabilities with a column per class ({num_classes}) in "
                f"{' or '.join(map(str, dimensions))} dimensions, got {values.dtype} of shape {values.shape}"
            )
        num_classes = max(num_classes, values.shape[-1])
    return num_classes


def derive_signals(
    arrays: Mapping[str, np.ndarray], needs: frozenset[str], labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the signals that are needed, not given, and follow from what is given without a model."""
    derived: dict[str, np.ndarray] = {}
    for name in needs - arrays.keys():
        signal = find_signal(name)
        if signal is not None and signal.derive is not None and signal.given in arrays:
            derived[name] = signal.derive(arrays[signal.given], labels)
    return derived
