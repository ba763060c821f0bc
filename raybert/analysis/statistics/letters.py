"""Compact letters: which configurations of a budget differ, of all pairs, in a few letters behind each.

All that stand at one point of the grid with one budget are tested in pairs, those without a budget with them: paired
t-tests inside (seed, fold), over folds corrected as everywhere, with Holm's correction over all pairs of the group. Two
share a letter if and only if no difference between them is shown; `a` has the best mean.

A run that failed counts where `failed_runs.score_failures` has given it a value: what crashes is not as good as what
does not. Letters hold only for the pairs of their group, by t-tests alone: verdicts on a baseline are in `comparisons`,
a smaller family with further tests.

Source: Piepho 2004, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons" (insert and absorb).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import BUDGET_KEY, IDENTITY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.intervals import FEWEST, LEVEL, holm, paired_p
from raybert.analysis.statistics.paired import PAIR, units_of
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.scales import Scale
from raybert.tables import LETTERS

_SIGNS = ascii_lowercase + ascii_uppercase


def letters_table(trials: pd.DataFrame, grid_columns: Sequence[str] = (), metric: str = "accuracy") -> pd.DataFrame:
    """Return a row per group and configuration of three replicates or more: `LETTERS`, the best mean first.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        grid_columns: its columns that hold varied hyperparameters.
        metric: what is compared on test, a name of `METRICS`.
    """
    name = f"test_{metric}"
    trials = with_configurations(trials, grid_columns)
    trials = trials[trials["role"] == "trial"]
    complete = trials[trials["status"] == "complete"]
    if name not in complete:
        return typed_frame([], LETTERS, grid_columns)
    about = complete.groupby(KEY, sort=False)[[*IDENTITY, *grid_columns]].first()
    about["folds"] = trials.groupby(KEY, sort=False)["fold"].nunique()
    units = units_of(complete, about, [name])
    others = [column for column in grid_columns if column != BUDGET_KEY]
    rows: list[dict[Any, Any]] = []
    seen: set[frozenset[str]] = set()
    for _, at_point in grid_points(units, others):
        for budget, group in _by_budget(at_point):
            found = _letters_of(group, name, Scale(metric).sign)
            if found and frozenset(row[KEY] for row in found) not in seen:
                seen.add(frozenset(row[KEY] for row in found))
                rows += [
                    {"group_budget": budget, "metric": metric}
                    | {column: about.loc[row[KEY], column] for column in ("strategy", "budget", *grid_columns)}
                    | row
                    for row in found
                ]
    return typed_frame(rows, LETTERS, grid_columns)


def shown_letters(table: pd.DataFrame) -> dict[str, str]:
    """Return the letters of each configuration that is in one group only, to be shown beside it.

    Nothing where no pair differs anywhere, or no group has more than two: their verdict says it all.

    Args:
        table: `LETTERS`.
    """
    if not table["num_different"].any() or table["num_others"].max() < 2:
        return {}
    alone = table[~table[KEY].duplicated(keep=False)]
    return dict(zip(map(str, alone[KEY]), map(str, alone["letters"]), strict=True))


def compact_letters(names: Sequence[str], different: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return letters such that two names share one if and only if they are not different.

    Args:
        names: the best first.
        different: pairs of names.
    """
    columns = [frozenset(names)]
    for one, other in different:
        split = [part for c in columns for part in ((c - {one}, c - {other}) if {one, other} <= c else (c,))]
        columns = _absorbed(split)
    place = {name: i for i, name in enumerate(names)}
    columns = sorted(_needed(columns), key=lambda column: sorted(place[name] for name in column))
    signs = [_sign(i) for i in range(len(columns))]
    return {
        name: "".join(sign for sign, column in zip(signs, columns, strict=True) if name in column) for name in names
    }


def _by_budget(units: pd.DataFrame) -> Iterator[tuple[int | None, pd.DataFrame]]:
    """Yield every budget with the units of it and of what has none; None: nothing has one."""
    limited = has_budget(units)
    budgets = sorted(set(units.loc[limited, "budget"].astype(int)))
    if not budgets:
        yield None, units
    for budget in budgets:
        yield budget, units[~limited | (units["budget"] == budget)]


def _letters_of(group: pd.DataFrame, name: str, sign: float) -> list[dict[Any, Any]]:
    by = "fold" if (group["folds"] > 1).any() else "seed"
    values = group.pivot_table(index=[*PAIR], columns=KEY, values=name, aggfunc="mean", observed=True, sort=False)
    replicates = values.groupby(level=by).mean()
    counts = replicates.count()
    means = (sign * replicates.mean())[counts >= FEWEST].sort_values(ascending=False, kind="stable")
    names = [str(key) for key in means.index]
    if len(names) < 2:
        return []
    pairs = list(combinations(names, 2))
    own, beside = (values[[pair[side] for pair in pairs]].to_numpy() for side in (0, 1))
    differences = pd.DataFrame(own - beside, index=values.index).groupby(level=by).mean()
    ratio = 1 / (int(group["folds"].max()) - 1) if by == "fold" else 0.0
    p = holm(paired_p(differences.mean(), differences.std(), differences.count(), ratio))
    different = [pair for pair, own in zip(pairs, p, strict=True) if own < 1 - LEVEL]
    letters = compact_letters(names, different)
    return [
        {
            KEY: key,
            "mean": float(replicates[key].mean()),
            "num_replicates": int(counts[key]),
            "num_others": len(names) - 1,
            "num_different": sum(key in pair for pair in different),
            "letters": letters[key],
        }
        for key in names
    ]


def _absorbed(columns: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Return columns without those that another one holds."""
    distinct = list(dict.fromkeys(columns))
    return [column for column in distinct if not any(column < other for other in distinct)]


def _needed(columns: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Return columns without those whose names and pairs others have, too: fewer letters say the same."""
    kept = list(columns)
    for column in sorted(columns, key=len):
        rest = [other for other in kept if other is not column]
        names = [(name,) for name in column]
        if all(any(set(part) <= other for other in rest) for part in (*names, *combinations(column, 2))):
            kept = rest
    return kept


def _sign(number: int) -> str:
    return _SIGNS[number] if number < len(_SIGNS) else f"{_SIGNS[number % len(_SIGNS)]}{number // len(_SIGNS) + 1}"
