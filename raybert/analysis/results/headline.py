"""The verdict of a sweep in at most two sentences, for somebody who reads nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from raybert.analysis.results.comparison import usual_baseline
from raybert.analysis.results.failed_runs import failed_throughout, is_flattered
from raybert.analysis.results.listed import count_words, listed
from raybert.analysis.statistics.comparisons import REDRAWN
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import (
    BETTER,
    BY_EXAMPLES_FROM,
    EQUIVALENT,
    NOT_COMPARED,
    NOT_SETTLED,
    UNDECIDED,
    WORSE,
)
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import difference_words, pairs_words

_DRAWN_ANEW = "it draws anew before each pass, and so sees more different examples"
_MOST_NAMES = 5
"""That a sentence holds; whoever is best, worse or not settled is in front of them."""


def headline(summary: pd.DataFrame, comparisons: pd.DataFrame, as_good: str) -> str:
    """Return the verdict.

    Args:
        summary: of the sweep.
        comparisons: all that it compares.
        as_good: what is as good as `all`, in words.
    """
    trained = summary[(summary["num_complete"] > 0) & (summary["role"] != "proxy")]
    lost = failed_throughout(summary)
    failed = [f"{listed(lost)} failed in every run"] if lost else []
    if trained.empty:
        return _nothing_complete(summary)
    baseline = usual_baseline(comparisons)
    own = comparisons[comparisons["baseline"] == baseline]
    if own.empty:
        return _in_sentences(_nothing_compared(trained), failed)
    if own["num_replicates"].max() < FEWEST:
        return _in_sentences(_too_few(own), failed)
    others = [*_others(own, baseline), *failed, *([as_good] if as_good else [])]
    better = own[own["verdict"] == BETTER]
    if better.empty:
        return _in_sentences(_none_better(own, baseline), others)
    best = _best(better)
    return _in_sentences(_winner(best, baseline, len(own)), [*_better_too(better, best), *others])


def _nothing_complete(summary: pd.DataFrame) -> str:
    planned, failed = (int(summary[f"num_{name}"].sum()) for name in ("trials", "failed"))
    if 0 < planned == failed:
        return f"All {planned} trials failed: nothing can be said."
    return "No trial is complete: nothing can be said yet."


def _nothing_compared(trained: pd.DataFrame) -> str:
    names = list(dict.fromkeys(map(str, trained["strategy"])))
    if len(names) == 1:
        return f"Nothing is compared: {names[0]} alone has finished trials"
    return "Nothing is compared: the sweep has no baseline with a finished trial beside another strategy"


def _too_few(own: pd.DataFrame) -> str:
    one = "fold" if (own["folds"] > 1).any() else "seed"
    left = " left by failed runs" if (own["num_dropped_pairs"] > 0).all() else ""
    given = (
        f"One {one}{left}: numbers only"
        if own["num_replicates"].max() < 2
        else f"Two {one}s{left}: both values are shown, without a test"
    )
    return f"{given}; no ranking can be claimed"


def _none_better(own: pd.DataFrame, baseline: str) -> str:
    tested = int((own["verdict"] != NOT_COMPARED).sum())
    if not tested:
        return f"Nothing could be tested against {baseline}, and no ranking can be claimed"
    first = f"No strategy is shown to be better than {baseline} ({count_words(tested, 'test')})"
    is_small = own["num_replicates"].max() < BY_EXAMPLES_FROM  # so few show the largest differences only
    is_open = own["verdict"].isin([UNDECIDED, NOT_COMPARED, NOT_SETTLED]).all()
    return f"{first}, and no ranking can be claimed" if is_small and is_open else first


def _best(better: pd.DataFrame) -> dict[Any, Any]:
    """Return the row that gains most, of those that stay better with failed runs scored, if there are any."""
    sign = Scale(str(better["metric"].iloc[0])).sign
    rows = better.to_dict("records")
    return max(rows, key=lambda row: (not is_flattered(row), sign * row["difference"]))


def _better_too(better: pd.DataFrame, best: Mapping[Any, Any]) -> Iterator[str]:
    """Yield which others are better, and which are only as long as failed runs are left out."""
    more = better[better[KEY] != best[KEY]].to_dict("records")
    for is_sure, words in ((True, "better, too"), (False, "better only if failed runs do not count")):
        names = [row[KEY] for row in more if is_flattered(row) is not is_sure]
        if names:
            yield f"{listed(names)} {_is(len(names))} {words}"


def _winner(best: Mapping[Any, Any], baseline: str, compared: int) -> str:
    scale = Scale(str(best["metric"]))
    gain: dict[Any, Any] = dict(best)
    if scale.sign < 0:
        turned = {"difference_low": -best["difference_high"], "difference_high": -best["difference_low"]}
        gain |= {"difference": -best["difference"], **turned}
    mean, _, ends = difference_words(gain).partition(" [")
    interval = f"95 % interval {ends.rstrip(']').replace(', ', ' to ')}" + (", not corrected" if compared > 1 else "")
    dropped, noun = int(best["num_dropped_pairs"]), "more" if best["folds"] == 1 else "pair"
    left_out = f", {count_words(dropped, noun)} {'left out' if pd.isna(best['with_failures_verdict']) else 'failed'}"
    said = [
        *([interval] if ends else []),
        f"{pairs_words(best)}{left_out if dropped else ''}",
        *([f"selected as best of {compared}"] if compared > 1 else []),
        *([_DRAWN_ANEW] if best["strategy"] == REDRAWN and baseline != REDRAWN else []),
    ]
    but = ", but only if failed runs do not count" if is_flattered(best) else ""
    return (
        f"{best[KEY]} is better than {baseline} in test {scale.words} by {mean.lstrip('+')}{scale.points} "
        f"({'; '.join(said)}){but}"
    )


def _others(own: pd.DataFrame, baseline: str) -> Iterator[str]:
    """Yield what is said of all that is not better, a part of a sentence each."""
    worse, unsettled, equal, open_, untested = (
        own[own["verdict"] == verdict] for verdict in (WORSE, NOT_SETTLED, EQUIVALENT, UNDECIDED, NOT_COMPARED)
    )
    if len(worse):
        yield f"{listed(worse[KEY])} {_is(len(worse))} worse"
    if len(unsettled):
        yield f"whether {listed(unsettled[KEY])} {'differs' if len(unsettled) == 1 else 'differ'} is not settled"
    if len(equal):
        margin = Scale(str(own["metric"].iloc[0])).margin(float(own["margin"].iloc[0]))
        yield f"{listed(equal[KEY])} {'differs' if len(equal) == 1 else 'differ'} from {baseline} by less than {margin}"
    if len(open_):
        yield f"no difference to {baseline} is shown{_whom(open_[KEY], len(own))}"
    if len(untested):
        yield f"{listed(untested[KEY])} {_is(len(untested))} not tested ({_why_untested(untested)})"


def _why_untested(rows: pd.DataFrame) -> str:
    """Return why there is no test: too few replicates, or no spread."""
    one = "fold" if (rows["folds"] > 1).any() else "seed"
    is_few = rows["num_replicates"] < FEWEST
    reasons = [
        *([f"fewer than {FEWEST} {one}s"] if is_few.any() else []),
        *([f"the same difference in every {one}"] if not is_few.all() else []),
    ]
    return " or ".join(reasons)


def _whom(names: pd.Series[str], count: int) -> str:
    """Return for whom something holds: ` for a and b`, of many how many; nothing where it is the only one."""
    if len(names) < count:
        return f" for {listed(names)}" if len(names) <= _MOST_NAMES else f" for {len(names)} of {count}"
    return "" if count == 1 else " for either" if count == 2 else f" for any of {count}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _in_sentences(first: str, others: list[str]) -> str:
    """Return one sentence or two; names of strategies stay as they are at the beginning of the second."""
    rest = "; ".join(others)
    if rest.startswith(("no difference to ", "whether ")):
        rest = f"{rest[0].upper()}{rest[1:]}"
    return ". ".join(words for words in (first, rest) if words) + "."
