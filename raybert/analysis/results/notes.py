"""What a reader of a sweep's results should know about what was selected, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.overlap import same_choices, same_rankings

_TWO_CLASSES = (
    "two classes: with one proxy and one checkpoint loss, EL2N, AUM and self-confidence are one ranking; "
    "entropy, margin and least confidence another"
)
_MAX_NAMES = 6
_SEVERAL = 5
"""Expected examples of a class from which on its absence is no accident (probability below 1 %)."""


def selection_notes(sweep: Sweep) -> list[str]:
    """Return what is the same by construction, what is missing from subsets, and what was refilled or contradictory."""
    return [
        *_same_rankings(sweep),
        *_same_choices(sweep),
        *_missing_classes(sweep),
        *_refilled(sweep),
        *_conflicts(sweep),
    ]


def _same_rankings(sweep: Sweep) -> list[str]:
    groups = same_rankings(sweep.agreement)
    notes = []
    for group in groups:
        names = _listed([name if sign > 0 else f"{name} (reversed)" for name, sign in group.items()])
        notes.append(
            f"{names}: one ranking of the whole pool at every seed; "
            "what they choose differs only by direction, quota and filters"
        )
    return [*notes, _TWO_CLASSES] if groups and sweep.num_classes == 2 else notes


def _same_choices(sweep: Sweep) -> list[str]:
    return [f"{_listed(group)}: the same examples at every seed" for group in same_choices(sweep.agreement)]


def _missing_classes(sweep: Sweep) -> list[str]:
    """Name the strategies that chose nothing, at any seed, of a class of which a random draw would hold several."""
    shares = sweep.class_shares
    missing = shares[(shares["num_examples"] == 0) & (shares["budget"] * shares["pool_share"] >= _SEVERAL)]
    return [
        f"{strategy} at {budget:,} examples: nothing of {len(rows)} of {shares['label'].nunique()} classes "
        f"({_listed(rows['label_name'], _MAX_NAMES)})"
        for (strategy, budget), rows in missing.groupby(["strategy", "budget"], sort=False)
    ]


def _refilled(sweep: Sweep) -> list[str]:
    trials = sweep.comparable_trials()
    refilled = trials["refilled"].astype("float64")
    means = refilled.groupby([trials["strategy"], trials["budget"]], sort=False).mean().reset_index()
    return [
        f"{row['strategy']} at {row['budget']:,} examples: {row['refilled']:,.0f} of them taken back from what its "
        "filters had dropped"
        for row in means.to_dict("records")
        if row["refilled"] >= 0.5
    ]


def _conflicts(sweep: Sweep) -> list[str]:
    """Say which strategies found near-duplicates with different labels, and where they are listed."""
    found: dict[str, tuple[int, str]] = {}
    for trial in sweep.comparable_trials().to_dict("records"):
        path = sweep.folder / "trials" / str(trial["trial_id"]) / "conflicts.csv"
        number = len(pd.read_csv(path)) if path.is_file() else 0
        if number > found.get(trial["strategy"], (0, ""))[0]:
            found[trial["strategy"]] = number, path.relative_to(sweep.folder).as_posix()
    return [
        f"{strategy}: {number:,} pairs of near-duplicates with different labels, listed in {path}"
        for strategy, (number, path) in found.items()
    ]


def _listed(names: Iterable[str], at_most: int = 1000) -> str:
    """Return `a, b and c`, or `a, b and 3 more`."""
    shown = [*names]
    if len(shown) > at_most:
        shown[at_most - 1 :] = [f"{len(shown) - at_most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
