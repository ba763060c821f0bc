"""Which configuration of a sweep is best, by validation alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from raybert.config import sign_of
from raybert.durable import current_folder
from raybert.errors import SweepError
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.roles import TRIAL

REFIT_FILE = "refit.json"


def configuration_key(trial: Mapping[str, Any]) -> str:
    """Return what the trials of one configuration share, over seeds and folds: strategy, budget and grid values.

    A whole pool's size differs from fold to fold, and does not count. What a search has found needs no place here: it
    finds one configuration for each of these.

    Args:
        trial: its line of plan.json.
    """
    budget = None if trial["budget_kind"] == "none" or "selection.budget" in trial["grid"] else trial["budget"]
    return json.dumps([trial["strategy"], budget, sorted(trial["grid"].items())], sort_keys=True)


def read_best_id(folder: SweepFolder) -> str:
    """Return the id of the trial, or refit, whose model is in `best/`.

    Raises:
        SweepError: there is none, or the file that says it is damaged.
    """
    path = current_folder(folder.path / "best") / "trial_id"
    name = folder.path.name
    try:
        trial_id = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise SweepError(
            f"{folder.path}: has no best model yet; finish the sweep, or give one of its trials ({name}/trials/<id>)"
        ) from None
    if not re.fullmatch(r"[\w-]+", trial_id):
        raise SweepError(f"{path}: must hold the id of a trial, but is damaged; `raybert report {name}` writes it anew")
    return trial_id


class Ranking:
    """The finished trials of a comparison, those of the best configuration first.

    The best configuration has the best mean, over seeds and folds, of the validation metric at each trial's best
    evaluation. Only configurations with as many finished trials as any other count, others rank behind them: the mean
    of one lucky seed is no match for that of three.

    Args:
        trials: lines of plan.json; proxies, parts and refits are left out.
        metric: its name.
    """

    def __init__(self, trials: Iterable[Mapping[str, Any]], metric: str) -> None:
        self._keys = {trial["trial_id"]: configuration_key(trial) for trial in trials if trial["role"] == TRIAL}
        self._sign = sign_of(metric)
        # The order of the plan decides between equals.
        self._places = {trial_id: place for place, trial_id in enumerate(self._keys)}
        self._values: dict[str, dict[str, float]] = {key: {} for key in self._keys.values()}

    def add(self, trial_id: str, value: float) -> None:
        """Learn the metric of a finished trial; NaN: undefined there, as if it had not finished."""
        if trial_id in self._keys and not math.isnan(value):
            self._values[self._keys[trial_id]][trial_id] = self._sign * value

    def best(self) -> list[str]:
        """Return the ids of the best configuration's trials, best first; empty: nothing has a value."""
        return next(iter(self._ranked()), [])

    def trials(self) -> list[str]:
        """Return the ids of all trials that have a value, best first."""
        return [trial_id for group in self._ranked() for trial_id in group]

    def _ranked(self) -> list[list[str]]:
        groups = [group for group in self._values.values() if group]
        most = max(map(len, groups), default=0)
        groups.sort(key=lambda group: (len(group) < most, -fmean(group.values())))
        return [sorted(group, key=lambda trial_id: (-group[trial_id], self._places[trial_id])) for group in groups]


def best_trials(trials: Iterable[Mapping[str, Any]], values: Mapping[str, float], metric: str) -> list[str]:
    """Return the ids of the best configuration's finished trials, best first; empty: nothing has a value.

    Args:
        trials: lines of plan.json.
        values: of the metric, by id, of finished trials; NaN: undefined.
        metric: its name.
    """
    ranking = Ranking(trials, metric)
    for trial_id, value in values.items():
        ranking.add(trial_id, value)
    return ranking.best()


def read_refit(folder: SweepFolder) -> dict[str, Any] | None:
    """Return what `refit.json` says of the best configuration's refit, if that run is complete."""
    found = read_json(folder.path / REFIT_FILE)
    if found is None or folder.trial(str(found.get("trial_id"))).status() != "complete":
        return None
    return found
