"""The comparison of a sweep as a table of words, for every place that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from raybert.analysis.results.failed_runs import WITH_FAILED, failures_counted, scored_row, with_failed_lines
from raybert.analysis.results.task import second_metric, task_of_runs
from raybert.analysis.statistics.configurations import KEY, Configurations
from raybert.analysis.statistics.decision import BETTER, EQUIVALENT, NOT_SETTLED, WORSE
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.letters import shown_letters
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import difference_words, method_sentences, pair_sentences, value_words
from raybert.config.tasks import MULTI_LABEL
from raybert.display import Row, Style, TextTable

_MARKS: dict[str, tuple[str, Style]] = {
    BETTER: ("+", "good"),
    WORSE: ("-", "bad"),
    NOT_SETTLED: ("?", ""),
    EQUIVALENT: ("=", ""),
}
WARNING = "!"
"""Mark of a value that a note says more about."""
LETTERS_HEAD, _OF_ALL = "letters", "of all"


def comparison_table(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    with_failures: pd.DataFrame,
    configurations: Configurations,
    replicates: str,
    letters: pd.DataFrame,
) -> TextTable:
    """Return the comparison: every configuration, by its mean on test, the best one first.

    The metric of the sweep has its 95 % interval over seeds or folds, two seeds both values. Shares are percentages.
    The difference is that to the baseline of most rows; what another baseline says is a line below the table. `of all`
    is the metric as a share of that of `all`. `trained` counts the examples that went forward and backward, `scored`
    those that only went forward, both with what the strategy's signals took as if it had computed them alone; `s` is
    the time that all of that took here. A strategy with failed runs has a second row, in which these are scored as the
    majority class.

    Args:
        summary: of a sweep.
        comparisons: of the sweep.
        with_failures: what is compared once failed runs are scored.
        configurations: of the sweep.
        replicates: what means are over: `seeds` or `folds`.
        letters: `LETTERS`; a column where any pair differs.
    """
    metric = str(summary["metric"].iloc[0]) if len(summary) else "accuracy"
    second = second_metric(task_of_runs(summary, metric), metric)
    interval = " [95 %]" if (comparisons["num_replicates"] >= FEWEST).any() else ""
    usual = usual_baseline(comparisons)
    compared = {str(row[KEY]): row for row in reversed(_with(comparisons, usual).to_dict("records"))}
    letters_of = shown_letters(letters)
    with_all = bool(summary["metric_fraction_of_all"].notna().any())
    shown = summary[summary["num_complete"] > 0]
    failed = summary[(summary["num_complete"] == 0) & (summary["num_failed"] > 0)]
    order = shown[f"test_{metric}_mean"].sort_values(ascending=Scale(metric).sign < 0, kind="stable").index
    columns = (
        *("strategy", *configurations.headers.values(), "budget", replicates),
        *(Scale(metric).words, Scale(second).words, f"vs {usual}{interval}"),
        *((LETTERS_HEAD,) if letters_of else ()),
        *((_OF_ALL,) if with_all else ()),
        *("trained", "scored", "s"),
    )
    scored = {str(row[KEY]): row for row in reversed(_with(with_failures, usual).to_dict("records"))}
    rows = []
    for row in shown.loc[order].to_dict("records"):
        beside = compared.get(str(row[KEY]))
        rows.append(_row(row, configurations, (metric, second), beside, letters_of, with_all=with_all))
        rows += _second_row(row, configurations, scored, letters_of)
    for row in failed.to_dict("records"):
        rows.append(Row((*_identity(row, configurations), f"0/{row['num_trials']}", "failed"), "bad"))
        rows += _second_row(row, configurations, scored, letters_of) if len(shown) else []
    num_keys = len(configurations.headers)
    place = {name: number for number, name in enumerate(columns) if number > num_keys}
    order_of_going = ("s", "scored", Scale(second).words, LETTERS_HEAD, _OF_ALL, "trained", "budget", replicates)
    spare = (*order_of_going, f"vs {usual}{interval}")  # the budget stays if it is a part of a name
    left_out = [name for name in spare if name in place and not (name == "budget" and configurations.budgets_vary)]
    return TextTable(
        columns,
        tuple(rows),
        left=frozenset(range(num_keys + 1)),
        spare=tuple(place[name] for name in left_out),
    )


_MOST_SENTENCES = 6


def usual_baseline(comparisons: pd.DataFrame) -> str:
    """Return `random` where anything is compared with it, else what most are compared with, of several the first."""
    counts = Counter(map(str, comparisons["baseline"]))
    return "random" if "random" in counts else max(counts, key=lambda name: counts[name], default="random")


def comparison_lines(
    summary: pd.DataFrame, comparisons: pd.DataFrame, best: Mapping[str, Any] | None = None
) -> list[str]:
    """Return what is to say below the table: what a proxy is, which is best, which differences are significant.

    Args:
        summary: of a sweep.
        comparisons: of the sweep.
        best: its row of the best configuration by validation; None: there is none.
    """
    lines = []
    proxies = summary[(summary["role"] == "proxy") & (summary["num_complete"] > 0)]
    if len(proxies):
        lines.append(
            f"proxy: the model that scored the pool, had one stopped there; it saw the whole pool {_times(proxies)}."
        )
    marked = [_is_marked(row) for row in summary.to_dict("records")]
    if any(marked):
        lines.append(f"{WARNING}: a trial that never predicts a {_one(summary)}, or a weak proxy; see the notes.")
    if best is not None and (summary["num_complete"] > 0).sum() > 1:
        metric = str(best["metric"])  # of the sweep, which has chosen it, whatever is compared here
        value = Scale(metric).value(best[f"validation_{metric}_mean"])
        lines.append(f"best on validation ({Scale(metric).words} {value}), and in best/: {best[KEY]}.")
    if (comparisons["verdict"] == NOT_SETTLED).any():
        lines.append(
            "?: not settled: the t-test finds a difference, and test examples or sign flips do not confirm it."
        )
    if (comparisons["verdict"] == EQUIVALENT).any():
        margin = Scale(str(comparisons["metric"].iloc[0])).margin(comparisons["margin"].iloc[0])
        lines.append(f"=: no difference beyond {margin} (sweep.margin), by two one-sided tests.")
    lines += with_failed_lines(summary)
    lines += _other_baselines(comparisons)
    return [*lines, *_spreadless(summary, comparisons), *method_sentences(comparisons)]


def _one(summary: pd.DataFrame) -> str:
    """Return what a model may never predict: a class, or a label."""
    task = task_of_runs(summary, str(summary["metric"].iloc[0]) if len(summary) else "")
    return "label" if task == MULTI_LABEL else "class"


def letters_lines(letters: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Return what the letters of the table say; nothing where no pair differs, and it has none.

    Args:
        letters: `LETTERS`.
        summary: `SUMMARY`; of runs that failed it is said how letters count them.
    """
    if not shown_letters(letters):
        return []
    among = " of a budget" if letters["group_budget"].nunique() > 1 else ""
    counted = "".join(f"; {words}" for words in failures_counted(summary, with_names=False, shows_lost=True))
    tests = f"t-tests of all pairs{among}, with Holm's correction{counted}"
    return [f"Configurations{among} that share no letter differ ({tests})."]


def _spreadless(summary: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """Say why some means of three or more replicates have no interval."""
    metric = summary["metric"].iloc[0] if len(summary) else ""
    name = f"test_{metric}"
    for table, mean, low in ((summary, f"{name}_mean", f"{name}_low"), (comparisons, "difference", "difference_low")):
        several = table["num_replicates"] >= FEWEST
        if len(table) and (several & table[mean].notna() & table[low].isna()).any():
            return ["A value without an interval is the same in every replicate, which is no certainty."]
    return []


def _times(proxies: pd.DataFrame) -> str:
    """Return how often proxies saw the pool, from what they were trained on: `once`, `2 times`, `0.5 to 3 times`."""
    passes = sorted({f"{value:.2g}" for value in proxies["examples_seen_mean"] / proxies["budget"]}, key=float)
    if passes == ["1"]:
        return "once"
    return f"{passes[0]} times" if len(passes) == 1 else f"{passes[0]} to {passes[-1]} times"


def verdict_mark(verdict: str | None) -> tuple[str, Style]:
    """Return the mark of a verdict behind a difference, and how that is shown; None: nothing is compared."""
    return _MARKS.get(verdict or "", ("", ""))


def _identity(row: Mapping[Any, Any], configurations: Configurations) -> tuple[str, ...]:
    cells = configurations[row[KEY]].cells
    return (str(row["strategy"]), *(cells[key] for key in configurations.headers), f"{row['budget']:,}")


def _is_marked(row: Mapping[Any, Any]) -> bool:
    """Tell whether a note says more of a row: it has collapsed, or is a weak proxy."""
    return bool(row["num_collapsed"] or (row["num_weak"] and row["role"] == "proxy"))


def _row(
    row: dict[Any, Any],
    configurations: Configurations,
    metrics: tuple[str, str],
    compared: Mapping[Any, Any] | None,
    letters: Mapping[str, str],
    *,
    with_all: bool,
) -> Row:
    metric, second = metrics
    seeds = str(row["num_seeds"])
    if row["folds"] > 1:
        seeds = f"{row['num_folds']} x {seeds}" if row["num_seeds"] > 1 else str(row["num_folds"])
    if row["num_failed"]:
        seeds = f"{seeds} ({row['num_failed']} failed)"
    mark, style = verdict_mark(None if compared is None else compared["verdict"])
    identity = _identity(row, configurations)
    warning = WARNING if _is_marked(row) else ""
    other = row[f"test_{second}_mean"]
    cells = (
        *identity,
        seeds,
        f"{value_words(row, metric)} {warning}".strip(),
        "" if pd.isna(other) else Scale(second).value(other),
        "" if compared is None else f"{difference_words(compared)} {mark}".strip(),
        *(("" if pd.notna(row["with_failures_mean"]) else letters.get(str(row[KEY]), ""),) if letters else ()),
        *((fraction_words(row["metric_fraction_of_all"]),) if with_all else ()),
        count_words(row["examples_seen_mean"] + row["signal_examples_seen_mean"]),
        count_words(row["examples_scored_mean"]),
        "" if pd.isna(row["total_seconds_mean"]) else f"{row['total_seconds_mean']:.1f}",
    )
    styles: tuple[tuple[int, Style], ...] = ((len(identity) + 3, style),)
    if warning:
        styles = (*styles, (len(identity) + 1, "bad"))
    return Row(cells, "dim" if row["role"] == "proxy" else "", styles)


def _second_row(
    row: Mapping[Any, Any],
    configurations: Configurations,
    scored: Mapping[str, Mapping[Any, Any]],
    letters: Mapping[str, str],
) -> list[Row]:
    """Return the row of a configuration with its failed runs scored; nothing where none failed, or is known.

    Its letters stand here: they are of all pairs once failed runs are scored.
    """
    if pd.isna(row["with_failures_mean"]):
        return []
    name, *identity = _identity(row, configurations)
    replicates, value, difference = scored_row(row, scored.get(str(row[KEY])))
    behind = (letters.get(str(row[KEY]), ""),) if letters else ()
    return [Row((f"{name} {WITH_FAILED}", *identity, replicates, value, "", difference, *behind), "dim")]


def _with(comparisons: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return what is compared with a baseline."""
    return comparisons[comparisons["baseline"] == baseline]


def _other_baselines(comparisons: pd.DataFrame) -> list[str]:
    """Return what is compared with another baseline than most, in sentences."""
    others = comparisons[comparisons["baseline"] != usual_baseline(comparisons)]
    sentences = [f"{sentence}." for sentence in pair_sentences(others)]
    hidden = len(sentences) - _MOST_SENTENCES
    more = [f"{hidden} more comparisons: results/comparisons.csv"] if hidden > 0 else []
    return [*sentences[:_MOST_SENTENCES], *more]


def fraction_words(fraction: float) -> str:
    """Return a share in percent with one digit: `97.2 %`; nothing for what is not known."""
    return "" if pd.isna(fraction) else f"{100 * fraction:.1f} %"


def count_words(count: float) -> str:
    """Return a number of examples in at most five letters: `640`, `12.8k`, `1.30M`; nothing for what is not known."""
    if pd.isna(count):
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
    return f"{count:.0f}"
