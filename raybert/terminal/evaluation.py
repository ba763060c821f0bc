"""An evaluation of one model as tables, and what a model predicts in short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raybert.config import METRICS, metric_of
from raybert.config.metrics import is_own_metric
from raybert.display import Row, TextTable
from raybert.evaluation.bootstrap import LEVEL
from raybert.evaluation.evaluate import ModelEvaluation
from raybert.evaluation.every_strategy import SweepEvaluation
from raybert.evaluation.measures import Evaluation
from raybert.terminal.console import Console, print_notes, relative, say, text
from raybert.terminal.table import FittingTable

_CLASS_COLUMNS = ("precision", "recall", "specificity", "f1", "auc_roc", "auc_pr")
_OF_LABELS = ("micro_f1", "macro_f1", "map", "subset_accuracy", "loss")
_OF_NUMBERS = ("rmse", "spearman", "mae", "r2", "pearson")
_CHECKPOINT_METRICS = ("accuracy", "macro_f1", "loss", "mcc")
_GROUP_COLUMNS = ("accuracy", "macro_f1", "auc_roc", "auc_pr", "loss")
_NUM_WITH_INTERVALS = 2
_MAX_GROUPS = 10
_MAX_CLASSES_AS_COUNTS = 8


def print_evaluation(found: ModelEvaluation, folder: Path) -> None:
    """Print an evaluation and what had to be assumed, and where it was written."""
    console = Console()
    console.print(format_evaluation(found))
    if found.by is not None:
        for column in found.by["column"].unique():
            console.print(Text(), _by_table(found.by[found.by["column"] == column], str(column)))
    print_notes(found.notes)
    for plot in (path for path in found.plots if path.suffix == found.plots[0].suffix):  # each in one of its formats
        say(console, f"plot: {relative(plot)}")
    say(console, f"metrics, tables, predictions: {relative(folder)}")


def print_all_evaluated(found: SweepEvaluation) -> None:
    """Print the five metrics of every strategy on validation and test, what is missing, and where it was written."""
    console = Console()
    console.print(FittingTable(found.table))
    say(console, found.words, "dim")
    print_notes(found.notes)
    say(console, f"to paste: {relative(found.folder / 'metrics.md')}")
    say(console, f"metrics, predictions, confusions, curves: {relative(found.folder)}/<strategy>/<split>/")


def print_checkpoints(frame: pd.DataFrame, folder: Path) -> None:
    """Print a line per checkpoint with its metrics, the best of each in bold, and where they were written."""
    console = Console()
    console.print(format_checkpoints(frame))
    print_notes(frame.attrs["notes"])
    say(console, f"table: {relative(folder / 'checkpoints.csv')}")


def format_checkpoints(frame: pd.DataFrame) -> FittingTable:
    """Return the checkpoints of a run as a table for the terminal."""
    wanted = dict.fromkeys((frame.attrs["metric"], *_metrics_of(frame.columns, _CHECKPOINT_METRICS)))
    about = {name: metric_of(name) for name in wanted if name in frame}
    known = frame[[name for name in about if frame[name].notna().any()]]
    best = {name: column.idxmin() if about[name].lower_is_better else column.idxmax() for name, column in known.items()}
    shown = list(about)
    rows = tuple(
        Row(
            (row["checkpoint"], f"{row['step']:,}", f"{row['pass']:.2f}", *(_number(row[name]) for name in shown)),
            styles=tuple((3 + i, "strong") for i, name in enumerate(shown) if best.get(name) == number),
        )
        for number, row in enumerate(frame.to_dict("records"))
    )
    split = frame["split"].iloc[0]
    columns = ("checkpoint", "step", "pass", *(f"{split} {about[name].words.split(' (')[0]}" for name in shown))
    return FittingTable(TextTable(columns, rows, spare=(2, 6, 5)))


def print_predictions(frame: pd.DataFrame, output: Path) -> None:
    """Print how many texts were predicted as what, and where."""
    console = Console()
    print_notes(frame.attrs["notes"])
    say(console, f"{len(frame):,} texts: {relative(output)}")
    if frame["predicted"].dtype.kind == "f":
        found = frame["predicted"]
        say(console, f"predicted: mean {found.mean():.4g}, from {found.min():.4g} to {found.max():.4g}")
        return
    counts = frame["predicted"].value_counts()
    say(console, "predicted: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


def format_evaluation(evaluation: Evaluation) -> Group:
    """Return tables for the terminal: all metrics, each class, the confusions of few classes, the largest groups."""
    parts: list[Any] = [_overall_table(evaluation)]
    if len(evaluation.per_class):
        parts += [Text(), _class_table(evaluation)]
    if evaluation.labels.ndim == 2:
        parts += [] if evaluation.confusion.empty else [Text(), _confusion_table(evaluation.confusion)]
    elif len(evaluation.label_names) <= _MAX_CLASSES_AS_COUNTS:
        parts += [Text(), _confusion_table(evaluation.confusion)]
    if evaluation.per_group is not None:
        parts += [Text(), _group_table(evaluation.per_group)]
    return Group(*parts, *(text(f"note: {note}", "dim") for note in _notes(evaluation)))


def _overall_table(evaluation: Evaluation) -> Table:
    table = _table(f"{len(evaluation.labels):,} examples", "value", f"[{100 * LEVEL:.0f} %]")
    for row in evaluation.overall.reset_index().to_dict("records"):
        interval = "" if math.isnan(row["low"]) else f"{row['low']:.3f} .. {row['high']:.3f}"
        table.add_row(metric_of(row["metric"]).words, _number(row["value"]), text(interval))
    return table


def _class_table(evaluation: Evaluation) -> FittingTable:
    columns = ("class", "examples", *(METRICS[name].words.split(" (")[0] for name in _CLASS_COLUMNS))
    rows = tuple(
        Row((str(row["label"]), f"{row['num_examples']:,}", *(_number(row[name]) for name in _CLASS_COLUMNS)))
        for row in evaluation.per_class.to_dict("records")
    )
    return FittingTable(TextTable(columns, rows, spare=(4, 6, 7, 1, 2, 3)))


def _confusion_table(confusion: pd.DataFrame) -> Table:
    table = _table("label \\ predicted", *map(str, confusion.columns))
    for name, counts in zip(confusion.index, confusion.to_numpy(), strict=True):
        table.add_row(text(str(name)), *(f"{count:,}" for count in counts))
    return table


def _group_table(groups: pd.DataFrame) -> FittingTable:
    names = _metrics_of(groups.columns, _GROUP_COLUMNS)
    columns = ("group", "examples", *(METRICS[name].words for name in names))
    largest = groups.sort_values("num_examples", ascending=False, kind="stable").head(_MAX_GROUPS)
    rows = tuple(
        Row((str(row["group"]), f"{row['num_examples']:,}", *(_number(row[name]) for name in names)))
        for row in largest.to_dict("records")
    )
    return FittingTable(TextTable(columns, rows, spare=tuple(n for n in (6, 5, 4, 1, 3) if n < len(columns))))


def _by_table(rows: pd.DataFrame, column: str) -> FittingTable:
    """Return the metrics of each value of a column, the two main ones with their intervals, one's own behind them."""
    measured = [*rows["metric"].unique()]
    main = _metrics_of(measured, _GROUP_COLUMNS)
    names, wide = [*main, *(name for name in measured if is_own_metric(name))], main[:_NUM_WITH_INTERVALS]
    known = {(row["group"], row["metric"]): row for row in rows.to_dict("records")}
    sizes = rows.drop_duplicates("group").set_index("group")["num_examples"]
    table = tuple(
        Row((str(group), f"{size:,}", *(_with_interval(known[group, name], name in wide) for name in names)))
        for group, size in sizes.items()
    )
    headers = (f"{metric_of(name).words} [95 %]" if name in wide else metric_of(name).words for name in names)
    spare = (*range(len(main) + 1, 2, -1), *range(len(names) + 1, len(main) + 1, -1))  # one's own stay longer
    return FittingTable(TextTable((f"by {column}", "examples", *headers), table, spare=spare))


def _metrics_of(measured: Iterable[str], of_classes: Sequence[str]) -> list[str]:
    """Return which metrics a table shows: of labels, of numbers, or those given, as far as they are measured."""
    known = {*measured}
    shown = next((names for names in (_OF_LABELS, _OF_NUMBERS) if names[0] in known), of_classes)
    return [name for name in shown if name in known]


def _with_interval(row: Mapping[Any, Any], is_wanted: bool) -> str:
    if not is_wanted or math.isnan(row["low"]):
        return _number(row["value"])
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    best = evaluation.best_threshold
    if evaluation.threshold is not None:
        notes.append(f"'{evaluation.label_names[1]}' is predicted from probability {evaluation.threshold:g} on")
    if best is not None:
        notes.append(
            f"threshold {best['threshold']:.4g} gives the highest F1, {best['f1']:.3f}; it is chosen on these "
            "examples, so choose it on a validation split and test it on another"
        )
    drawn = "examples" if evaluation.per_group is None else f"{len(evaluation.per_group):,} whole groups"
    if evaluation.num_resamples:
        notes.append(f"intervals: {evaluation.num_resamples:,} bootstrap resamples of {drawn}")
    if evaluation.per_group is not None and len(evaluation.per_group) > _MAX_GROUPS:
        notes.append(f"the {_MAX_GROUPS} largest of {len(evaluation.per_group):,} groups; per_group.csv has all")
    missing = [str(name) for name in evaluation.per_class.query("num_examples == 0")["label"]]
    if missing:
        notes.append(f"no examples of {len(missing)} of {len(evaluation.label_names)} classes: {', '.join(missing)}")
    return notes


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(text(first), overflow="fold", min_width=12)
    for column in columns:
        table.add_column(text(column), justify="right", min_width=5)
    return table


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
