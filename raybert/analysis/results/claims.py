"""What the results of a sweep allow to claim, in sentences: the verdict, a finding each, and what they hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.as_good_claims import as_good_sentences, as_good_words
from raybert.analysis.results.comparison import usual_baseline
from raybert.analysis.results.listed import listed
from raybert.analysis.statistics.configurations import KEY, has_budget
from raybert.analysis.statistics.decision import (
    BETTER,
    BY_EXAMPLES_FROM,
    EQUIVALENT,
    MOST_MORE_SEEDS,
    NOT_SETTLED,
    WORSE,
)
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import difference_words, method_sentences, pair_sentences, pairs_words


@dataclass(frozen=True)
class Claims:
    """What may be said of a sweep.

    Attributes:
        headline: the verdict, in at most two sentences.
        sentences: a finding each, with the method last.
        scope: what they hold for, and nothing else: data set, pool, budgets, encoder, steps, seeds and test set.
    """

    headline: str
    sentences: tuple[str, ...]
    scope: str

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, self.scope])


def make_claims(summary: pd.DataFrame, comparisons: pd.DataFrame, as_good: pd.DataFrame, scope: str) -> Claims:
    """Return what three tables of a sweep allow to claim.

    Args:
        summary: of the sweep.
        comparisons: all that it compares.
        as_good: `AS_GOOD_AS_ALL`.
        scope: of `scope_words`.
    """
    said = zip(pair_sentences(comparisons), comparisons["more_seeds"], strict=True)
    findings = [f"{sentence}{_more_words(more)}." for sentence, more in said]
    sentences = (*findings, *method_sentences(comparisons), *as_good_sentences(as_good))
    return Claims(_headline(summary, comparisons, as_good_words(as_good)), sentences, scope)


def scope_words(trials: pd.DataFrame, plan: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> str:
    """Return what the claims of a sweep are about: nothing is known of other data, encoders, budgets or lengths.

    Args:
        trials: `Sweep.trials`.
        plan: the trials of `plan.json`.
        manifest: `manifest.json`, or empty.
    """
    complete = trials[(trials["role"] == "trial") & (trials["status"] == "complete")]
    described = manifest.get("data")
    data = list(described.values()) if isinstance(described, dict) else []
    seeds = sorted(map(int, set(complete["seed"])))
    folds = int(complete["fold"].nunique())
    limited = complete[has_budget(complete)]
    own = set(complete["trial_id"])
    steps = {entry.get("total_steps") for entry in plan if entry["trial_id"] in own} - {None}
    tests = {rows["test"] for entry in data if (rows := _rows(entry)).get("test")}
    parts = [
        ("data", _names(entry.get("source") for entry in data)),
        ("pool", _numbers(set(complete["pool_size"]), "example")),
        ("budget", _numbers(set(limited["budget"]), "example")),
        ("encoder", _names(entry.get("encoder") for entry in data)),
        ("training", _numbers(steps, "step")),
        ("seeds", ", ".join(map(str, seeds))),
        ("folds", str(folds) if folds > 1 else ""),
        ("test set", _numbers(tests, "example")),
    ]
    said = [f"{name} {words}" for name, words in parts if words]
    return f"Holds for: {'; '.join(said)}." if said else "Nothing is complete yet."


def _headline(summary: pd.DataFrame, comparisons: pd.DataFrame, as_good: str) -> str:
    trained = summary[(summary["num_complete"] > 0) & (summary["role"] != "proxy")]
    if trained.empty:
        return "No trial is complete: nothing can be said yet."
    baseline = usual_baseline(comparisons)
    own = comparisons[comparisons["baseline"] == baseline]
    if own.empty:
        return "Nothing is compared: the sweep has no baseline with a finished trial beside another strategy."
    most = int(own["num_replicates"].max())
    if most < FEWEST:
        one = "fold" if (own["folds"] > 1).any() else "seed"
        given = f"One {one}: numbers only" if most < 2 else f"Two {one}s: both values are shown, without a test"
        return f"{given}; no ranking can be claimed."
    better, worse = (own[own["verdict"] == verdict] for verdict in (BETTER, WORSE))
    unsettled = own[own["verdict"] == NOT_SETTLED]
    equal = own[own["verdict"] == EQUIVALENT]
    rest = len(own) - len(better) - len(worse) - len(unsettled) - len(equal)
    others = [
        *([f"{listed(worse[KEY])} {_is(len(worse))} worse"] if len(worse) else []),
        *([f"{listed(unsettled[KEY])} {_is(len(unsettled))} not settled"] if len(unsettled) else []),
        *(
            [f"{listed(equal[KEY])} {_differs(len(equal))} from {baseline} by less than {_margin(own)}"]
            if len(equal)
            else []
        ),
        *([f"{_whom(rest, len(own))}no difference to {baseline} is shown"] if rest else []),
        *([as_good] if as_good else []),
    ]
    if better.empty:
        first = f"No strategy is shown to be better than {baseline} ({_count(len(own), 'comparison')})"
        if worse.empty and most < BY_EXAMPLES_FROM:  # so few replicates show the largest differences only
            first += ", and no ranking can be claimed"
        return ". ".join(_sentence(words) for words in (first, "; ".join(others)) if words) + "."
    gain = Scale(str(own["metric"].iloc[0])).sign * better["difference"]
    best = better.to_dict("records")[int(gain.to_numpy().argmax())]
    scale = Scale(str(best["metric"]))
    mean, bracket, interval = difference_words(best).partition(" [")
    chosen = f", selected as best of {len(own)}" if len(own) > 1 else ""
    first = (
        f"{best[KEY]} is better than {baseline} by {mean.lstrip('+-')}{scale.points}{bracket}{interval} "
        f"({pairs_words(best)}{chosen})"
    )
    more = better[better[KEY] != best[KEY]]
    if len(more):
        others.insert(0, f"{listed(more[KEY])} {_is(len(more))} better, too")
    return ". ".join(_sentence(words) for words in (first, "; ".join(others)) if words) + "."


def _more_words(more: float) -> str:
    """Return how many more seeds would settle what is open; nothing where nothing is."""
    if pd.isna(more):
        return ""
    count = (
        f"more than {MOST_MORE_SEEDS} more seeds" if more == float("inf") else f"about {_count(int(more), 'more seed')}"
    )
    return f"; {count} would settle a difference of this size"


def _rows(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    details = entry.get("details")
    rows = details.get("rows") if isinstance(details, dict) else None
    return rows if isinstance(rows, dict) else {}


def _names(values: Any) -> str:
    """Return names of data or encoders; of a folder on this machine, which says little elsewhere, the last part."""
    names = (Path(str(value)).name if Path(str(value)).is_absolute() else str(value) for value in values if value)
    return ", ".join(dict.fromkeys(names))


def _numbers(values: set[Any], noun: str) -> str:
    """Return `100 and 400 examples`; nothing of nothing."""
    words = [f"{int(value):,}" for value in sorted(values)]
    if not words:
        return ""
    return f"{listed(words)} {noun}{'' if words == ['1'] else 's'}"


def _margin(comparisons: pd.DataFrame) -> str:
    first = comparisons.iloc[0]
    return Scale(str(first["metric"])).margin(float(first["margin"]))


def _differs(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _whom(rest: int, count: int) -> str:
    """Return for whom something holds: `for 4 others`; nothing where it is the only one."""
    if rest == count:
        return "" if count == 1 else f"for all {count} "
    return f"for {_count(rest, 'other')} "


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sentence(words: str) -> str:
    """Return words of ours with a capital at their beginning: names of strategies stay as they are."""
    is_ours = words.startswith(("for ", "no difference to "))
    return f"{words[0].upper()}{words[1:]}" if is_ours else words
