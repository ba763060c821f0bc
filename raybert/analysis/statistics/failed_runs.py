"""Failed runs in a comparison: pairs that they drop, and what it says if each of them is scored as the majority class.

A run that failed has no value, so its (seed, fold) is left out of the comparison, of both strategies. That flatters a
strategy that crashes where training is hard. So there is a second line: every failed run, of either strategy, gets what
it would have had by always predicting the most frequent class of its pool. Nothing else is left out or made up: a run
that has not finished is no failure, and its pair waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from raybert.analysis.statistics.comparisons import Pairs, compare
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.on_examples import OnExamples
from raybert.analysis.statistics.pair_counts import count_pairs
from raybert.analysis.statistics.paired import means_of, units_of
from raybert.config import DEFAULT_MARGIN
from raybert.tables import WITH_FAILURES

_FROM = {
    "with_failures_baseline_mean": "baseline_mean",
    **{f"with_failures_{name}": name for name in ("mean", "difference", "holm_p", "verdict")},
    **{f"with_failures_difference_{end}": f"difference_{end}" for end in ("std", "low", "high")},
}
_PAIR = ["baseline_configuration", KEY]


def score_failures(trials: pd.DataFrame, values: Mapping[str, float], metric: str) -> pd.DataFrame:
    """Return trials as if those that failed were complete, with these values on test and nothing else.

    Args:
        trials: a row per trial, as in `Sweep.trials`.
        values: trial id -> the metric; of others nothing is known, and they stay failed.
        metric: a name of `METRICS`.
    """
    found = trials["trial_id"].map(dict(values)).astype("float64")
    is_scored = (trials["status"] == "failed") & (trials["role"] == "trial") & found.notna()
    name = f"test_{metric}"
    own = trials[name].astype("float64") if name in trials else pd.Series(float("nan"), index=trials.index)
    return trials.assign(**{"status": trials["status"].mask(is_scored, "complete"), name: own.mask(is_scored, found)})


def compare_with_failures(
    trials: pd.DataFrame,
    scored: pd.DataFrame,
    grid_columns: Sequence[str],
    metric: str,
    pairs: Pairs = (),
    on_examples: OnExamples | None = None,
    margin: float = DEFAULT_MARGIN,
) -> pd.DataFrame:
    """Return what `compare` does of trials whose failures are scored: the rows that a failed run has a part in.

    Nothing is compared with a baseline of which no run is complete: it would lose against anything. Their family of
    Holm's correction is that of all rows.

    Args:
        trials: as they are, with configurations.
        scored: the same from `score_failures`.
        grid_columns: as in `compare`.
        metric: likewise.
        pairs: likewise.
        on_examples: likewise, of scored runs, too.
        margin: likewise.
    """
    table = compare(scored, grid_columns, metric, pairs, on_examples, margin)
    before = count_pairs(trials[trials["role"] == "trial"], table)
    is_touched = (before["num_dropped_pairs"] > table["num_dropped_pairs"]) & ~_has_unknown(scored, table)
    finished = trials.loc[trials["status"] == "complete", KEY]
    is_touched &= table["baseline_configuration"].isin(finished)
    return table.assign(**before)[is_touched.to_numpy(bool)].reset_index(drop=True)


def add_with_failures(comparisons: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons with the columns of `WITH_FAILURES`, empty where no failed run has a part in a row.

    Args:
        comparisons: of `compare`.
        scored: of `compare_with_failures`.
    """
    own = scored[[*_PAIR, *_FROM.values()]].rename(columns={name: new for new, name in _FROM.items()})
    bare = comparisons.drop(columns=[*WITH_FAILURES])
    return bare.merge(own, on=_PAIR, how="left")[[*comparisons.columns]]


def means_with_failures(trials: pd.DataFrame, scored: pd.DataFrame, metric: str, index: pd.Index[Any]) -> pd.DataFrame:
    """Return mean, deviation and interval of the metric with failures scored, of configurations that have some.

    Args:
        trials: as they are.
        scored: the same from `score_failures`.
        metric: a name of `METRICS`.
        index: of the configurations.
    """
    name = f"test_{metric}"
    complete = scored[scored["status"] == "complete"]
    about = scored.groupby(KEY, sort=False)[["role"]].first()
    about["folds"] = scored.groupby(KEY, sort=False)["fold"].nunique()
    means = means_of(units_of(complete, about, [name]), [name], index)
    means.columns = pd.Index([f"with_failures_{end}" for end in ("mean", "std", "low", "high")])
    failed = _num_failed(trials, index)
    return means.where((failed > 0) & (_num_failed(scored, index) == 0), axis=0)


def _num_failed(trials: pd.DataFrame, index: pd.Index[Any]) -> pd.Series[Any]:
    failed = (trials["status"] == "failed") & (trials["role"] == "trial")
    return failed.groupby(trials[KEY], sort=False).sum().reindex(index).fillna(0)


def _has_unknown(scored: pd.DataFrame, table: pd.DataFrame) -> pd.Series[bool]:
    """Tell of which rows a failed run has no score: to score some of them only would flatter, too."""
    unknown = _num_failed(scored, pd.Index(scored[KEY].unique())) > 0
    return pd.Series(
        [bool(unknown.get(own, False) or unknown.get(beside, False)) for beside, own in table[_PAIR].to_numpy()],
        index=table.index,
        dtype=bool,
    )
