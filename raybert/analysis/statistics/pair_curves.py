"""Two configurations beside each other while they train: both, and their paired difference, at the same examples seen.

A pair of runs has the same seed and fold. Where their evaluations stand at other numbers of examples, values between
two evaluations of a run are on the straight line between them; before its first and after its last there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import difference_interval
from raybert.analysis.statistics.pair_differences import BASELINE_KEY
from raybert.analysis.statistics.paired import PAIR, means_of, moments_of, replicates_of
from raybert.analysis.statistics.scales import Scale
from raybert.config import is_metric
from raybert.tables import PAIRS

_AT = "examples_seen"
_SAME = 0.5
"""Places nearer than this many examples are one."""
_MOST_PLACES = 40
"""Of runs whose evaluations stand at different numbers of examples: more places are between the same evaluations."""


def pair_quantities(metric: str) -> tuple[str, ...]:
    """Return what is compared at every evaluation: the metric, losses and accuracies, examples of the pass."""
    names = (f"validation_{metric}", "validation_loss", "train_loss", "validation_accuracy", "train_accuracy")
    return (*dict.fromkeys(names), "samples")


def pair_curves(
    trials: pd.DataFrame, evaluations: pd.DataFrame, comparisons: pd.DataFrame, metric: str = "accuracy"
) -> pd.DataFrame:
    """Return a row per pair of configurations, quantity and place: `PAIRS`, those of test last.

    Args:
        trials: as in `Sweep.trials`; only complete ones count.
        evaluations: as in `Sweep.evaluations`.
        comparisons: rows of `COMPARISONS`: which pairs.
        metric: of the sweep.
    """
    complete = trials[(trials["status"] == "complete") & (trials["role"] == "trial")]
    names = [name for name in pair_quantities(metric) if name in evaluations]
    rows = evaluations[evaluations["trial_id"].isin(complete["trial_id"])].sort_values([KEY, *PAIR, _AT])
    runs = {key: own[[_AT, *names]].to_numpy(np.float64) for key, own in rows.groupby([KEY, *PAIR], sort=False)}
    found: list[dict[str, Any]] = []
    for pair in comparisons.to_dict("records"):
        found += [{**_about(pair), **row} for row in _along(pair, runs, names)]
        found.append({**_about(pair), **_on_test(pair)})
    return typed_frame(found, PAIRS)


def _about(pair: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: pair[name] for name in ("baseline", "strategy", BASELINE_KEY, KEY)}


def _on_test(pair: Mapping[Any, Any]) -> dict[str, Any]:
    names = ("num_replicates", "baseline_mean", "difference", "difference_std", "difference_low", "difference_high")
    row = {name: pair[name] for name in names}
    quantity = f"test_{pair['metric']}"
    return {**row, "strategy_mean": pair["mean"], "quantity": quantity, "is_interpolated": False}


def _along(pair: Mapping[Any, Any], runs: Mapping[Any, np.ndarray], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row per quantity and place of a pair of configurations.

    Args:
        pair: a row of the comparisons.
        runs: (configuration, seed, fold) -> (evaluations, 1 + names): examples seen, and each quantity.
        names: of the quantities.
    """
    common = [
        (run, runs[beside], seed, fold)
        for (key, seed, fold), run in runs.items()
        if key == pair[KEY] and (beside := (pair[BASELINE_KEY], seed, fold)) in runs
    ]
    places = _places([run[:, 0] for one, other, *_ in common for run in (one, other)])
    if not len(places):
        return
    units = {
        side: pd.concat(
            [
                _unit(_values_at(runs_of(one, other), places, names), names, seed, fold)
                for one, other, seed, fold in common
            ]
        ).assign(folds=pair["folds"])
        for side, runs_of in (("strategy", lambda one, _: one), ("baseline", lambda _, other: other))
    }
    index = pd.RangeIndex(len(places))
    means = {side: means_of(frame, list(names), index) for side, frame in units.items()}
    gaps = units["strategy"].copy()
    gaps[list(names)] -= units["baseline"][list(names)]
    moments = replicates_of(gaps, list(names))
    exact = [all(np.abs(run[:, 0] - place).min() < _SAME for both in common for run in both[:2]) for place in places]
    for name in names:
        mean, std, count, ratio = moments_of(moments, name)
        low, high = difference_interval(mean, std, count, ratio, largest=_largest(name))
        for at, place in enumerate(places):
            if count.iloc[at]:
                yield {
                    "quantity": name,
                    _AT: place,
                    "is_interpolated": not exact[at],
                    "num_replicates": int(count.iloc[at]),
                    **{
                        f"{side}_{part}": means[side][f"{name}_{part}"].iloc[at]
                        for side in means
                        for part in ("mean", "std", "low", "high")
                    },
                    "difference": mean.iloc[at],
                    "difference_std": std.iloc[at],
                    "difference_low": low[at],
                    "difference_high": high[at],
                }


def _places(seen: Sequence[np.ndarray]) -> np.ndarray:
    """Return where any run has an evaluation and all have begun and not ended, in examples seen, ascending."""
    if not seen:
        return np.zeros(0)
    first, last = max(each[0] for each in seen), min(each[-1] for each in seen)
    every = np.unique(np.concatenate(seen))
    inside = every[(every >= first) & (every <= last)]
    are_alike = all(len(each) == len(seen[0]) and np.abs(each - seen[0]).max() < _SAME for each in seen)
    apart = _SAME if are_alike else max(_SAME, (last - first) / _MOST_PLACES)
    kept: list[float] = []
    for place in inside:
        if not kept or place - kept[-1] >= apart:
            kept.append(float(place))
    return np.array(kept)


def _values_at(run: np.ndarray, places: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return (places, names) of a run; examples of the pass are those of the evaluation that comes next."""
    columns = []
    for number, name in enumerate(names, start=1):
        known = run[~np.isnan(run[:, number])]
        if not len(known):
            columns.append(np.full(len(places), np.nan))
        elif name == "samples":
            columns.append(known[np.minimum(np.searchsorted(known[:, 0], places), len(known) - 1), number])
        else:
            columns.append(np.interp(places, known[:, 0], known[:, number], left=np.nan, right=np.nan))
    return np.stack(columns, axis=1)


def _unit(values: np.ndarray, names: Sequence[str], seed: int, fold: int) -> pd.DataFrame:
    """Return the values of a run with what `replicates_of` goes by: a place is a configuration to it."""
    frame = pd.DataFrame(values, columns=list(names))
    frame[KEY], frame["seed"], frame["fold"] = range(len(values)), seed, fold
    return frame


def _largest(name: str) -> float:
    metric = name.partition("_")[2]
    return Scale(metric).largest_difference if is_metric(metric) else np.inf
