"""Cost beside quality in a few lines: the Pareto front, what it takes to come near `all`, what the sweep has taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from raybert.analysis.results.comparison import count_words
from raybert.analysis.results.estimates import spent_hours
from raybert.analysis.results.failed_runs import failures_counted
from raybert.analysis.results.left_out import unequal_passes
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.cost_to_reach import SHARES
from raybert.analysis.statistics.pareto import FRONT, front_of
from raybert.analysis.statistics.scales import Scale

_MOST_NAMES = 5
_MOST_FULL = 3
"""Models of a grid whose full training others are beside; of other grids it is the best one alone."""
_PASSES = "forward passes"


def cost_lines(sweep: Sweep, metric: str | None = None) -> list[str]:
    """Return what a reader should know of cost, a line each, from `PARETO`, `COST_TO_REACH` and the trials.

    Examples are counted in forward passes, of which training on one is worth three. Nothing is said of a front where
    there is nothing to compare, nor of full training where the sweep has none.

    Args:
        sweep: finished or not.
        metric: of the front, on test; default: that of the sweep, by which alone full training is looked at.
    """
    counted = failures_counted(sweep.summary(metric), with_names=False)
    alike = "".join(f" {_sentence(words)}" for words in unequal_passes(sweep))
    lines = [
        f"{line}{''.join(f' {_sentence(words)}' for words in counted)}{alike}" for line in _front(sweep.pareto(metric))
    ]
    if metric in (None, sweep.metric):
        beside = _by_full(sweep.cost_to_reach)[: _MOST_FULL if unequal_passes(sweep) else 1]
        lines += (_near_all(own, share) for own in beside for share in SHARES)
    return [line for line in (*lines, _hours(sweep)) if line]


def _front(table: pd.DataFrame) -> Iterator[str]:
    """Yield which configurations are on the front of all budgets, the cheapest first, and which of these surely."""
    if table[KEY].nunique() < 2:
        return
    scale, front = Scale(str(table["metric"].iloc[0])), front_of(table)
    parts = []
    for is_sure, head in ((True, ""), (False, "By the means only: ")):
        rows = front[(front["place"] == FRONT) == is_sure].to_dict("records")
        named = [f"{row[KEY]} {scale.value(row['mean'])} ({count_words(row['spent'])})" for row in rows[:_MOST_NAMES]]
        more = [f"{len(rows) - _MOST_NAMES} more in results/pareto"] if len(rows) > _MOST_NAMES else []
        parts += [head + "; ".join(named + more)] if rows else []
    if parts:
        yield f"Pareto front of test {scale.words} and {_PASSES} (training counts 3): {'. '.join(parts)}."


def _by_full(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return what stands beside each `all` of a grid, those first that reach most."""
    counted = table[table["strategy"] != "all"]
    if counted.empty:
        return []
    targets = table.groupby("full_configuration", sort=False)["target"].mean()
    order = targets.sort_values(ascending=Scale(str(table["metric"].iloc[0])).sign < 0, kind="stable").index
    beside: dict[frozenset[str], pd.DataFrame] = {}
    for full in order:
        own = table[table["full_configuration"] == full]
        beside.setdefault(frozenset(own.loc[own["strategy"] != "all", KEY]), own)  # the same beside each: the best one
    return list(beside.values())


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _near_all(table: pd.DataFrame, share: float) -> str:
    """Return what is the cheapest that gets to a share of `all`, in every run if there is such a one, and its cost."""
    at_share = table[table["share"] == share]
    if at_share.empty:
        return ""
    full = str(at_share["full_configuration"].iloc[0])
    at_share = at_share[at_share["strategy"] != "all"]
    others = at_share[at_share["cost"] == "examples"]
    if others.empty:
        return ""
    head = f"{100 * share:.0f} % of what {full} reaches on validation"
    whole = others[others["num_reached"] == others["num_pairs"]]
    if whole.empty and others["spent_median"].isna().all():
        return f"{head}: no other configuration gets there in more than half of its runs."
    by = "spent_median" if whole.empty else "spent"
    row = (others if whole.empty else whole).sort_values(by, kind="stable").to_dict("records")[0]
    name, pairs = row[KEY], row["num_pairs"]
    runs = f"all {pairs} runs" if pairs > 1 else "its one run"
    if whole.empty:
        head += f": no other configuration gets there in every run; {name} does in {row['num_reached']} of {pairs}"
    elif len(whole) > 1:
        head += f": {name} is the cheapest of {len(whole)} that get there in {runs}"
    else:
        head += f": {name} alone gets there in {runs}"
    seconds = at_share[(at_share["cost"] == "seconds") & (at_share[KEY] == name)]
    words = [f"{count_words(spent_of(row))} {_PASSES} ({share_words(row)} of what {full} takes)"]
    words += [f"{spent_of(found):.3g} s ({share_words(found)})" for found in seconds.to_dict("records")]
    saved = "" if _is_saving(row) else "; a saving is not shown"
    trivial = "; always saying the most frequent class gets there, too" if row["num_trivial"] else ""
    return f"{head}, with {'medians of ' if whole.empty else ''}{' and '.join(words)}{saved}{trivial}."


def share_words(row: Mapping[Any, Any]) -> str:
    """Return `94 % [75, 117]`: what a row of `COST_TO_REACH` has spent, as a share of what `all` takes to get there.

    Where not every run gets there it is the median, which has no interval; nothing where most do not.
    """
    name = "spent_fraction_of_all"
    share = row[name if is_whole(row) else f"{name}_median"]
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if pd.isna(share):
        return ""
    return f"{100 * share:.0f} %" + ("" if pd.isna(low) else f" [{100 * low:.0f}, {100 * high:.0f}]")


def is_whole(row: Mapping[Any, Any]) -> bool:
    """Tell whether every run of a row of `COST_TO_REACH` gets to its target, so that means are known."""
    return bool(row["num_reached"] == row["num_pairs"])


def spent_of(row: Mapping[Any, Any]) -> float:
    """Return what a row has spent: the mean where every run is there, else the median; NaN: most are not."""
    return float(row["spent" if is_whole(row) else "spent_median"])


def _is_saving(row: Mapping[Any, Any]) -> bool:
    """Tell whether the interval of a share of full training lies below all of it; few runs have none."""
    return is_whole(row) and bool(row["spent_fraction_of_all_high"] < 1)


def _hours(sweep: Sweep) -> str:
    """Return the hours of devices that all runs have taken."""
    spent = spent_hours(sweep)
    return "" if spent is None else f"All runs took {spent.hours:.2g} {spent.unit}, scoring of the pool apart."
