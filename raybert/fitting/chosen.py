"""Which examples a script trains on, and how long: all of them, rows, or a strategy's choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybert.config import SelectionConfig, StrategyConfig, TrainConfig
from raybert.config.load import validate_model
from raybert.errors import ConfigError, SelectionError
from raybert.files import json_digest
from raybert.fitting.identity import identity_of
from raybert.fitting.tables import FitData, TextTable
from raybert.selection.catalogue import build_strategy
from raybert.selection.choose import check_positions
from raybert.selection.compose import compose
from raybert.selection.geometry.points import unit_rows
from raybert.selection.keys import draw_keys, tie_keys
from raybert.selection.pool import Pool
from raybert.selection.schedule import make_pass_planner
from raybert.selection.select import derive_signals
from raybert.selection.strategy import Strategy
from raybert.training.interface import FixedPasses, PassPlanner


@dataclass(frozen=True)
class Passes:
    """What the passes of a run train on.

    Attributes:
        planner: says it before each.
        total_steps: T.
        passes: the run ends after so many, whatever they keep; None: after T.
        positions: (k,) of the pool, where they are chosen once; None: all, or anew before every pass.
        identity: of the choice, as JSON.
    """

    planner: PassPlanner
    total_steps: int
    passes: float | None
    positions: np.ndarray | None
    identity: Any


def plan_passes(
    data: FitData,
    config: TrainConfig,
    strategy: Any,
    *,
    budget: int | float | None,
    parameters: Mapping[str, Any] | None,
    signals: Mapping[str, np.ndarray] | None,
    seed: int,
    compared: bool,
) -> Passes:
    """Return what a run trains on.

    Args:
        data: of the run.
        config: its train section.
        strategy: see `raybert.fit`, as the next three.
        budget: see there.
        parameters: see there.
        signals: see there.
        seed: of ties and draws.
        compared: whether the run has a checkpoint, which belongs to this choice.

    Raises:
        ConfigError: a budget is missing or impossible.
        SelectionError: rows or signals do not fit the data, or a signal is missing.
    """
    n = len(data.train)
    for name, value in (("budget", budget), ("parameters", parameters), ("signals", signals)):
        if value is not None and not isinstance(strategy, str | Strategy):
            raise ConfigError(f"{name}: must be left out without a strategy that reads it")
    if strategy is None:
        return _fixed(np.arange(n), config, None, None)
    if isinstance(strategy, str | Strategy):
        return _by_strategy(data, config, strategy, budget, parameters, signals, seed, compared)
    if hasattr(strategy, "next_pass"):
        nominal = config.length.steps or config.length.most_steps(n, config.batch_size)
        passes = None if config.length.steps else config.length.num_epochs
        return Passes(strategy, nominal, passes, None, identity_of(strategy, "strategy") if compared else None)
    return _rows(data, config, np.asarray(strategy))


def _rows(data: FitData, config: TrainConfig, rows: np.ndarray) -> Passes:
    """Train on rows of the data that was given."""
    place = np.full(int(data.rows.max()) + 1, -1)
    place[data.rows] = np.arange(len(data.rows))
    check_positions("strategy", rows, len(place), None)
    positions = place[rows]
    if not len(rows) or (positions < 0).any():
        raise SelectionError(
            "strategy: rows must be some of `train` that are not held out; give `validation` as data of its own"
        )
    return _fixed(positions, config, None, json_digest(rows.tolist()))


def _fixed(positions: np.ndarray, config: TrainConfig, weights: np.ndarray | None, identity: Any) -> Passes:
    steps = config.length.steps or max(1, config.length.most_steps(len(positions), config.batch_size))
    chosen = None if identity is None else positions
    return Passes(FixedPasses(positions, weights), steps, None, chosen, identity)


def _by_strategy(
    data: FitData,
    config: TrainConfig,
    strategy: str | Strategy,
    budget: int | float | None,
    parameters: Mapping[str, Any] | None,
    signals: Mapping[str, np.ndarray] | None,
    seed: int,
    compared: bool,
) -> Passes:
    if isinstance(strategy, str):
        strategy = build_strategy(StrategyConfig(name=strategy, **dict(parameters or {})))
    composed = compose(strategy)
    n, spends = len(data.train), composed.spends()
    if budget is None and spends != "none":
        raise ConfigError(f"budget: must be given with strategy '{composed.title}': examples, or a share in (0, 1]")
    number = n if budget is None else validate_model(SelectionConfig, {"budget": budget}).resolve(n)
    pool = Pool(
        labels=data.train.labels,
        num_classes=data.num_classes,
        tie_keys=tie_keys(data.example_ids, seed),
        signals=_signals(data, signals or {}, composed.all_signals()),
        generator=np.random.default_rng(seed),
        draw_keys=draw_keys(data.example_ids, seed),
    )
    identity = [composed.title, number, json_digest(composed.model_dump(mode="json"))]
    identity += [identity_of(given, "strategy") for given in (strategy, dict(signals or {})) if compared]
    changes = composed.schedule == "epoch" or (composed.schedule == "rounds" and composed.rounds > 1)
    steps = config.length.steps or max(1, config.length.most_steps(number, config.batch_size))
    planner, selection = make_pass_planner(
        strategy, pool, number, total_steps=steps, batch_size=config.batch_size, proxy_pooling=None
    )
    if selection is not None:
        return _fixed(
            selection.positions, config, selection.weights, [*identity, json_digest(selection.positions.tolist())]
        )
    by_passes = changes and spends == "none" and config.length.steps is None
    return Passes(planner, steps, config.length.num_epochs if by_passes else None, None, identity)


def _signals(data: FitData, given: Mapping[str, np.ndarray], needs: frozenset[str]) -> dict[str, np.ndarray]:
    """Return the signals of the pool: what the data say, what is given for rows of `train`, and what follows."""
    arrays: dict[str, np.ndarray] = {"lengths": data.train.lengths}
    if isinstance(data.train, TextTable):
        arrays["texts"] = np.asarray(data.train.texts, dtype=object)
    for name, values in given.items():
        array = np.asarray(values)
        if len(array) <= int(data.rows.max()):
            raise SelectionError(f"signals: '{name}' must have one row per example of `train`, got {len(array)}")
        arrays[name] = unit_rows(array[data.rows]) if name == "embeddings" else array[data.rows]
    return arrays | derive_signals(arrays, needs, data.train.labels)
