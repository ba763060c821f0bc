"""Quality against budget in one number: the area under a strategy's curve over the budgets of a sweep.

The area is that under straight lines between the budgets, on a logarithmic axis, divided by the length of the axis: the
mean height of the curve, in the unit of the metric. The axis is logarithmic because budgets are chosen in multiples and
quality grows with their logarithm; on a plain one the step to the largest budget would decide nearly alone.

A seed (of a fold) counts where its runs at all budgets of the strategy are finished: a curve with a hole is another
one. Differences are paired, to the curve of the baseline over the same budgets with the same seeds, folds and grid
point. The p-values are a family of their own for Holm's correction: all curves with the same baseline.

Source: Guyon, Cawley, Dror and Lemaire 2011, "Results of the Active Learning Challenge", JMLR W&CP 16 (the area under
the learning curve over the logarithm of the number of labels; it is scaled there to the range from chance to perfect).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.comparisons import Pairs, default_pairs
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.intervals import difference_interval, holm, paired_p
from raybert.analysis.statistics.paired import PAIR, means_of, moments_of, replicates_of
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale
from raybert.tables import BUDGET_CURVE


def budget_curve_table(
    trials: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy", pairs: Pairs = ()
) -> pd.DataFrame:
    """Return the area under the curve of every strategy with several budgets, and its difference: `BUDGET_CURVE`.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        grid_columns: its columns that hold varied hyperparameters.
        metric: on test, a name of `METRICS`.
        pairs: what is compared; empty: `default_pairs`. Of several baselines of a strategy the first one counts.
    """
    trials = with_configurations(trials, grid_columns)
    compared = trials[(trials["role"] == "trial") & has_budget(trials)]
    others = [column for column in grid_columns if column != BUDGET_KEY]
    curves, name = _curves(compared, others), f"test_{metric}"
    if not curves or name not in trials:
        return typed_frame([], BUDGET_CURVE, others)
    units = _areas(curves, compared[compared["status"] == "complete"], name)
    table = pd.DataFrame([curve.described for curve in curves])
    means = means_of(units, [name], table.index)
    means.columns = pd.Index(["area", "area_std", "area_low", "area_high"])
    table = table.join(means)
    table["num_replicates"] = replicates_of(units, [name])["count"][name].reindex(table.index).fillna(0)
    beside = _baselines(curves, others, list(pairs) or default_pairs(trials))
    table["baseline"] = [curves[beside[number]].strategy if number in beside else "" for number in table.index]
    table = table.join(_differences(units, beside, name, table.index))
    table["holm_p"] = table.groupby("baseline", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    table["metric"] = metric
    return typed_frame(table.to_dict("records"), BUDGET_CURVE, others)


@dataclass(frozen=True)
class _Curve:
    """A strategy at a point of the grid, over its budgets.

    Attributes:
        described: its cells of the table.
        strategy: its name in tables.
        budgets: ascending.
        configurations: one for each budget.
    """

    described: dict[str, Any]
    strategy: str
    budgets: tuple[int, ...]
    configurations: tuple[str, ...]

    def areas(self, values: np.ndarray) -> np.ndarray:
        """Return (n,) areas of (budgets, n) values, NaN where one is missing."""
        x = np.log(self.budgets)
        return np.asarray(np.trapezoid(values, x, axis=0) / (x[-1] - x[0]))


def _curves(compared: pd.DataFrame, others: Sequence[str]) -> list[_Curve]:
    """Return the strategies with several budgets, planned ones included, in the order of the trials."""
    found = []
    for _, own in compared.groupby(["strategy", *others], sort=False, dropna=False):
        # A share of the pool is another number of examples in each fold.
        budgets = own.groupby(KEY, sort=False)["budget"].mean().round().sort_values(kind="stable")
        if budgets.nunique() > 1:
            known = tuple(int(budget) for budget in budgets)
            first = {str(name): value for name, value in own.iloc[0].items()}
            described = {name: first[name] for name in ("strategy", "budget_kind", *others)}
            described |= {"budgets": list(known), "folds": own["fold"].nunique()}
            found.append(_Curve(described, str(first["strategy"]), known, tuple(map(str, budgets.index))))
    return found


def _areas(curves: Sequence[_Curve], complete: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a row per curve (`KEY`: its number) and (seed, fold) that is finished at all of its budgets."""
    values = complete.groupby([KEY, *PAIR])[name].mean().astype("float64").unstack([*PAIR])
    parts = []
    for number, curve in enumerate(curves):
        own = values.reindex(list(curve.configurations))
        part = own.columns.to_frame(index=False).assign(**{name: curve.areas(own.to_numpy())}).dropna(subset=[name])
        parts.append(part.assign(**{KEY: number, "folds": curve.described["folds"]}))
    return pd.concat(parts, ignore_index=True)


def _baselines(curves: Sequence[_Curve], others: Sequence[str], pairs: Pairs) -> dict[int, int]:
    """Return the number of the curve that each is compared with: over the same budgets, at its point of the grid."""
    rows = pd.DataFrame([curve.described for curve in curves])[["strategy", *others]]
    found: dict[int, int] = {}
    for _, at_point in grid_points(rows, others):
        numbers = dict(zip(map(str, at_point["strategy"]), at_point.index.tolist(), strict=True))
        for baseline, strategy in pairs:
            own, beside = numbers.get(strategy), numbers.get(baseline)
            if own is not None and beside is not None and curves[own].budgets == curves[beside].budgets:
                found.setdefault(own, beside)
    return found


def _differences(units: pd.DataFrame, beside: dict[int, int], name: str, index: pd.Index[Any]) -> pd.DataFrame:
    """Return the paired difference of every curve to its baseline: mean, std, interval, p-value, how many pairs."""
    others = units[[KEY, *PAIR, name]].rename(columns={KEY: "beside", name: "other"})
    pairs = units.assign(beside=units[KEY].map(beside)).dropna(subset=["beside"]).merge(others, on=["beside", *PAIR])
    pairs["difference"] = pairs[name] - pairs["other"]
    mean, std, count, ratio = moments_of(replicates_of(pairs, ["difference"]), "difference")
    low, high = difference_interval(mean, std, count, ratio, largest=Scale(name.partition("_")[2]).largest_difference)
    found = pd.DataFrame({"difference": mean, "difference_std": std, "difference_low": low, "difference_high": high})
    found["p"] = paired_p(mean, std, count, ratio)
    found["num_pairs"] = pairs.groupby(KEY).size()
    return found.reindex(index).fillna({"num_pairs": 0})
