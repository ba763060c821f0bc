"""What comparisons say, in cautious sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from raybert.analysis.statistics.comparisons import family_of
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import (
    BETTER,
    BY_FLIPS_FROM,
    EQUIVALENT,
    NOT_COMPARED,
    NOT_SETTLED,
    UNDECIDED,
    WORSE,
)
from raybert.analysis.statistics.intervals import LEVEL, two_values
from raybert.analysis.statistics.scales import Scale, interval_words

_WORDS = {
    BETTER: "better than {}",
    WORSE: "worse than {}",
    UNDECIDED: "no difference to {} shown",
    EQUIVALENT: "no difference to {}",
    NOT_SETTLED: "difference to {} not settled",
    NOT_COMPARED: "no verdict against {}",
}


def verdict_sentences(comparisons: pd.DataFrame) -> list[str]:
    """Return one cautious sentence per row of `Sweep.comparisons`, and one on the method."""
    return [*pair_sentences(comparisons), *method_sentences(comparisons)]


def pair_sentences(comparisons: pd.DataFrame) -> list[str]:
    """Return one cautious sentence per row of `Sweep.comparisons`."""
    several = comparisons.duplicated(["baseline", KEY], keep=False)  # as beside every budget of a baseline
    beside = comparisons["baseline"].where(~several, comparisons["baseline_configuration"])
    rows = zip(comparisons.to_dict("records"), beside, strict=True)
    return [_sentence(row, str(name)) for row, name in rows]


def method_sentences(comparisons: pd.DataFrame) -> list[str]:
    """Return what the verdicts of a table are based on, in one sentence; nothing where nothing was tested.

    The family of Holm's correction is all that was tested against one baseline.
    """
    tested = comparisons[comparisons["holm_p"].notna()]
    if tested.empty:
        return []
    crossed = bool((comparisons["folds"] > 1).any())
    tests = "folds (means of seeds); corrected resampled t-tests" if crossed else "seeds; t-tests"
    families = tested.groupby(family_of(tested["baseline"]), sort=False)["baseline"]
    counts = [
        f"{len(names)} with {' or '.join(dict.fromkeys(names))}" if len(families) > 1 else f"{len(names)}"
        for _, names in families
    ]
    words = Scale(str(comparisons["metric"].iloc[0])).words
    plural, by_holm = "s" if len(tested) > 1 else "", " by Holm" if crossed else ""
    return [
        f"Test {words}, paired over {tests} at 95 % with Holm's correction over {' and '.join(counts)} "
        f"comparison{plural}{_confirmed_by(tested)}.{_equivalence_method(tested)} The intervals are not "
        f"corrected{by_holm}."
    ]


def _equivalence_method(tested: pd.DataFrame) -> str:
    """Return by what no difference is shown; nothing where none is."""
    equal = tested[tested["verdict"] == EQUIVALENT]
    if equal.empty:
        return ""
    margin = Scale(str(equal["metric"].iloc[0])).margin(equal["margin"].iloc[0])
    return f" No difference beyond {margin}: two one-sided t-tests (TOST), with Holm's correction, too."


def _confirmed_by(tested: pd.DataFrame) -> str:
    """Return what else must agree for a verdict, and how small the p-values of sign flips can be."""
    with_examples = tested["examples_low"].notna().any()
    flipped = tested.loc[tested["sign_flip_p"].notna(), "num_replicates"]
    by_flips = (flipped >= BY_FLIPS_FROM).any()
    tests = [
        *([f"a paired bootstrap over test examples{_of_some(tested['examples_low'])}"] if with_examples else []),
        *(["sign flips with Holm's correction"] if by_flips else []),
    ]
    words = f", which {' and '.join(tests)} must confirm" if tests else ""
    if len(flipped) and not by_flips:
        count = int(flipped.max())
        words += f"; sign flips of {count} seeds have a p of {2 / 2**count:.3g} at least"
    return words


def _of_some(values: pd.Series[Any]) -> str:
    """Return of how many comparisons there is a value, where not all have one: what it confirms is no more."""
    known = int(values.notna().sum())
    return f" ({known} of {len(values)} have one)" if known < len(values) else ""


def describe_folds(summary: pd.DataFrame) -> list[str]:
    """Return a note on what intervals over folds are, for every number of folds."""
    return [
        f"{m} folds: a replicate is a fold (the mean of its seeds); because training sets overlap, intervals and tests "
        f"are those of Nadeau and Bengio (2003), with the variance s^2 (1/J + 1/{m - 1}) of a mean of J folds"
        for m in sorted(set(summary["folds"]) - {1})
    ]


def verdict_words(row: Mapping[Any, Any]) -> str:
    """Return the verdict of a row of the comparisons: `no difference to random shown`."""
    return _WORDS[row["verdict"]].format(row["baseline"])


def difference_words(row: Mapping[Any, Any]) -> str:
    """Return the difference of a row of the comparisons: one value, both, or the mean with its interval."""
    scale = Scale(row["metric"])
    mean, count = row["difference"], row["num_replicates"]
    if not count or pd.isna(mean):
        return ""
    if count == 2:
        return ", ".join(map(scale.difference, two_values(mean, row["difference_std"])))
    low, high = row["difference_low"], row["difference_high"]
    return scale.difference(mean) + interval_words(low, high, scale, of_difference=True)


def value_words(row: Mapping[Any, Any], metric: str) -> str:
    """Return what a configuration reached on test: one value, both, or the mean with its interval.

    Args:
        row: of the summary.
        metric: which of its metrics.
    """
    scale, name = Scale(metric), f"test_{metric}"
    mean = row.get(f"{name}_mean")
    if pd.isna(mean):
        return ""
    if row["num_replicates"] == 2:
        low, high = two_values(mean, row[f"{name}_std"])
        return scale.value(mean) if pd.isna(low) else f"{scale.value(low)}, {scale.value(high)}"
    return scale.value(mean) + interval_words(row[f"{name}_low"], row[f"{name}_high"], scale)


def _sentence(row: Mapping[Any, Any], baseline: str) -> str:
    size = f"{size_words(row)}, {pairs_words(row)}"
    if not pd.isna(row.get("sign_flip_p")):
        size += f", sign-flip p {row['sign_flip_p']:.3g}"
    return f"{row[KEY]}: {_WORDS[row['verdict']].format(baseline)}{_equivalence_words(row)} ({size})"


def _equivalence_words(row: Mapping[Any, Any]) -> str:
    """Return what is said of a difference that is shown to be within the margin; nothing where none is."""
    margin = Scale(row["metric"]).margin(row["margin"])
    if row["verdict"] == EQUIVALENT:
        return f" beyond {margin}"
    is_small = row["verdict"] in (BETTER, WORSE) and row["equivalence_holm_p"] < 1 - LEVEL
    return f", by less than {margin}" if is_small else ""


def size_words(row: Mapping[Any, Any]) -> str:
    """Return the difference of a row in a sentence: `+5.1 points [+4.8, +5.4]`, or both of two."""
    mean, bracket, interval = difference_words(row).partition(" [")
    return f"{mean.replace(', ', ' and ')}{Scale(row['metric']).points}{bracket}{interval}"


def pairs_words(row: Mapping[Any, Any]) -> str:
    """Return what a difference is over: `3 seeds`, or `5 folds`, which may be means of seeds."""
    count = row["num_replicates"]
    if row["folds"] <= 1:
        return f"{count} seed{'' if count == 1 else 's'}"
    several = row["num_pairs"] > count
    return f"{count} fold{'' if count == 1 else 's'}{', each the mean of its seeds' if several else ''}"


def range_words(counts: Iterable[int], replicates: str) -> str:
    """Return how many replicates some values are over: `3 seeds`, `3 to 5 seeds`; nothing of no count.

    Args:
        counts: of each value.
        replicates: `seeds` or `folds`.
    """
    found = sorted({int(count) for count in counts})
    if not found:
        return ""
    span = f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{span} {replicates.rstrip('s') if found == [1] else replicates}"
