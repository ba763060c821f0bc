"""Optuna's samplers by name, made anew for every suggestion: nothing of their state outlives the driver."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from raybert.config import TuneConfig


def make_sampler(tune: TuneConfig, number: int, *, has_conditions: bool) -> BaseSampler:
    """Return the sampler of one suggestion.

    It is seeded from the search's seed and the suggestion's number alone: a resumed search goes on as if it had never
    stopped, and the start-up points of all arms are the same.

    Args:
        tune: which sampler.
        number: of the suggestion in its study.
        has_conditions: whether some keys are not in every suggestion.
    """
    seed = int(np.random.SeedSequence([tune.seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if tune.sampler == "random":
            return RandomSampler(seed=seed)
        if tune.sampler == "qmc":
            return _NumberedQMC(tune.seed, number, RandomSampler(seed=seed))
        startup: dict[str, Any] = {"n_startup_trials": tune.startup_suggestions, "seed": seed}
        if tune.sampler == "cmaes":
            return CmaEsSampler(**startup, warn_independent_sampling=False)
        if tune.sampler == "gp":
            return GPSampler(**startup, warn_independent_sampling=False)
        return TPESampler(**startup, multivariate=True, group=has_conditions, constant_liar=True)


class _NumberedQMC(QMCSampler):
    """Takes the point of the sequence that has the suggestion's number.

    Optuna counts in the study's attributes as it draws: a suggestion that was torn by a kill would skip a point.
    """

    def __init__(self, seed: int, number: int, independent: BaseSampler) -> None:
        super().__init__(scramble=True, seed=seed, independent_sampler=independent, warn_independent_sampling=False)
        self._number = number

    def _find_sample_id(self, study: Any, search_space: Any) -> int:
        return self._number
