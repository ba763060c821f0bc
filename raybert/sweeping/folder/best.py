"""Which configuration of a sweep is best, by validation alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from raybert.config import sign_of
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.roles import TRIAL

REFIT_FILE = "refit.json"


def configuration_key(trial: Mapping[str, Any]) -> str:
    """Return what the trials of one configuration share: strategy, budget and grid values.

    A whole pool's size differs from fold to fold, and does not count.

    Args:
        trial: its line of plan.json.
    """
    budget = None if trial["budget_kind"] == "none" or "selection.budget" in trial["grid"] else trial["budget"]
    return json.dumps([trial["strategy"], budget, sorted(trial["grid"].items())], sort_keys=True)


def best_trials(trials: Sequence[Mapping[str, Any]], values: Mapping[str, float], metric: str) -> list[str]:
    """Return the ids of the best configuration's finished trials, best first; empty: nothing has a value.

    The best configuration has the best mean, over seeds and folds, of the validation metric at each trial's best
    evaluation. Only configurations with as many finished trials as any other count: the mean of one lucky seed is no
    match for that of three.

    Args:
        trials: lines of plan.json; proxies and parts are left out.
        values: of the metric, by id, of finished trials; NaN: undefined.
        metric: its name.
    """
    sign = sign_of(metric)
    groups: dict[str, dict[str, float]] = {}
    for trial in trials:
        value = values.get(trial["trial_id"], math.nan)
        if trial["role"] == TRIAL and not math.isnan(value):
            groups.setdefault(configuration_key(trial), {})[trial["trial_id"]] = sign * value
    if not groups:
        return []
    most = max(map(len, groups.values()))
    whole = [group for group in groups.values() if len(group) == most]
    best = max(whole, key=lambda group: fmean(group.values()))
    return sorted(best, key=lambda trial_id: -best[trial_id])


def read_refit(folder: SweepFolder) -> dict[str, Any] | None:
    """Return what `refit.json` says of the best configuration's refit, if that run is complete."""
    found = read_json(folder.path / REFIT_FILE)
    if found is None or folder.trial(str(found.get("trial_id"))).status() != "complete":
        return None
    return found
