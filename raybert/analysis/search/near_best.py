"""Does selection change the best hyperparameters? Which suggestions may be the best, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from raybert.analysis.search.noise import CONFIDENCE, Noise, subset_quantile
from raybert.analysis.search.tables import Parameter, complete_suggestions
from raybert.analysis.statistics.columns import typed_frame
from raybert.tables import NEAR_BEST
from raybert.tables.search import ARM_KEYS

UNKNOWN_NOISE_FRACTION = 0.01
"""Of the best value: what counts as near it where nothing says how large the noise is."""
_UNKNOWN = (
    "near the best: within 1 % of it; how much is chance is not known without several seeds of a suggestion "
    "(`sweep.tune.seeds_per_suggestion`) or of a finished comparison (`sweep.seeds`)"
)


def near_best_table(
    suggestions: pd.DataFrame, parameters: Mapping[str, Parameter], maximize: bool, noise: Noise | None
) -> pd.DataFrame:
    """Return per arm and parameter the values of all suggestions that may be the arm's best: `NEAR_BEST`.

    A search of 20 noisy trials finds *a* good configuration, and its best one is partly luck. A suggestion may be
    the best if it is worse than the best one by no more than `margin`: the set of those holds the truly best of the
    complete suggestions with 95 % probability, in all arms of the table together (Gupta 1965, see
    `noise.subset_quantile`; Bonferroni over arms). With noise that is borrowed from the comparison the probability is
    about 70 %. With unknown noise the margin is 1 % of the best value. In both cases nothing is claimed.

    Between `tried_below` and `low`, and `high` and `tried_above`, nothing was tried, so the optimum can lie anywhere
    there. With several parameters a range is a projection: a value outside may be good beside others than it was
    tried with.
    """
    complete = complete_suggestions(suggestions)
    groups = list(complete.groupby(list(ARM_KEYS), sort=False))
    rows = []
    for (arm, strategy), own in groups:
        loss = (own["value"].max() - own["value"]) if maximize else (own["value"] - own["value"].min())
        margin = _margin(own, noise, len(groups))
        near = own[loss <= margin]
        best = own.iloc[int(loss.to_numpy().argmin())]
        counts = {"num_near": len(near), "num_complete": len(own), "margin": margin}
        for name, parameter in parameters.items():
            if pd.notna(best[name]):
                where = _range(own[name], near[name].dropna(), parameter)
                rows.append({"arm": arm, "strategy": strategy, "parameter": name, "best": best[name]} | where | counts)
    return typed_frame(rows, NEAR_BEST)


def _margin(complete: pd.DataFrame, noise: Noise | None, num_arms: int) -> float:
    if noise is None:
        return float(UNKNOWN_NOISE_FRACTION * complete["value"].abs().max())
    num_seeds = max(1, int(complete["num_seeds"].max()))
    quantile = subset_quantile(len(complete) - 1, noise.degrees, 1 - (1 - CONFIDENCE) / num_arms)
    return quantile * noise.std * math.sqrt(2 / num_seeds)


def _range(tried: pd.Series[Any], near: pd.Series[Any], parameter: Parameter) -> dict[str, Any]:
    if parameter.low is None or parameter.high is None:
        found = set(near)
        return {"values": ", ".join(str(choice) for choice in parameter.choices if choice in found)}
    low, high = float(near.min()), float(near.max())
    below, above = tried[tried < low], tried[tried > high]
    return {
        "low": low,
        "high": high,
        "tried_below": float(below.max()) if len(below) else parameter.low,
        "tried_above": float(above.min()) if len(above) else parameter.high,
        "values": ", ".join(f"{value:.3g}" for value in sorted(near)),
    }


def describe_near_best(near: pd.DataFrame, grids: pd.DataFrame, noise: Noise | None) -> list[str]:
    """Return whether selection changes the best value of each parameter that several strategies have, in sentences.

    The ranges of `near_best_table` from tried_below to tried_above decide: where those of all strategies at a grid
    point have a value in common, that may be the best of all. Where the noise is unknown, or borrowed from the
    comparison because suggestions have one seed each, nothing is decided.

    Args:
        near: of `near_best_table`.
        grids: arm, strategy and the grid's keys of each arm; a key that makes no difference to an arm is empty.
        noise: as given to `near_best_table`.
    """
    known, sentences = noise is not None and noise.is_own, []
    for words, at_point in _grid_points(near.dropna(subset="low"), grids):
        alike = []
        for parameter, rows in at_point.groupby("parameter", sort=False):
            low, high = rows["tried_below"].max(), rows["tried_above"].min()
            if len(rows) > 1 and low < high:
                alike.append(f"{parameter} ({low:.2g} to {high:.2g})")
            elif len(rows) > 1:
                sentences.append(f"{parameter}{words}: {_describe_apart(rows, known)}")
        if alike:
            claim = "no evidence that selection changes the best value" if known else "one value may suit all"
            number = at_point[list(ARM_KEYS)].drop_duplicates().shape[0]
            sentences.append(
                f"{', '.join(alike)}{words}: {claim}; in brackets what is near the best of all {number} strategies"
            )
    if sentences and noise is None:
        sentences.append(_UNKNOWN)
    elif sentences and noise is not None:
        sentences.append(_describe_noise(noise))
    return sentences


def _describe_noise(noise: Noise) -> str:
    facts = f"one seed's noise is {noise.std:.2g}, from {noise.source}"
    if noise.is_own:
        return f"near the best: all that may be it, with {CONFIDENCE:.0%} confidence for all arms together; {facts}"
    return (
        f"near the best: it holds the truly best in about {noise.coverage:.0%} of searches, not {CONFIDENCE:.0%}, as "
        f"suggestions have one seed each; {facts}, which need not be theirs; raise `sweep.tune.seeds_per_suggestion`"
    )


def _grid_points(near: pd.DataFrame, grids: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every point of the grid in words, and the rows of the arms that stand there."""
    keys = [column for column in grids.columns if column not in ARM_KEYS]
    points = grids[keys].dropna().drop_duplicates().to_dict("records") if keys else [{}]
    for point in points:
        is_there = pd.Series(True, index=grids.index)
        for key in keys:
            is_there &= grids[key].isna() | (grids[key] == point[key])
        words = ", ".join(f"{key} {value}" for key, value in point.items())
        yield f" ({words})" if words else "", near.merge(grids.loc[is_there, list(ARM_KEYS)], on=list(ARM_KEYS))


def _describe_apart(rows: pd.DataFrame, is_known: bool) -> str:
    """Name the two ranges that lie furthest apart."""
    lowest = rows.sort_values("tried_above", kind="stable").iloc[0]
    highest = rows.sort_values("tried_below", kind="stable").iloc[-1]
    words = "selection changes the best value" if is_known else "the best values lie apart, which may be chance"
    return f"{words}; {_named(lowest)} is below {_named(highest)}"


def _named(row: pd.Series[Any]) -> str:
    return f"that of {row['strategy']} ({row['tried_below']:.2g} to {row['tried_above']:.2g})"
