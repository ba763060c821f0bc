"""Optuna studies as the search of a sweep leaves them, with values that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from raybert.config import TuneConfig
from raybert.sweeping.search.storage import open_storage

RATE = "train.learning_rate"
_TUNE = TuneConfig.model_validate({"suggestions_per_strategy": 1, "space": {RATE: {"low": 1e-5, "high": 1e-2}}})
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
SPACE: Mapping[str, BaseDistribution] = {
    RATE: FloatDistribution(1e-5, 1e-2, log=True),
    "train.weight_decay": FloatDistribution(0.0, 0.3),
    "train.schedule": CategoricalDistribution(["linear", "cosine", "constant"]),
    "train.batch_size": IntDistribution(8, 64, log=True),
    "train.warmup_fraction": FloatDistribution(0.0, 0.5),
    "model.dropout": FloatDistribution(0.0, 0.5),
    "train.adam_beta2": FloatDistribution(0.9, 0.999),
}


def suggestion(
    params: Mapping[str, Any],
    values: Sequence[float] = (),
    state: str = "complete",
    *,
    space: Mapping[str, BaseDistribution] | None = None,
    examples_seen: int = 1000,
    seconds: float = 10.0,
    why: str = "",
) -> FrozenTrial:
    """Return a suggestion that has ended: its parameters, and the best value of every seed."""
    known = {
        "runs": [f"run{seed}" for seed in range(len(values))],
        "seeds": [1000 + seed for seed in range(len(values))],
        "values": list(values),
        "examples_seen": examples_seen,
        "seconds": seconds,
        "status": state,
        "why": why,
    }
    return create_trial(
        state=STATES[state],
        value=float(np.mean(values)) if values else None,
        params=dict(params),
        distributions={name: (space or SPACE)[name] for name in params},
        user_attrs=known,
    )


def write_arm(
    folder: Path,
    strategy: str,
    trials: Sequence[FrozenTrial],
    *,
    grid: Mapping[str, Any] | None = None,
    direction: str = "maximize",
    order: int = 0,
    storage: Any = None,
    metric: str = "accuracy",
) -> optuna.Study:
    """Write the study of one arm into a storage, or the `study.db` of a folder, as the search does."""
    folder.mkdir(parents=True, exist_ok=True)
    if storage is None:
        with open_storage(_TUNE, folder) as opened:
            return write_arm(
                folder, strategy, trials, grid=grid, direction=direction, order=order, storage=opened, metric=metric
            )
    name = " ".join([strategy, *(f"{key}={value}" for key, value in (grid or {}).items())])
    study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    for key, value in {"strategy": strategy, "grid": dict(grid or {}), "metric": metric, "order": order}.items():
        study.set_user_attr(key, value)
    study.add_trials(trials)
    return study


def write_sample_search(
    folder: Path,
    strategies: Sequence[str],
    *,
    num_suggestions: int = 20,
    num_parameters: int = 3,
    seeds: int = 2,
    conditional: bool = True,
    noise: float = 0.006,
    storage: Any = None,
) -> None:
    """Write a search that looks like a real one: ASHA prunes the worse half, a high rate diverges, rates differ a bit."""
    names = list(SPACE)[:num_parameters]
    for order, strategy in enumerate(strategies):
        generator = np.random.default_rng([3, *strategy.encode()])
        top, best_rate = 0.85 + generator.normal(0, 0.02), 10 ** generator.normal(-3.3, 0.2)
        trials: list[FrozenTrial] = []
        for number in range(num_suggestions):
            # The first ten are those of every arm.
            draws = np.random.default_rng([5, number]) if number < 10 else generator
            params = {name: _draw(SPACE[name], draws) for name in names}
            space = dict(SPACE)
            if conditional and params.get("train.schedule") == "linear" and num_parameters < len(SPACE):
                space["train.final_fraction"] = FloatDistribution(0.0, 0.5)
                params["train.final_fraction"] = _draw(space["train.final_fraction"], draws)
            if conditional and order % 2:
                space[f"strategies.{strategy}.temperature"] = FloatDistribution(0.1, 10.0, log=True)
                params[f"strategies.{strategy}.temperature"] = _draw(
                    space[f"strategies.{strategy}.temperature"], generator
                )
            if number > 10 and generator.random() < 0.8:
                params[RATE] = float(np.clip(best_rate * 10 ** generator.normal(0, 0.2), 1e-5, 1e-2))
            trials.append(_outcome(params, space, top, best_rate, seeds, noise, generator, trials))
        write_arm(folder, strategy, trials, order=order, storage=storage)


def _outcome(
    params: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    top: float,
    best_rate: float,
    seeds: int,
    noise: float,
    generator: np.random.Generator,
    before: Sequence[FrozenTrial],
) -> FrozenTrial:
    if params[RATE] > 8e-3:
        return suggestion(
            params, [], "failed", space=space, examples_seen=200, seconds=2.0, why="nan: loss is not finite"
        )
    value = top - 0.08 * np.log10(params[RATE] / best_rate) ** 2 - 0.1 * params.get("train.weight_decay", 0.0) ** 2
    value -= 0.3 if params[RATE] > 4e-3 else 0.0
    values = (value + generator.normal(0, noise, seeds)).tolist()
    complete = [trial.value for trial in before if trial.state == TrialState.COMPLETE]
    if len(complete) > 2 and np.mean(values) < np.median(complete):
        return suggestion(
            params, values[:1], "pruned", space=space, examples_seen=400, seconds=4.0, why="worse than half at 400"
        )
    return suggestion(params, values, space=space, examples_seen=3200 * seeds, seconds=30.0 * seeds)


def _draw(space: BaseDistribution, generator: np.random.Generator) -> Any:
    if isinstance(space, CategoricalDistribution):
        return space.choices[int(generator.integers(len(space.choices)))]
    assert isinstance(space, FloatDistribution | IntDistribution)
    low, high = (np.log([space.low, space.high])) if space.log else (space.low, space.high)
    value = float(generator.uniform(low, high))
    value = float(np.clip(np.exp(value), space.low, space.high)) if space.log else value
    return round(value) if isinstance(space, IntDistribution) else value
