"""A text per strategy that a person reads: what it reached, what it cost and saved, and how training went."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.results.task import majority_words
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import two_values
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import pair_sentences
from raybert.config.metrics import evaluation_metrics_of, trial_metrics_of
from raybert.tables import GPU_HOURS, own_metric_columns

_LONGEST_FILE_NAME = 80
_COSTS = {
    "examples_seen": "examples trained on",
    "signal_examples_seen": "  and behind its signals",
    "examples_scored": "examples scored",
    "total_examples": "in all, as forward passes",
    "train_seconds": "seconds of training",
    "selection_seconds": "seconds of selection",
    "signal_seconds": "seconds of signals",
    "total_seconds": "seconds in all",
    GPU_HOURS: "GPU-hours",
}
_SAVED = {"total_examples": "examples (as forward passes)", "total_seconds": "seconds (training and scoring)"}
_PER_PASS = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
_NEAR_END = 0.02
"""Of a pass: an evaluation that stands so near to its end is there (steps end where batches do)."""


def strategy_texts(sweep: Sweep) -> dict[str, str]:
    """Return the text of every strategy with a complete trial, by its name in `file_names`."""
    summary = sweep.summary()
    finished = summary[summary["num_complete"] > 0]
    names, parts = file_names(sweep), _Parts.of(sweep)
    sections: dict[str, list[str]] = {}
    for row in finished.to_dict("records"):
        sections.setdefault(names[str(row["strategy"])], []).append("\n".join(_section(sweep, parts, row)))
    return {name: "\n\n".join(own) + "\n" for name, own in sections.items()}


Rows = Sequence[Mapping[Any, Any]]


@dataclass(frozen=True)
class _Parts:
    """What is said of configurations besides their summary, by their names: taken apart once, not for each.

    Attributes:
        trials: the complete ones.
        pairs: rows of `comparisons`, each with its sentence.
        evaluations: rows of `per_pass`.
        reached: rows of `cost_to_reach`, counted in examples.
    """

    trials: Mapping[str, Rows]
    pairs: Mapping[str, Rows]
    evaluations: Mapping[str, Rows]
    reached: Mapping[str, Rows]

    @classmethod
    def of(cls, sweep: Sweep) -> _Parts:
        complete = sweep.trials[sweep.trials["status"] == "complete"][[KEY, "pool_size", "seed"]]
        said = sweep.comparisons.assign(sentence=pair_sentences(sweep.comparisons))
        reached = sweep.cost_to_reach[sweep.cost_to_reach["cost"] == "examples"]
        return cls(*(_by_configuration(table) for table in (complete, said, sweep.per_pass, reached)))


def _by_configuration(table: pd.DataFrame) -> dict[str, Rows]:
    rows: dict[str, list[dict[Any, Any]]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(str(row[KEY]), []).append(row)
    return dict(rows)


def file_names(sweep: Sweep) -> dict[str, str]:
    """Return a name for every strategy's label that any file system takes, each another one."""
    return names_of_files(map(str, sweep.summary()["strategy"].unique()))


def names_of_files(labels: Iterable[str]) -> dict[str, str]:
    """Return a name for every label that any file system takes, each another one."""
    names: dict[str, str] = {}
    for label in labels:
        short = re.sub(r"[^\w.=,()-]+", "_", label).strip("._")[:_LONGEST_FILE_NAME] or "strategy"
        taken = {known.casefold() for known in names.values()}
        numbered = (f"{short}_{number}" for number in range(2, len(taken) + 3))
        names[label] = next(name for name in (short, *numbered) if name.casefold() not in taken)
    return names


def _section(sweep: Sweep, parts: _Parts, row: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the lines on a configuration."""
    title = f"{row[KEY]}"
    yield title
    yield "=" * len(title)
    trials = parts.trials[title]
    pool = trials[0]["pool_size"]
    is_whole = row["budget_kind"] == "none" and row["budget"] >= min(trial["pool_size"] for trial in trials)
    chosen = "the whole pool" if is_whole else f"{row['budget']:,} of {pool:,} examples"
    seeds = ", ".join(map(str, sorted({trial["seed"] for trial in trials})))
    folds = f" x {row['num_folds']} folds" if row["folds"] > 1 else ""
    yield f"{chosen}; {row['num_complete']} of {row['num_trials']} trials complete (seeds {seeds}{folds})"
    yield _what_is_given(sweep, row)
    if not pd.isna(row["with_failures_mean"]):
        scored = _metric_words(row, "with_failures", Scale(sweep.metric))
        yield f"with failed runs scored as {majority_words(sweep.task)}: test {Scale(sweep.metric).words} {scored}"
    yield ""
    yield from _metrics(sweep, row)
    pairs = parts.pairs.get(title, ())
    if pairs:
        yield ""
        yield from _compared(pairs)
    yield ""
    yield from _costs(row)
    yield from map(_reached_words, parts.reached.get(title, ()))
    yield ""
    yield from _per_pass(sweep.metric, parts.evaluations.get(title, ()))
    yield ""
    yield from _at_the_end(sweep.metric, row)


def _what_is_given(sweep: Sweep, row: Mapping[Any, Any]) -> str:
    number, replicates = int(row["num_replicates"]), sweep.replicates
    if number == 1:
        return f"one {replicates.rstrip('s')}: values without a spread"
    if number == 2:
        return f"two {replicates}: both values of each"
    return f"means over {number} {replicates}, in brackets 95 % intervals; s: standard deviation"


def _metrics(sweep: Sweep, row: Mapping[Any, Any]) -> Iterator[str]:
    own = [name.partition("_")[2] for name in own_metric_columns(sweep.trials, "test")]
    names = [*dict.fromkeys((sweep.metric, *own, *trial_metrics_of(sweep.task)))]
    validation = [*dict.fromkeys((sweep.metric, *own, *evaluation_metrics_of(sweep.task)))]
    columns = [*(("test", name) for name in names), *(("validation", name) for name in validation)]
    for split, name in columns:
        words = _metric_words(row, f"{split}_{name}", Scale(name))
        if words:
            chosen = (
                "  (chooses the evaluation: train.best_metric)" if (split, name) == ("validation", sweep.metric) else ""
            )
            yield f"{split + ' ' + Scale(name).words:<28} {words}{chosen}"


def _metric_words(row: Mapping[Any, Any], name: str, scale: Scale) -> str:
    """Return mean, interval and deviation of a metric, of two replicates both values."""
    return _spread(row, name, scale.value, " %" if scale.is_percent else "")


def _spread(row: Mapping[Any, Any], name: str, words: Any, unit: str = "") -> str:
    """Return a value with its spread, from `<name>_mean`, `_std`, `_low` and `_high`."""
    mean, std, low, high = (row.get(f"{name}_{part}") for part in ("mean", "std", "low", "high"))
    if pd.isna(mean):
        return ""
    if row["num_replicates"] == 2 and not pd.isna(std):
        return ", ".join(f"{words(value)}{unit}" for value in two_values(mean, std))
    interval = "" if pd.isna(low) else f" [{words(low)}, {words(high)}]"
    deviation = "" if pd.isna(std) else f"  s {words(std)}"
    return f"{words(mean)}{unit}{interval}{deviation}"


def _compared(pairs: Rows) -> Iterator[str]:
    """Yield what each pair says: the verdict, and both shares of the baseline."""
    for pair in pairs:
        yield pair["sentence"].removeprefix(f"{pair[KEY]}: ")
        metric, beside = Scale(pair["metric"]).words, pair["baseline"]
        quality = pair["metric_fraction"]
        shares: list[str] = [] if pd.isna(quality) else [f"{100 * quality:.1f} % of {beside} in {metric}"]
        for name, words in _SAVED.items():
            share = pair[f"{name}_fraction"]
            if not pd.isna(share):
                shares.append(f"{_saved(share)} of its {words}")
        yield f"  {', '.join(shares)}"


def _saved(share: float) -> str:
    """Return what is saved or spent beyond a baseline."""
    return f"saves {100 * (1 - share):.1f} %" if share <= 1 else f"takes {100 * share:.0f} %"


def _costs(row: Mapping[Any, Any]) -> Iterator[str]:
    yield "cost of a trial, signals as if computed for it alone"
    for name, words in _COSTS.items():
        number = _hours if name == GPU_HOURS else _seconds if name.endswith("seconds") else _count
        text = _spread(row, name, number)
        if text:
            yield f"  {words:<26} {text}"


def _reached_words(row: Mapping[Any, Any]) -> str:
    """Return after how many forward passes a configuration reaches a share of what `all` reaches on validation."""
    words = f"  {100 * row['share']:.0f} % of all on validation"
    there, pairs = row["num_reached"], row["num_pairs"]
    if not there:
        return f"{words:<28} never, in {pairs} run{'s' if pairs > 1 else ''}"
    if pd.isna(row["spent"]):
        median = "" if pd.isna(row["spent_median"]) else f", median {_count(row['spent_median'])} forward passes"
        return f"{words:<28} in {there} of {pairs} runs{median}"
    interval = "" if pd.isna(row["spent_low"]) else f" [{_count(row['spent_low'])}, {_count(row['spent_high'])}]"
    share = "" if row[KEY] == row["full_configuration"] else f", {100 * row['spent_fraction_of_all']:.0f} % of all's"
    return f"{words:<28} after {_count(row['spent'])}{interval} forward passes{share}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value:,.1f}"


def _hours(value: float) -> str:
    return f"{value:.3g}"


def _per_pass(metric: str, rows: Rows) -> Iterator[str]:
    """Yield a line per pass: its last evaluation."""
    names = [
        name
        for name in dict.fromkeys((*_PER_PASS, f"validation_{metric}"))
        if any(_is_there(one, name) for one in rows)
    ]
    shown = list(_last_of_passes(rows).items())
    if not shown:
        return
    yield from _what_a_line_is(rows, [one for _, one in shown])
    at_ends = all(_is_end(one["pass"]) for _, one in shown)
    most = max(one["num_replicates"] for one in rows)
    counts = any(one["num_replicates"] < most for _, one in shown)
    headers = (f"{name.replace('_', ' ')}{_percent(name)}" for name in names)
    lines: list[Sequence[str]] = [
        ("pass", *([] if at_ends else ["at"]), *headers, "samples", "examples seen", *(["over"] if counts else []))
    ]
    for number, one in shown:
        at = [] if at_ends else [f"{one['pass']:.2f}"]
        values = [_spread_short(one, name) for name in (*names, "samples")]
        over = [f"{one['num_replicates']:.0f}"] if counts else []
        lines.append((str(number), *at, *values, _count(one["examples_seen_mean"]), *over))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _last_of_passes(rows: Rows) -> dict[int, Mapping[Any, Any]]:
    """Return the last evaluation of each pass, by its number from 1: a pass may have several, or none."""
    last: dict[int, Mapping[Any, Any]] = {}
    for one in sorted(rows, key=lambda one: float(one["pass"])):
        last[max(1, math.ceil(one["pass"] - _NEAR_END))] = one
    return last


def _is_end(place: float) -> bool:
    return abs(place - round(place)) <= _NEAR_END and place >= 1 - _NEAR_END


def _what_a_line_is(rows: Rows, shown: Rows) -> Iterator[str]:
    """Yield what a line stands for: evaluations need not be at the ends of passes, nor one in each."""
    since = "training accuracy and loss are those since the evaluation before"
    if not all(_is_end(one["pass"]) for one in shown):
        yield f"a line is the last evaluation within a pass, not all at its end (see `at`); {since}"
    elif len(rows) == len(shown):
        yield "a line is a pass: accuracy and loss in training are those of its examples, validation is at its end"
    else:
        yield f"a line is the evaluation at the end of a pass; {since}"
    last = max(1, math.ceil(shown[-1]["pass"] - _NEAR_END))
    missing = last - len(shown)
    if missing:
        yield f"{missing} of {last} passes have no evaluation, and no line"


def _at_the_end(metric: str, row: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what follows the passes: what is reached on test, and how long training took."""
    for name in dict.fromkeys(("accuracy", metric)):
        words = _metric_words(row, f"test_{name}", Scale(name))
        if words:
            yield f"{'test ' + Scale(name).words:<28} {words}"
    seconds = _spread(row, "train_seconds", _seconds, " s")
    if seconds:
        yield f"{'training time':<28} {seconds}"


def _percent(name: str) -> str:
    """Return what a header says of shares."""
    return " %" if Scale(name.partition("_")[2]).is_percent else ""


def _is_there(row: Mapping[Any, Any], name: str) -> bool:
    return not pd.isna(row.get(f"{name}_mean"))


def _spread_short(row: Mapping[Any, Any], name: str) -> str:
    """Return a value of an evaluation with its interval, without its deviation."""
    metric = name.partition("_")[2]
    words = _count if name == "samples" else Scale(metric).value
    return _spread(row, name, words).partition("  s ")[0]
