"""What it costs to reach the quality of full training: to 95 and 99 % of what `all` reaches on validation.

**The target** is a share of the best evaluation of `all` with the same seed, fold and grid point; of a metric of which
less is better it is that value divided by the share. A value of zero or less (MCC has some) has no share.

**The cost** of an evaluation is that of `equal_cost`: all that the run has spent until then, its signals as if it had
computed them alone. Between two evaluations metric and cost are taken to go in a straight line: a run reaches the
target where the line from the last evaluation below it to the first one at it crosses it. Runs evaluate at other times
than `all` does; counting whole steps between evaluations would favour those that evaluate often. Nothing is known from
before the first evaluation: a run that is there by then has its cost, which is an upper bound, and `num_at_first`
counts these.

**Not reached** is not dropped, nor is a run that failed, which reached nothing; one of `all` that failed sets no
target, and drops its pair. The median over runs counts such a run as dearer than any other, and is missing where it
falls among them; mean, interval and share of `all` are given only where every run has reached the target, since a mean
of those that have is one of the lucky ones.

Validation and not test: the test split is read for the chosen evaluation only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import BUDGET_KEY, IDENTITY, KEY, with_configurations
from raybert.analysis.statistics.equal_cost import spent_by_evaluation
from raybert.analysis.statistics.paired import PAIR, means_of
from raybert.analysis.statistics.points import grid_points
from raybert.config import sign_of
from raybert.tables import COST_TO_REACH

SHARES = (0.95, 0.99)
"""Of the full-data score."""
_COSTS = {"examples": "examples_spent", "seconds": "seconds_spent"}
_AMOUNTS = ["spent", "spent_fraction_of_all"]
_FULL = "all"
_FAILED = ""
"""In place of the id of a run that failed."""


def cost_to_reach_table(
    trials: pd.DataFrame, evaluations: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy"
) -> pd.DataFrame:
    """Return what every configuration has spent when it reaches a share of the full-data score: `COST_TO_REACH`.

    Empty where the sweep has no finished run of `all`.

    Args:
        trials: `Sweep.trials`; complete ones count, and failed ones as runs that never get there.
        evaluations: `Sweep.evaluations`.
        grid_columns: the varied hyperparameters.
        metric: on validation; where evaluations do not have it (a grid may vary `best_metric`) it is accuracy.
    """
    trials = with_configurations(trials, grid_columns)
    trials = trials[trials["role"] == "trial"]
    metric = metric if f"validation_{metric}" in evaluations else "accuracy"
    complete = trials[trials["status"] == "complete"]
    curves = _Curves.of(spent_by_evaluation(complete, evaluations), metric)
    first = complete.groupby(KEY, sort=False)[[*IDENTITY, *grid_columns]].first()
    about = {key: {str(name): value for name, value in row.items()} for key, row in first.to_dict("index").items()}
    folds = trials.groupby(KEY)["fold"].nunique().to_dict()
    others = [column for column in grid_columns if column != BUDGET_KEY]
    rows: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    failed = trials[(trials["status"] == "failed") & trials[KEY].isin(first.index)]
    ended = pd.concat([complete, failed])
    for key, full, pairs in _beside_all(ended, others, has_majority=metric == "accuracy"):
        for share, cost in product(SHARES, curves.costs):
            known = [(pair, target) for pair in pairs if (target := curves.target(pair, cost, share)) is not None]
            if known:
                rows.append({KEY: key, **about[key], "full_configuration": full, "share": share, "cost": cost})
                number = {KEY: len(rows) - 1, "folds": folds[key]}
                runs += [number | curves.reached(pair, cost, target) for pair, target in known]
    if not rows:
        return typed_frame([], COST_TO_REACH, grid_columns)
    table = pd.DataFrame(rows).join(_over_runs(pd.DataFrame(runs))).assign(metric=metric)
    return typed_frame(table.to_dict("records"), COST_TO_REACH, grid_columns)


@dataclass(frozen=True)
class _Pair:
    """A run and that of `all` beside it.

    Attributes:
        own: its trial id; empty: it failed.
        full: that of `all`.
        seed: of both.
        fold: of both.
        majority_share: the accuracy of always saying the most frequent class; NaN: not known.
    """

    own: str
    full: str
    seed: int
    fold: int
    majority_share: float


def _beside_all(
    ended: pd.DataFrame, others: Sequence[str], *, has_majority: bool
) -> Iterator[tuple[str, str, list[_Pair]]]:
    """Yield every configuration, that of `all` at its point of the grid, and their pairs of runs; each two once."""
    majority = ended["majority_share"] if has_majority and "majority_share" in ended else math.nan
    runs = ended[["trial_id", KEY, "strategy", *PAIR, *others]].assign(majority=majority)
    runs["trial_id"] = runs["trial_id"].mask(ended["status"] == "failed", _FAILED)
    seen = set()
    for _, at_point in grid_points(runs, others):
        for full, of_all in at_point[at_point["strategy"] == _FULL].groupby(KEY, sort=False):
            of_all = of_all[of_all["trial_id"] != _FAILED]
            beside = dict(zip(zip(of_all["seed"], of_all["fold"], strict=True), of_all["trial_id"], strict=True))
            for key, own in at_point.groupby(KEY, sort=False):
                if (key, full) not in seen:
                    seen.add((key, full))
                    found = own[["trial_id", *PAIR, "majority"]].itertuples(index=False, name=None)
                    pairs = [
                        _Pair(trial_id, beside[seed, fold], seed, fold, float(share))
                        for trial_id, seed, fold, share in found
                        if (seed, fold) in beside
                    ]
                    yield str(key), str(full), pairs


def cost_of_crossing(costs: np.ndarray, values: np.ndarray, target: float) -> tuple[float, bool]:
    """Return where a line through evaluations first reaches a target, and whether at the first evaluation already.

    Args:
        costs: (n,) what has been spent by each, ascending.
        values: (n,) the metric, more is better.
        target: of the metric.

    Returns:
        (inf, False) where no evaluation reaches it.
    """
    at = np.flatnonzero(values >= target)
    if not len(at):
        return math.inf, False
    first = int(at[0])
    if first == 0:
        return float(costs[0]), True
    part = (target - values[first - 1]) / (values[first] - values[first - 1])
    return float(costs[first - 1] + part * (costs[first] - costs[first - 1])), False


@dataclass(frozen=True)
class _Curves:
    """The evaluations of every run in order.

    Attributes:
        values: trial id -> (evaluations,) the metric, turned so that more is better.
        costs: what is counted -> trial id -> (evaluations,) what has been spent by then.
        sign: 1 where more of the metric is better, else -1.
    """

    values: dict[str, np.ndarray]
    costs: dict[str, dict[str, np.ndarray]]
    sign: float

    @classmethod
    def of(cls, spent: pd.DataFrame, metric: str) -> _Curves:
        """Return the curves of evaluations with what each had cost."""
        sign, name = sign_of(metric), f"validation_{metric}"
        known = spent.dropna(subset=[name])
        places = {str(own): rows for own, rows in known.groupby("trial_id", sort=False).indices.items()}
        values = sign * known[name].to_numpy(np.float64)
        costs: dict[str, dict[str, np.ndarray]] = {}
        for cost, column in _COSTS.items():
            if column in known:
                array = known[column].to_numpy(np.float64, na_value=np.nan)
                costs[cost] = {own: array[rows] for own, rows in places.items() if not np.isnan(array[rows]).any()}
        return cls({own: values[rows] for own, rows in places.items()}, costs, sign)

    def target(self, pair: _Pair, cost: str, share: float) -> float | None:
        """Return a share of the best evaluation of `all`, turned like the values; None: there is none.

        Args:
            pair: of runs.
            cost: what is counted, which must be known of both.
            share: of the best.
        """
        known = self.costs[cost]
        if pair.full not in known or (pair.own != _FAILED and pair.own not in known):
            return None
        best = self.sign * float(self.values[pair.full].max())
        if best <= 0:
            return None
        return best * share if self.sign > 0 else -best / share

    def reached(self, pair: _Pair, cost: str, target: float) -> dict[str, Any]:
        """Return what both runs of a pair have spent when they reach a target, infinite where they do not."""
        spent = self.costs[cost]
        own, is_at_first = math.inf, False
        if pair.own != _FAILED:
            own, is_at_first = cost_of_crossing(spent[pair.own], self.values[pair.own], target)
        full, _ = cost_of_crossing(spent[pair.full], self.values[pair.full], target)
        return {
            "seed": pair.seed,
            "fold": pair.fold,
            "target": self.sign * target,
            "spent": own,
            "spent_fraction_of_all": own / full,
            "is_there": math.isfinite(own),
            "is_at_first": is_at_first,
            "is_trivial": pair.majority_share >= target,
        }


def _over_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per question: how many runs have reached the target, and what that took."""
    groups = runs.groupby(KEY)
    table = groups[["is_there", "is_at_first", "is_trivial"]].sum().astype("int64")
    table.columns = pd.Index(["num_reached", "num_at_first", "num_trivial"])
    table["num_pairs"] = groups.size()
    distinct = groups[[*PAIR]].nunique()
    table["num_replicates"] = distinct["fold"].where(groups["folds"].first() > 1, distinct["seed"])
    medians = groups[_AMOUNTS].median().replace(np.inf, np.nan)
    is_whole = groups["is_there"].transform("all")
    whole = runs.assign(**{name: runs[name].where(is_whole) for name in _AMOUNTS})
    means = means_of(whole, ["target", *_AMOUNTS], table.index)
    means = means.rename(columns={f"{name}_mean": name for name in ("target", *_AMOUNTS)})
    return table.join(medians.add_suffix("_median")).join(means[[name for name in means if name in COST_TO_REACH]])
