"""What a reader of a sweep's results should know, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from raybert.analysis.results.failed_runs import failure_sentences
from raybert.analysis.statistics.configurations import KEY, Configurations
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.overlap import same_choices, same_rankings
from raybert.analysis.statistics.verdicts import describe_folds

_TWO_CLASSES = (
    "two classes: with one proxy and one checkpoint loss, EL2N, AUM and self-confidence are one ranking; "
    "entropy, margin and least confidence another"
)
_MAX_NAMES = 6
_MAX_NOTES = 8
_TELLS = 0.1
"""From a half on, of an area under the curve: a score that tells less is not named."""
_SEVERAL = 5
"""Expected examples of a class from which on its absence is no accident (probability below 1 %)."""


def comparison_notes(trials: pd.DataFrame, summary: pd.DataFrame, comparisons: pd.DataFrame) -> tuple[str, ...]:
    """Say what is missing, and where nothing can be compared."""
    notes = []
    counts = trials["status"].value_counts()
    if counts.get("complete", 0) == 0:
        notes.append(f"none of {len(trials)} trials is complete: there is nothing to compare yet")
    for status, one, several in (
        ("failed", "failed; it is left out of all means", "failed; they are left out of all means"),
        ("pending", "has not finished", "have not finished"),
    ):
        if count := int(counts.get(status, 0)):
            notes.append(f"{count} of {len(trials)} trials {one if count == 1 else several}")
    failed = [sentence.removesuffix(".") for sentence in failure_sentences(summary, comparisons)]
    notes += _shortened(failed, "configurations have failed trials: `num_failed` in results/summary")
    trained = summary[(summary["num_complete"] > 0) & (summary["role"] != "proxy")]
    most = int(trained["num_replicates"].max()) if len(trained) else FEWEST
    if most < FEWEST:
        crossed = (trained["folds"] > 1).any()
        given = ("one fold" if most == 1 else "two folds") if crossed else ("one seed" if most == 1 else "two seeds")
        both = "" if most == 1 else "both values are shown, "
        remedy = "`data.folds`" if crossed else "`sweep.seeds`"
        notes.append(f"{given}: {both}no intervals and no verdicts; give {remedy} at least {FEWEST}")
    notes += describe_folds(trained)
    if len(trained) and comparisons.empty and not (trained["strategy"] == "random").any():
        notes.append("no finished `random` trial: no differences to it")
    return tuple(notes)


def collapse_notes(trials: pd.DataFrame) -> list[str]:
    """Name the configurations with trials that never predict a class: their mean is one of two kinds of runs."""
    compared = trials[(trials["status"] == "complete") & (trials["role"] != "part")]
    notes = []
    for name, rows in compared.groupby(KEY, sort=False):
        collapsed = rows[rows["num_never_predicted"].fillna(0) > 0]
        if len(collapsed):
            missing = sorted(set(collapsed["num_never_predicted"].astype(int)))
            classes = f"{missing[0]}" if len(missing) == 1 else f"{missing[0]} to {missing[-1]}"
            names = ("label", "labels") if _is_of_labels(rows) else ("class", "classes")
            noun = names[missing != [1]]
            seeds = _listed(map(str, sorted(set(collapsed["seed"]))), _MAX_NAMES)
            notes.append(
                f"collapse: {name}: {len(collapsed)} of {len(rows)} trials never predict {classes} {noun} "
                f"(seed {seeds})"
            )
    return _shortened(notes, "configurations have collapsed trials: `num_collapsed` in results/summary")


def weak_notes(trials: pd.DataFrame) -> list[str]:
    """Name the proxies that learned nothing to speak of: what they score is noise to whoever reads it."""
    complete = trials[(trials["status"] == "complete") & (trials["role"] != "trial")]
    weak = complete[complete["is_weak"].fillna(0) > 0]
    notes = []
    for name, rows in weak.groupby(KEY, sort=False):
        column, most = ("subset_accuracy", "set of labels") if _is_of_labels(rows) else ("accuracy", "class")
        share, accuracy = rows["majority_share"].mean(), rows[f"validation_{column}"].astype("float64").mean()
        number = int((complete[KEY] == name).sum())
        notes.append(
            f"weak proxy: {name}: {len(rows)} of {number} runs are hardly better on validation than always saying the "
            f"most frequent {most} ({100 * accuracy:.1f} % and {100 * share:.1f} %): the scores "
            "that strategies read of it are little more than noise"
        )
    return _shortened(notes, "weak proxies: `is_weak` in results/trials")


def _is_of_labels(rows: pd.DataFrame) -> bool:
    return "validation_subset_accuracy" in rows and bool(rows["validation_subset_accuracy"].notna().any())


def torn_notes(trial_ids: Sequence[str]) -> list[str]:
    """Say of which runs it is not known whether they collapsed, and that pictures do without what they predict."""
    if not trial_ids:
        return []
    return [
        f"predictions.parquet of {_listed(trial_ids, _MAX_NAMES)} cannot be read: whether every class is predicted is "
        "not known, and pictures of predictions leave it out; the same sweep command makes it anew"
    ]


def _shortened(notes: list[str], more: str) -> list[str]:
    hidden = len(notes) - _MAX_NOTES
    return notes if hidden <= 0 else [*notes[:_MAX_NOTES], f"{hidden} more {more}"]


def ranking_notes(agreement: pd.DataFrame, num_classes: int | None) -> list[str]:
    """Name the strategies that rank the whole pool alike, or in reverse."""
    groups = same_rankings(agreement)
    notes = []
    for group in groups:
        names = _listed([name if sign > 0 else f"{name} (reversed)" for name, sign in group.items()])
        notes.append(
            f"{names}: one ranking of the whole pool at every seed; "
            "what they choose differs only by direction, quota and filters"
        )
    return [*notes, _TWO_CLASSES] if groups and num_classes == 2 else notes


def choice_notes(agreement: pd.DataFrame) -> list[str]:
    """Name the strategies that choose the same examples."""
    return [f"{_listed(group)}: the same examples at every seed" for group in same_choices(agreement)]


def class_notes(shares: pd.DataFrame) -> list[str]:
    """Name the strategies that chose nothing, at any seed, of a class.

    Only where a random draw would hold several of it, or the budget is below the number of classes.
    """
    is_expected = shares["budget"] * shares["pool_share"] >= _SEVERAL
    is_small = shares["budget"] < shares["label"].nunique()
    missing = shares[(shares["num_examples"] == 0) & (is_expected | is_small)]
    return [
        f"{strategy} at {budget:,} examples: nothing of {len(rows)} of {shares['label'].nunique()} classes "
        f"({_listed(rows['label_name'], _MAX_NAMES)})"
        for (strategy, budget), rows in missing.groupby(["strategy", "budget"], sort=False)
    ]


def planted_notes(planted: pd.DataFrame) -> list[str]:
    """Say of each kind of planted noise who takes least and most of it, and whose scores tell it best."""
    notes = []
    chosen = planted[planted["kept_of_all"] < 1]
    for (budget, kind), rows in chosen.groupby(["budget", "kind"], sort=False):
        ordered = rows.sort_values("share", kind="stable").to_dict("records")
        shown = ordered if len(ordered) < 2 else [ordered[0], ordered[-1]]
        parts = [f"{row['share']:.1%} of what {row['strategy']} chose" for row in shown]
        words = f"planted {kind}, {budget:,} examples: {ordered[0]['pool_share']:.1%} of the pool, {', '.join(parts)}"
        telling = [row for row in ordered if abs(row["auc"] - 0.5) >= _TELLS]  # NaN: there are no scores
        if telling:
            best = max(telling, key=lambda row: abs(row["auc"] - 0.5))
            words += f"; the score that tells it best is that of {best['strategy']} (AUC {best['auc']:.2f})"
        notes.append(words)
    return notes


def refill_notes(trials: pd.DataFrame, configurations: Configurations) -> list[str]:
    """Say which strategies took examples back that their filters had dropped."""
    refilled = trials["refilled"].astype("float64")
    means = refilled.groupby([trials[KEY], trials["budget"]], sort=False).mean().reset_index()
    return [
        f"{configurations[row[KEY]].label} at {row['budget']:,} examples: {row['refilled']:,.0f} of them taken back "
        "from what its filters had dropped"
        for row in means.to_dict("records")
        if row["refilled"] >= 0.5
    ]


def conflict_notes(trials: pd.DataFrame, folder: Path) -> list[str]:
    """Say which strategies found near-duplicates with different labels, and where they are listed."""
    found: dict[str, tuple[int, str]] = {}
    for trial in trials.to_dict("records"):
        path = folder / "trials" / str(trial["trial_id"]) / "conflicts.csv"
        number = len(pd.read_csv(path)) if path.is_file() else 0
        if number > found.get(trial["strategy"], (0, ""))[0]:
            found[trial["strategy"]] = number, path.relative_to(folder).as_posix()
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


def foreign_database_note(url: str) -> str:
    """Say why there is no search in the results of a folder that names a database."""
    return (
        f"the search is in a database that this folder names ({url}) and that is not asked unless you trust it: "
        "`raybert report --trust` (Python: `trust=True`)"
    )
