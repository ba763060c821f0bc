"""Any two strategies or configurations of a sweep beside each other: `Sweep.pair`, `raybert report --pair`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from raybert.analysis.results.compared import Compared
from raybert.analysis.statistics.comparisons import compare_configurations
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY, Configuration, Configurations, has_budget
from raybert.analysis.statistics.pair_curves import pair_curves
from raybert.analysis.statistics.pair_differences import BASELINE_KEY
from raybert.analysis.statistics.paired import PAIR
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.verdicts import pair_sentences
from raybert.errors import SweepError

_AMOUNT = re.compile(r"(?P<share>\d+(\.\d+)?) ?%|(?P<count>\d[\d,]*)")
_MOST_NAMES = 12


@dataclass(frozen=True)
class Pair:
    """Two strategies or configurations, paired over (seed, fold).

    Attributes:
        baseline: what is asked for first: a strategy, or a configuration.
        strategy: the other one.
        comparisons: a row per pair of configurations, on test: `COMPARISONS`. Where the sweep compares the two, too,
            the rows of its own family; else Holm's correction is over these alone.
        curves: a row per pair of configurations, quantity and number of examples seen: `PAIRS`.
        notes: what is missing.
    """

    baseline: str
    strategy: str
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is to say of each row of `comparisons`; a baseline that is a configuration is called as one."""
        rows = self.comparisons
        if self.baseline != rows["baseline"].iloc[0]:
            rows = rows.assign(baseline=rows[BASELINE_KEY])
        return tuple(pair_sentences(rows))


@dataclass(frozen=True)
class _Side:
    """What a label stands for: configurations, all of one strategy; with a budget in the label those of that alone."""

    label: str
    names: tuple[str, ...]
    has_budget_in_label: bool


def make_pair(
    by: Compared, evaluations: pd.DataFrame, configurations: Configurations, baseline: str, strategy: str
) -> Pair:
    """Return two strategies or configurations of a sweep beside each other.

    Two configurations are compared as they are. Of strategies those are paired that stand at the same point of the
    grid, with the same budget where both have one (and their labels do not name two).

    Args:
        by: the statistics by the metric.
        evaluations: of the sweep.
        configurations: likewise.
        baseline: a strategy, a configuration (`el2n, budget 400`), or a strategy at a budget (`el2n@400`, `el2n@10%`).
        strategy: another one.

    Raises:
        SweepError: nothing is called so, the two are the same, or they have no finished trials to pair.
    """
    trials = by.trials[by.trials["role"] == "trial"]
    sides = [_find(label, trials, configurations) for label in (baseline, strategy)]
    first, second = sides
    if set(first.names) & set(second.names):
        raise SweepError(f"pair: must be two that have no configuration in common, got {baseline!r} and {strategy!r}")
    planned = trials[trials[KEY].isin({*first.names, *second.names})]
    pairs = list(_paired(first, second, planned, by.grid_columns))
    if not pairs:
        raise SweepError(
            f"pair: {first.label} and {second.label} have neither a budget nor a point of the grid in common: "
            f"{_budgets(first, trials)}; {_budgets(second, trials)}"
        )
    rows = _known_rows(by.comparisons, pairs)
    if rows is None:
        rows = compare_configurations(by.trials, by.grid_columns, by.metric, pairs, by.on_examples, by.margin)
    if rows.empty:
        counts = " and ".join(f"{_num_complete(side, trials)} of {side.label}" for side in sides)
        raise SweepError(f"pair: no finished trials of both have the same seed and fold yet: {counts} are complete")
    curves = pair_curves(trials, evaluations, rows, by.metric)
    return Pair(first.label, second.label, rows, curves, tuple(_notes(pairs, rows, planned)))


def _find(label: str, trials: pd.DataFrame, configurations: Configurations) -> _Side:
    """Return what a label stands for.

    Raises:
        SweepError: nothing is called so.
    """
    known = {str(name): configurations[str(name)] for name in trials[KEY].unique()}
    called = _called(label, known)
    if called or label in known:
        return _Side(label, called or (label,), not called)
    head, _, amount = label.rpartition("@")
    candidates = _called(head, known) if _AMOUNT.fullmatch(amount.strip()) else ()
    if candidates:
        at = tuple(name for name in candidates if _is_at(amount.strip(), trials[trials[KEY] == name]))
        if at:
            return _Side(at[0] if len(at) == 1 else label, at, True)
        raise SweepError(f"pair: {_budgets(_Side(head, candidates, False), trials)}, got {label!r}")
    raise SweepError(_unknown(label, known))


def _called(label: str, known: Mapping[str, Configuration]) -> tuple[str, ...]:
    """Return the configurations of a strategy, or of one at a point of the grid."""
    return tuple(name for name, one in known.items() if label in (one.strategy, one.label))


def _is_at(amount: str, trials: pd.DataFrame) -> bool:
    """Tell whether a configuration has a budget: a number of examples, or a share of the pool."""
    if not has_budget(trials).iloc[0]:
        return False
    found = _AMOUNT.fullmatch(amount)
    budget, pool = float(trials["budget"].iloc[0]), float(trials["pool_size"].iloc[0])
    if found is None:
        return False
    if found["share"] is not None:
        return abs(budget - float(found["share"]) / 100 * pool) < 1
    return budget == float(found["count"].replace(",", ""))


def _unknown(label: str, known: Mapping[str, Configuration]) -> str:
    """Return the line on a label that nothing has, with those that are most like it."""
    strategies = [*dict.fromkeys(one.strategy for one in known.values())]
    names = [*dict.fromkeys([*strategies, *known])]
    near = difflib.get_close_matches(label, names, n=3, cutoff=0.5)
    if not near:
        near = [name for name in names if label.casefold() in name.casefold()][:3]
    if near:
        return f"pair: no strategy or configuration is called {label!r}; did you mean {_listed(near, ' or ')}?"
    more = f" and {len(strategies) - _MOST_NAMES} more" if len(strategies) > _MOST_NAMES else ""
    return (
        f"pair: must be a strategy or configuration of the sweep: {', '.join(strategies[:_MOST_NAMES])}{more}; "
        f"got {label!r}"
    )


def _listed(names: Sequence[str], last: str) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}{last}{quoted[-1]}"


def _budgets(side: _Side, trials: pd.DataFrame) -> str:
    """Return which budgets what a label stands for has, in examples and as shares of the pool."""
    own = trials[trials[KEY].isin(side.names)]
    limited = own[has_budget(own)].drop_duplicates("budget").sort_values("budget")
    if limited.empty:
        return f"{side.label} has no budget"
    words = [
        f"{int(budget):,} ({100 * budget / pool:.3g} %)"
        for budget, pool in zip(limited["budget"], limited["pool_size"], strict=True)
    ]
    return f"{side.label} has the budget{'s' if len(words) > 1 else ''} {', '.join(words)}"


def _paired(
    first: _Side, second: _Side, planned: pd.DataFrame, grid_columns: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the configurations that stand beside each other, that of the baseline first."""
    if len(first.names) == len(second.names) == 1:
        yield first.names[0], second.names[0]
        return
    any_budget = first.has_budget_in_label and second.has_budget_in_label
    seen = set()
    for _, rows in grid_points(planned, [column for column in grid_columns if column != BUDGET_KEY]):
        about = rows.drop_duplicates(KEY)
        limits = about["budget"].where(has_budget(about))
        budgets = {str(name): float(limit) for name, limit in zip(about[KEY], limits, strict=True)}
        for key in (name for name in second.names if name in budgets):
            for with_key in (name for name in first.names if name in budgets):
                both = {budgets[key], budgets[with_key]}
                is_free = any_budget or any(math.isnan(budget) for budget in both)
                if (is_free or len(both) == 1) and (with_key, key) not in seen:
                    seen.add((with_key, key))
                    yield with_key, key


def _known_rows(comparisons: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame | None:
    """Return the rows of the sweep's own comparisons, where it compares these pairs, too."""
    wanted = set(pairs)
    keys = list(zip(comparisons[BASELINE_KEY], comparisons[KEY], strict=True))
    rows = comparisons[[key in wanted for key in keys]]
    return rows.reset_index(drop=True) if len(rows) else None


def _num_complete(side: _Side, trials: pd.DataFrame) -> str:
    own = trials[trials[KEY].isin(side.names)]
    return f"{int((own['status'] == 'complete').sum())} of {len(own)} trials"


def _notes(pairs: Sequence[tuple[str, str]], rows: pd.DataFrame, planned: pd.DataFrame) -> Iterator[str]:
    """Yield what is not finished."""
    places = {str(key): set(own[[*PAIR]].itertuples(index=False)) for key, own in planned.groupby(KEY)}
    expected = sum(len(places[with_key] & places[key]) for with_key, key in pairs)
    there = int(rows["num_pairs"].sum())
    if there < expected:
        yield f"{there} of {expected} pairs of trials: the others have failed or not finished"
