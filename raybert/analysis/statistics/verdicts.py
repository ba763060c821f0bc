"""What comparisons say, in cautious sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from raybert.analysis.statistics.comparisons import BETTER, NOT_COMPARED, UNDECIDED, WORSE
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import two_values
from raybert.analysis.statistics.scales import Scale, interval_words

_WORDS = {
    BETTER: "better than {}",
    WORSE: "worse than {}",
    UNDECIDED: "no difference to {} shown",
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
    families = tested.groupby("baseline", sort=False).size()
    counts = [f"{count} with {name}" if len(families) > 1 else f"{count}" for name, count in families.items()]
    words = Scale(str(comparisons["metric"].iloc[0])).words
    return [
        f"Test {words}, paired over {tests} at 95 % with Holm's correction over {' and '.join(counts)} "
        f"comparison{'s' if len(tested) > 1 else ''}. The intervals are not corrected{' by Holm' if crossed else ''}."
    ]


def describe_folds(summary: pd.DataFrame) -> list[str]:
    """Return a note on what intervals over folds are, for every number of folds."""
    return [
        f"{m} folds: a replicate is a fold (the mean of its seeds); because training sets overlap, intervals and tests "
        f"are those of Nadeau and Bengio (2003), with the variance s^2 (1/J + 1/{m - 1}) of a mean of J folds"
        for m in sorted(set(summary["folds"]) - {1})
    ]


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
    scale = Scale(row["metric"])
    words = difference_words(row)
    mean, bracket, interval = words.partition(" [")
    size = f"{mean.replace(', ', ' and ')}{scale.points}{bracket}{interval}, {pairs_words(row)}"
    return f"{row[KEY]}: {_WORDS[row['verdict']].format(baseline)} ({size})"


def pairs_words(row: Mapping[Any, Any]) -> str:
    """Return what a difference is over: `3 seeds`, or `5 folds`, which may be means of seeds."""
    count = row["num_replicates"]
    if row["folds"] <= 1:
        return f"{count} seed{'' if count == 1 else 's'}"
    several = row["num_pairs"] > count
    return f"{count} fold{'' if count == 1 else 's'}{', each the mean of its seeds' if several else ''}"
