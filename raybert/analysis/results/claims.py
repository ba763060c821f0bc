"""What the results of a sweep allow to claim, in sentences: the verdict, a finding each, and what they hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.as_good_claims import as_good_sentences, as_good_words
from raybert.analysis.results.failed_runs import failure_sentences, scored_sentences
from raybert.analysis.results.headline import headline
from raybert.analysis.results.listed import count_words, listed
from raybert.analysis.statistics.configurations import has_budget
from raybert.analysis.statistics.decision import BETTER, MOST_MORE_SEEDS, NOT_SETTLED, WORSE
from raybert.analysis.statistics.verdicts import method_sentences, pair_sentences
from raybert.config.extra_tests import TEST


@dataclass(frozen=True)
class Claims:
    """What may be said of a sweep.

    Attributes:
        headline: the verdict, in at most two sentences.
        sentences: a finding each, what is better first and what is open last; then failures, and the method.
        scope: what they hold for, and nothing else: data set, pool, budgets, encoder, steps, seeds and test set.
    """

    headline: str
    sentences: tuple[str, ...]
    scope: str

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, self.scope])


def make_claims(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    with_failures: pd.DataFrame,
    as_good: pd.DataFrame,
    scope: str,
) -> Claims:
    """Return what the tables of a sweep allow to claim.

    Args:
        summary: of the sweep.
        comparisons: all that it compares.
        with_failures: what is compared once failed runs are scored.
        as_good: `AS_GOOD_AS_ALL`.
        scope: of `scope_words`.
    """
    ordered = _decided_first(comparisons)
    said = zip(pair_sentences(ordered), ordered["more_seeds"], strict=True)
    findings = [f"{sentence}{_more_words(more)}." for sentence, more in said]
    failed = [*failure_sentences(summary, comparisons), *scored_sentences(comparisons, with_failures)]
    sentences = (
        *findings,
        *failed,
        *method_sentences(comparisons),
        *as_good_sentences(as_good),
    )
    return Claims(headline(summary, comparisons, as_good_words(as_good)), sentences, scope)


def _decided_first(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons with those first that are better, worse and not settled; else they stay in their order."""
    places = {verdict: place for place, verdict in enumerate((BETTER, WORSE, NOT_SETTLED))}
    found = comparisons["verdict"].map(places).fillna(len(places))
    return comparisons.iloc[found.argsort(kind="stable")]


def scope_words(
    trials: pd.DataFrame, plan: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], test: str = TEST
) -> str:
    """Return what the claims of a sweep are about: nothing is known of other data, encoders, budgets or lengths.

    Args:
        trials: `Sweep.trials`.
        plan: the trials of `plan.json`.
        manifest: `manifest.json`, or empty.
        test: which test set the claims are about, a name of `data.extra_tests`; default: that of the data.
    """
    complete = trials[(trials["role"] == "trial") & (trials["status"] == "complete")]
    described = manifest.get("data")
    data = list(described.values()) if isinstance(described, dict) else []
    seeds = sorted(map(int, set(complete["seed"])))
    folds = int(complete["fold"].nunique())
    limited = complete[has_budget(complete)]
    own = set(complete["trial_id"])
    steps = {entry.get("total_steps") for entry in plan if entry["trial_id"] in own} - {None}
    tests = {number for entry in data if (number := _size_of(entry, test))}
    parts = [
        ("data", _names(entry.get("source") for entry in data)),
        ("pool", _numbers(set(complete["pool_size"]), "example")),
        ("budget", _numbers(set(limited["budget"]), "example")),
        ("encoder", _names(entry.get("encoder") for entry in data)),
        ("training", _numbers(steps, "step")),
        ("seeds", ", ".join(map(str, seeds))),
        ("folds", str(folds) if folds > 1 else ""),
        ("test set" if test == TEST else f"test set {test}", _numbers(tests, "example")),
    ]
    said = [f"{name} {words}" for name, words in parts if words]
    return "Nothing is complete yet." if complete.empty else f"Holds for: {'; '.join(said)}."


def _more_words(more: float) -> str:
    """Return how many more seeds would settle what is open; nothing where nothing is."""
    if pd.isna(more):
        return ""
    count = (
        f"more than {MOST_MORE_SEEDS} more seeds"
        if more == float("inf")
        else f"about {count_words(int(more), 'more seed')}"
    )
    return f"; {count} would settle a difference of this size"


def _size_of(entry: Mapping[str, Any], test: str) -> Any:
    """Return how many examples a test set has; None: the manifest does not say."""
    details = entry.get("details")
    known = details.get("rows" if test == TEST else "extra_tests") if isinstance(details, dict) else None
    found = known.get(test) if isinstance(known, dict) else None
    return found.get("rows") if isinstance(found, dict) else found


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
