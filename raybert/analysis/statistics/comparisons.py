"""Strategies compared in pairs: quality and cost of one beside those of its baseline, paired over (seed, fold).

Two runs of a pair have the same split, initial head and grid point; if both strategies have a budget, the same one. A
strategy that trains on the whole pool has none: it stands beside every budget of its partner. What is compared is
`sweep.compare`, or `default_pairs`.

A fraction (of the baseline's metric, examples or seconds) is taken inside a pair, too; its mean has a Student-t
interval on the logarithmic scale, as any amount without an upper end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import BUDGET_KEY, IDENTITY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.decision import (
    BY_EXAMPLES_FROM,
    EQUIVALENT,
    UNDECIDED,
    decide,
    further_evidence,
    more_seeds,
)
from raybert.analysis.statistics.intervals import LEVEL, NO_SPREAD, difference_interval, holm, mean_interval, paired_p
from raybert.analysis.statistics.margins import equivalence_p, ratios_of, within_margin
from raybert.analysis.statistics.on_examples import OnExamples
from raybert.analysis.statistics.pair_counts import count_pairs
from raybert.analysis.statistics.paired import PAIR, moments_of, replicates_of, units_of
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale
from raybert.config import DEFAULT_MARGIN
from raybert.sweeping.plan.beside import is_random_as, random_as
from raybert.tables import COMPARISONS, FRACTIONS

REDRAWN = "random_epoch"
"""The baseline of what draws anew before each pass: it sees as many different examples."""
Pairs = Sequence[tuple[str, str]]
"""(baseline, strategy), by their names in tables."""


def default_pairs(trials: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what is compared where the sweep file does not say.

    A strategy with a budget is compared with `random`, one without (or where there is no `random`) with `all`. What
    draws anew before each pass is compared with `random_epoch`, where the sweep has it: beside `random` it would get
    the credit of seeing more examples. What says by itself how many examples it takes (`budget: auto`) is compared with
    the draw of as many. A sweep of nothing but `random` and `all` compares these.

    Args:
        trials: a row per trial, as in `Sweep.trials`.
    """
    compared = trials[trials["role"] == "trial"].drop_duplicates("strategy")
    limited = dict(zip(compared["strategy"], has_budget(compared), strict=True))
    kinds = dict(zip(compared["strategy"], compared["budget_kind"], strict=True))
    pairs = []
    for name, is_limited in limited.items():
        if random_as(str(name)) in limited:  # of the same size, where that is the strategy's own
            pairs.append((random_as(str(name)), str(name)))
            continue
        redrawn = kinds[name] == "per_epoch" and name != REDRAWN and REDRAWN in limited
        baseline = REDRAWN if redrawn else "random" if is_limited and "random" in limited else "all"
        if baseline in limited and name not in ("random", "all") and not is_random_as(str(name)):
            pairs.append((baseline, str(name)))
    return pairs or ([("all", "random")] if {"all", "random"} <= limited.keys() else [])


def compare(
    trials: pd.DataFrame,
    grid_columns: Sequence[str] = (),
    metric: str = "accuracy",
    pairs: Pairs = (),
    on_examples: OnExamples | None = None,
    margin: float = DEFAULT_MARGIN,
) -> pd.DataFrame:
    """Return a row per configuration and baseline that it is compared with: `COMPARISONS`.

    The family of Holm's correction is all that the table compares with one strategy as the baseline, at all budgets;
    `random`, `random_epoch` and draws of as many as a strategy takes are one baseline in several forms.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        grid_columns: its columns that hold varied hyperparameters.
        metric: what is compared on test, a name of `METRICS`.
        pairs: what is compared; empty: `default_pairs`.
        on_examples: the metric on the test examples of trials; None: verdicts do without.
        margin: within which there is no difference, in units of the metric.
    """
    units, about, planned = _prepared(trials, grid_columns, metric)
    others = [column for column in grid_columns if column != BUDGET_KEY]
    named = list(pairs) or default_pairs(with_configurations(trials, grid_columns))
    return _table_of([*_matched(units, named, others)], about, planned, grid_columns, metric, on_examples, margin)


def compare_configurations(
    trials: pd.DataFrame,
    grid_columns: Sequence[str] = (),
    metric: str = "accuracy",
    pairs: Pairs = (),
    on_examples: OnExamples | None = None,
    margin: float = DEFAULT_MARGIN,
) -> pd.DataFrame:
    """Return the same rows for pairs of configurations, whatever their budgets and points of the grid.

    Args:
        trials: as of `compare`.
        grid_columns: likewise.
        metric: likewise.
        pairs: names of configurations, that of the baseline first; those without a common seed and fold have no row.
        on_examples: as of `compare`.
        margin: likewise.
    """
    units, about, planned = _prepared(trials, grid_columns, metric)
    of_each = dict(iter(units.groupby(KEY, sort=False)))
    found = [
        (str(about.loc[with_key, "strategy"]), with_key, key, both)
        for with_key, key in pairs
        if with_key in of_each and key in of_each and len(both := _side_by_side(of_each[key], of_each[with_key]))
    ]
    return _table_of(found, about, planned, grid_columns, metric, on_examples, margin)


_Matched = Sequence[tuple[str, str, str, pd.DataFrame]]
"""Baseline, its configuration, the other one, and their common (seed, fold) side by side."""


def _prepared(
    trials: pd.DataFrame, grid_columns: Sequence[str], metric: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return what is compared by (seed, fold), what is known of each configuration, and all planned trials."""
    trials = with_configurations(trials, grid_columns)
    trials = trials[trials["role"] == "trial"]
    complete = trials[trials["status"] == "complete"]
    about = complete.groupby(KEY, sort=False)[[*IDENTITY, *grid_columns]].first()
    about["folds"] = trials.groupby(KEY, sort=False)["fold"].nunique()
    return units_of(complete, about, _values(complete, metric)), about, trials


def _values(complete: pd.DataFrame, metric: str) -> list[str]:
    return [column for column in (f"test_{metric}", *FRACTIONS) if column in complete]


def _table_of(
    matched: _Matched,
    about: pd.DataFrame,
    planned: pd.DataFrame,
    grid_columns: Sequence[str],
    metric: str,
    on_examples: OnExamples | None,
    margin: float,
) -> pd.DataFrame:
    """Return a row per pair of configurations.

    Args:
        matched: the pairs.
        about: of each configuration, by its name.
        planned: all trials of the comparison.
        grid_columns: as of `compare`.
        metric: likewise.
        on_examples: likewise.
        margin: likewise.
    """
    complete = planned[planned["status"] == "complete"]
    name, values = f"test_{metric}", _values(complete, metric)
    if name not in values or not matched:
        return typed_frame([], COMPARISONS, grid_columns)
    rows = [
        dict[str, Any](baseline=baseline, baseline_configuration=with_key, **{KEY: key})
        | {column: about.loc[key, column] for column in ("strategy", "budget", "folds", *grid_columns)}
        for baseline, with_key, key, _ in matched
    ]
    table = pd.DataFrame(rows).join(_columns([frame for *_, frame in matched], values))
    table["metric"], table["margin"] = metric, margin
    table = table.join(count_pairs(planned, table))
    families = family_of(table["baseline"])
    table["holm_p"] = table.groupby(families, sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    table = table.join(_evidence([frame for *_, frame in matched], complete, name, on_examples))
    table["verdict"] = decide(table, families, Scale(metric).sign)
    table = _with_equivalence(table, families)
    sizes = table.groupby(families, sort=False)["p"].transform("count")
    undecided = (table["verdict"] == UNDECIDED) & (table["folds"] == 1) & (table["difference_std"] > NO_SPREAD)
    moments = zip(table["difference"], table["difference_std"], table["num_replicates"], sizes, strict=True)
    table["more_seeds"] = [more_seeds(*row) if open_ else np.nan for row, open_ in zip(moments, undecided, strict=True)]
    return typed_frame(table.to_dict("records"), COMPARISONS, grid_columns)


def _with_equivalence(table: pd.DataFrame, families: pd.Series[str]) -> pd.DataFrame:
    """Return comparisons with the tests of equivalence; what is shown to be none is "no difference"."""
    moments = table["difference"], table["difference_std"], table["num_replicates"]
    p = pd.Series(equivalence_p(*moments, table["margin"], ratios_of(table["folds"])), table.index)
    adjusted = p.groupby(families, sort=False).transform(lambda own: holm(own.to_numpy()))
    is_shown = (adjusted < 1 - LEVEL) & within_margin(table, both_sides=True)
    verdict = table["verdict"].mask((table["verdict"] == UNDECIDED) & is_shown, EQUIVALENT)
    return table.assign(equivalence_p=p, equivalence_holm_p=adjusted, verdict=verdict)


def family_of(baselines: pd.Series[str]) -> pd.Series[str]:
    """Return the family of Holm's correction that a comparison with a baseline belongs to."""
    is_random = (baselines == REDRAWN) | baselines.map(is_random_as)
    return baselines.where(~is_random, "random").rename("family")


def _evidence(
    frames: Sequence[pd.DataFrame], complete: pd.DataFrame, name: str, on_examples: OnExamples | None
) -> pd.DataFrame:
    """Return what is known of every pair of configurations beside the t-test, a row each."""
    runs = None
    if on_examples is not None and any(len(frame) >= BY_EXAMPLES_FROM for frame in frames):
        runs = complete.groupby([KEY, *PAIR])["trial_id"].agg(list).to_dict()
    rows = []
    for frame in frames:
        has_folds = bool((frame["folds"] > 1).any())
        own = (frame[name] - frame[f"{name}_baseline"]).groupby(frame["fold" if has_folds else "seed"]).mean().dropna()
        interval = None
        if runs is not None and on_examples is not None and len(own) >= BY_EXAMPLES_FROM:
            places = frame[[KEY, f"{KEY}_baseline", *PAIR]].itertuples(index=False, name=None)
            pairs = [(fold, runs[key, seed, fold], runs[beside, seed, fold]) for key, beside, seed, fold in places]
            interval = on_examples.interval(pairs)
        rows.append(further_evidence(own.to_numpy(), interval, has_folds=has_folds))
    return pd.DataFrame(rows)


def _matched(units: pd.DataFrame, pairs: Pairs, others: Sequence[str]) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Yield baseline, its configuration, the other one, and their common (seed, fold) side by side, each once."""
    seen = set()
    for _, at_point in grid_points(units, others):
        by_strategy = dict(iter(at_point.groupby("strategy", sort=False)))
        for baseline, strategy in pairs:
            if baseline not in by_strategy or strategy not in by_strategy:
                continue
            for key, own in by_strategy[strategy].groupby(KEY, sort=False):
                for with_key, beside in by_strategy[baseline].groupby(KEY, sort=False):
                    if (with_key, key) not in seen and _same_budget(own, beside):
                        seen.add((with_key, key))
                        both = _side_by_side(own, beside)
                        if len(both):
                            yield baseline, str(with_key), str(key), both


def _side_by_side(own: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    return own.merge(beside, on=[*PAIR], suffixes=("", "_baseline"))


def _same_budget(own: pd.DataFrame, beside: pd.DataFrame) -> bool:
    """Tell whether two configurations may choose as many examples, if both are limited at all."""
    limited = has_budget(own).iloc[0] and has_budget(beside).iloc[0]
    return not limited or own["budget"].iloc[0] == beside["budget"].iloc[0]


def _columns(frames: Sequence[pd.DataFrame], values: list[str]) -> pd.DataFrame:
    """Return means, difference and fractions of every pair of configurations, a row each."""
    name, *costs = values
    pairs = pd.concat([frame.assign(**{KEY: number}) for number, frame in enumerate(frames)], ignore_index=True)
    found: dict[str, Any] = {"mean": pairs[name], "baseline_mean": pairs[f"{name}_baseline"]}
    found["difference"] = pairs[name] - pairs[f"{name}_baseline"]
    found["metric_fraction"] = _fraction(pairs, name)
    found |= {f"{cost}_fraction": _fraction(pairs, cost) for cost in costs}
    columns = [*found]
    moments = replicates_of(pairs[[KEY, *PAIR, "folds"]].assign(**found), columns)
    table = pd.DataFrame({part: moments["mean"][part] for part in ("baseline_mean", "mean")})
    table["num_pairs"] = pairs.groupby(KEY, sort=False).size()
    mean, std, count, ratio = moments_of(moments, "difference")
    table["num_replicates"] = count
    largest = Scale(name.partition("_")[2]).largest_difference
    low, high = difference_interval(mean, std, count, ratio, largest=largest)
    table = table.assign(difference=mean, difference_std=std, difference_low=low, difference_high=high)
    table["p"] = paired_p(mean, std, count, ratio)
    for column in columns[3:]:
        mean, std, count, ratio = moments_of(moments, column)
        low, high = mean_interval(mean, std, count, ratio, lowest=0.0, highest=np.inf)
        table[column], table[f"{column}_std"] = mean, std
        table[f"{column}_low"], table[f"{column}_high"] = low, high
    return table


def _fraction(pairs: pd.DataFrame, name: str) -> pd.Series[float]:
    """Return the share of the baseline's value in each pair; all NaN where a pair of the same rows has none.

    Of a metric that can be zero or less (MCC) a share means nothing there.
    """
    beside = pairs[f"{name}_baseline"]
    is_known = ((beside > 0) & (pairs[name] >= 0)).groupby(pairs[KEY]).transform("all")
    return (pairs[name] / beside.where(beside > 0)).where(is_known)
