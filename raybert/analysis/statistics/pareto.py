"""The Pareto front: which configurations nothing that costs no more beats, and which of that is sure.

Every configuration stands beside the best of those that cost no more, by the means of the metric on test; of equally
good ones that is the cheapest. It is on the front if it is better than that one, or as good for the same cost: two that
agree in both are on the front together, and of two that cost the same the worse one is not.

Means of few seeds are no certainty, so the difference to that best one is given as a paired one, with its 95 % interval
(`difference_interval`). Only an interval without zero makes a place a sure one; otherwise it is one `by the means`. On
the front that reads: it is not shown that what it costs beyond the cheaper one buys anything. The intervals are not
corrected for how many there are, and the best of several is selected as the best: a front is a map of a sweep and no
claim, those are in `comparisons`.

Costs are means over the runs. Examples are the same on any machine; of seconds the order itself varies with its load.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import IDENTITY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.intervals import difference_interval
from raybert.analysis.statistics.paired import PAIR, moments_of, replicates_of, units_of
from raybert.analysis.statistics.scales import Scale
from raybert.tables import PARETO

FRONT, FRONT_BY_MEANS = "front", "front by the means"
BEHIND, BEHIND_BY_MEANS = "behind", "behind by the means"
OVERALL = "all budgets"
"""The front of everything, whatever it may choose."""
COSTS = {"examples": "total_examples", "seconds": "total_seconds"}
"""What is counted, and the column of trials that holds it."""
_SAME = 1e-12
"""Means that differ by less are equal: the same values, added up in another order."""


def pareto_table(trials: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy") -> pd.DataFrame:
    """Return where every configuration stands between the metric and its cost: `PARETO`, the cheapest first.

    There is a front of all budgets, and where there are several budgets one of each, in which what has no budget
    stands, too. Runs that only serve a score are left out, and what has no value of the metric or no cost.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        grid_columns: its columns that hold varied hyperparameters.
        metric: on test, a name of `METRICS`.
    """
    trials = with_configurations(trials, grid_columns)
    trials = trials[trials["role"] != "part"]
    complete = trials[trials["status"] == "complete"]
    name = f"test_{metric}"
    if name not in complete or complete[name].isna().all():
        return typed_frame([], PARETO, grid_columns)
    about = complete.groupby(KEY, sort=False)[[*IDENTITY, *grid_columns]].first()
    about["folds"] = trials.groupby(KEY, sort=False)["fold"].nunique()
    units = units_of(complete, about[["folds"]], [name])
    reached = replicates_of(units, [name])["mean"][name].dropna()
    costs = complete.groupby(KEY, sort=False)[[column for column in COSTS.values() if column in complete]].mean()
    table = pd.concat(
        [
            _ranked(reached[reached.index.isin(names)], costs[column], Scale(metric).sign).assign(
                front=front, cost=cost
            )
            for front, names in _fronts(about)
            for cost, column in COSTS.items()
            if column in costs
        ]
        or [pd.DataFrame(columns=[KEY])],
        ignore_index=True,
    )
    table = table.join(_differences(table, units, name)).join(about, on=KEY)
    table["place"] = _places(table, Scale(metric).sign)
    table["metric"] = metric
    return typed_frame(table.drop(columns=["is_on_front", "folds"]).to_dict("records"), PARETO, grid_columns)


def front_of(table: pd.DataFrame, cost: str = "examples", front: str = OVERALL) -> pd.DataFrame:
    """Return the rows of `pareto_table` that are on a front, sure or by the means, the cheapest first."""
    is_on = table["place"].isin((FRONT, FRONT_BY_MEANS))
    return table[is_on & (table["front"] == front) & (table["cost"] == cost)]


def _fronts(about: pd.DataFrame) -> Iterator[tuple[str, pd.Index[Any]]]:
    """Yield what a front is called, and its configurations: of all budgets, then of each where there are several."""
    yield OVERALL, about.index
    limited = has_budget(about)
    budgets = sorted(about.loc[limited, "budget"].unique())
    for budget in budgets if len(budgets) > 1 else ():
        yield f"budget {budget}", about.index[~limited | (about["budget"] == budget)]


def _ranked(reached: pd.Series[float], costs: pd.Series[float], sign: float) -> pd.DataFrame:
    """Return configurations, the cheapest first, beside the best of those that cost no more.

    Args:
        reached: the metric of those that are compared.
        costs: of all.
        sign: 1 where more of the metric is better, else -1.
    """
    spent = costs.reindex(reached.index).astype("float64").dropna().sort_values(kind="stable")
    mean = reached.loc[spent.index].to_numpy()
    gain, price = sign * mean, spent.to_numpy()
    beside, is_on_front = [], []
    for place, cost in enumerate(price):
        others = np.delete(np.arange(np.searchsorted(price, cost, side="right")), place)
        best = others[np.argmax(gain[others] > gain[others].max() - _SAME)] if len(others) else None
        beside.append("" if best is None else str(spent.index[best]))
        ahead = np.inf if best is None else gain[place] - gain[best]
        is_on_front.append(ahead >= _SAME or (ahead > -_SAME and price[best] == cost))
    columns = {KEY: spent.index, "spent": price, "mean": mean, "beside": beside, "is_on_front": is_on_front}
    return pd.DataFrame(columns)


def _differences(table: pd.DataFrame, units: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the paired difference of every row to what it stands beside: mean, interval, how many pairs."""
    values = units[[KEY, *PAIR, "folds", name]]
    rows = table[[KEY, "beside"]].rename(columns={KEY: "own"}).assign(**{KEY: range(len(table))})
    own = rows.merge(values.rename(columns={KEY: "own"}), on="own")
    others = values[[KEY, *PAIR, name]].rename(columns={KEY: "beside", name: "other"})
    pairs = own.merge(others, on=["beside", *PAIR])
    pairs["difference"] = pairs[name] - pairs["other"]
    mean, std, count, ratio = moments_of(replicates_of(pairs, ["difference"]), "difference")
    low, high = difference_interval(mean, std, count, ratio, largest=Scale(name.partition("_")[2]).largest_difference)
    found = pd.DataFrame({"difference": mean, "difference_std": std, "difference_low": low, "difference_high": high})
    found["num_pairs"] = pairs.groupby(KEY).size()
    found["num_replicates"] = count
    return found.reindex(table.index).fillna({"num_pairs": 0, "num_replicates": 0})


def _places(table: pd.DataFrame, sign: float) -> np.ndarray:
    """Return the words of every row: on the front or behind, and whether that is sure."""
    ends = sign * table[["difference_low", "difference_high"]]
    is_ahead, is_behind = (ends > 0).all(axis=1), (ends < 0).all(axis=1)
    is_cheapest = table["beside"] == ""
    on_front = table["is_on_front"].astype(bool)
    return np.select(
        [on_front & (is_ahead | is_cheapest), on_front, is_behind],
        [FRONT, FRONT_BY_MEANS, BEHIND],
        default=BEHIND_BY_MEANS,
    )
