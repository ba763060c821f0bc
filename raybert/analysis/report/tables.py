"""The tables of the page: the comparison, what it cost, every trial, what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from raybert.analysis.report.layout import (
    Cell,
    FailureWords,
    Head,
    PageRow,
    PageTable,
    from_text_table,
    number_cell,
    plain_number,
    shortened,
)
from raybert.analysis.report.swatches import Swatch
from raybert.analysis.results.failures import end_of_log, find_failures, reproduce_command
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.scales import Scale
from raybert.plain import cut_lines, hide
from raybert.sweeping.folder.failures import FailureGroup

MOST_ROWS = 1000
_MOST_FAILURES = 20
FEW = 12
"""Rows that are seen at once, without a box that finds them."""


def comparison(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return the comparison as `Sweep.comparison` words it."""
    table = sweep.comparison()
    shown = from_text_table(
        "comparison",
        f"Every configuration on test, the best first: means over {sweep.replicates} with 95 % intervals.",
        table,
        swatches,
        filter="Find configurations" if len(table.rows) > FEW else "",
    )
    rows, left_out = shortened(shown.rows, MOST_ROWS, "results/summary.csv")
    return PageTable(shown.id, shown.caption, shown.columns, rows, shown.filter, left_out)


def extra_tests(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return every configuration on each further test set, as the terminal words it."""
    table = sweep.extra_tests_words()
    caption = (
        f"Every configuration on test, and on {', '.join(sweep.extra_test_names)}, by which nothing was chosen: means "
        f"over {sweep.replicates}, and in brackets the paired difference with the mark of its verdict; each test set "
        "has its own correction. Intervals: results/extra_tests.csv"
    )
    shown = from_text_table(
        "extra-tests", caption, table, swatches, filter="Find configurations" if len(table.rows) > FEW else ""
    )
    rows, left_out = shortened(shown.rows, MOST_ROWS, "results/extra_tests.csv")
    return PageTable(shown.id, shown.caption, shown.columns, rows, shown.filter, left_out)


def trials(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return every planned run with its state and what it measured."""
    frame, scale, metric = sweep.trials, Scale(sweep.metric), sweep.metric
    crossed = bool((frame["fold"] > 0).any())
    heads = [
        *identity_heads(sweep),
        Head("seed", "number"),
        *([Head("fold", "number")] if crossed else []),
        Head("state"),
        *(Head(f"{split} {scale.words}", "number") for split in ("test", "validation")),
        *(Head(title, "number") for title in ("best step", "steps", "trained", "s")),
        Head("trial"),
        Head("notes and errors", "long"),
    ]
    rows = []
    for row in frame.to_dict("records"):
        said = "; ".join(str(row[name]) for name in ("error", "notes") if isinstance(row.get(name), str) and row[name])
        cells = (
            *identity_cells(sweep, row, swatches),
            plain_number(row["seed"]),
            *([plain_number(row["fold"])] if crossed else []),
            Cell(str(row["status"]), None, _TONES.get(str(row["status"]), "")),
            *(metric_cell(row.get(f"{split}_{metric}"), scale) for split in ("test", "validation")),
            *(plain_number(row[name]) for name in ("best_step", "optimizer_steps", "examples_seen")),
            number_cell(row["wall_seconds"], f"{row['wall_seconds']:,.1f}"),
            Cell(str(row["trial_id"])),
            Cell(cut_lines(hide(said), 300)),
        )
        keys = (("status", str(row["status"])),)
        rows.append(PageRow(cells, "" if row["role"] == "trial" else "dim", keys))
    shown, left_out = shortened(rows, MOST_ROWS, "results/trials.csv")
    caption = "Every run of the plan. Grey: proxies and other runs that only serve a score."
    return PageTable("table-trials", caption, tuple(heads), shown, "Find trials", left_out, is_tall=len(rows) > 12)


_TONES = {"failed": "bad", "pending": "dim"}


def failures(sweep: Sweep) -> tuple[FailureWords, ...]:
    """Return the distinct errors, the most frequent first."""
    return tuple(_failure(sweep, group) for group in find_failures(sweep)[:_MOST_FAILURES])


def _failure(sweep: Sweep, group: FailureGroup) -> FailureWords:
    first, count = group.first, len(group.failures)
    where = f" on {first.failure.node}" if first.failure.node else ""
    lines = [
        f"kind: {group.kind}; first in {first.strategy}, seed {first.seed}{where}, trial {first.trial_id}",
        f"attempts of that trial: {first.failure.attempts}",
    ]
    if group.num_readers:
        lines.append(f"{group.num_readers} of them never began, because a run that they read failed like this")
    return FailureWords(
        title=f"{count} trial{'' if count == 1 else 's'}: {group.kind}",
        message=cut_lines(hide(group.message)),
        lines=tuple(lines),
        log=cut_lines(hide("\n".join(end_of_log(sweep.folder, first)))),
        command=reproduce_command(sweep.folder, first),
    )


def of_frame(
    name: str, caption: str, frame: pd.DataFrame, columns: Sequence[str] = (), most: int = MOST_ROWS, where: str = ""
) -> PageTable:
    """Return a data frame as a table: words and numbers as they are.

    Args:
        name: for its id.
        caption: what it shows.
        frame: the rows.
        columns: which, in order; none: all.
        most: rows that are shown.
        where: all of them are, in the results folder.
    """
    shown = frame[[column for column in columns or frame.columns if column in frame]]
    numeric = [pd.api.types.is_numeric_dtype(shown[column]) for column in shown]
    heads = [
        Head(_title(str(column)), "number" if is_number else "words")
        for column, is_number in zip(shown, numeric, strict=True)
    ]
    rows = [
        PageRow(
            tuple(
                plain_number(value) if is_number else Cell(_words(value))
                for value, is_number in zip(row, numeric, strict=True)
            )
        )
        for row in shown.head(most + 1).itertuples(index=False, name=None)
    ]
    kept, _ = shortened(rows, most, where)
    left_out = f"The first {most:,} of {len(frame):,} rows; {where} has all." if len(frame) > most else ""
    return PageTable(
        f"table-{name}",
        caption,
        tuple(heads),
        kept,
        f"Find {name}" if len(kept) > FEW else "",
        left_out,
        is_tall=len(kept) > 20,
    )


def _title(column: str) -> str:
    """Return the name of a column for people; keys such as `train.learning_rate` stay what they are."""
    return column if "." in column else column.replace("_", " ")


def _words(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return json.dumps(value) if isinstance(value, list | dict) else hide(str(value))


def metric_cell(value: Any, scale: Scale) -> Cell:
    """Return a cell of a metric; a value that is missing is an empty one."""
    return Cell("", "") if value is None or pd.isna(value) else number_cell(value, scale.value(float(value)))


def identity_heads(sweep: Sweep) -> list[Head]:
    """Return the columns that say of what a row is."""
    return [Head("strategy"), *(Head(name) for name in sweep.configurations.headers.values()), Head("budget", "number")]


def identity_cells(sweep: Sweep, row: Mapping[Any, Any], swatches: Mapping[str, Swatch]) -> list[Cell]:
    """Return the cells that say of what a row is."""
    found, name = sweep.configurations[row[KEY]].cells, str(row["strategy"])
    return [
        Cell(name, style=swatches.get(name)),
        *(Cell(str(found[key])) for key in sweep.configurations.headers),
        plain_number(row["budget"]),
    ]
