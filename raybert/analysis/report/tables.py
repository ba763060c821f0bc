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
from raybert.analysis.results.comparison import count_words, fraction_words
from raybert.analysis.results.failures import end_of_log, find_failures, reproduce_command
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.scales import Scale
from raybert.plain import cut_lines, hide
from raybert.sweeping.folder.failures import FailureGroup

MOST_ROWS = 1000
_MOST_FAILURES = 20
_FEW = 8
"""Rows that are seen at once, without a box that finds them."""
_COSTS = {
    "examples_seen": "trained",
    "signal_examples_seen": "for signals",
    "examples_scored": "scored",
    "total_examples": "in all",
    "train_seconds": "training s",
    "selection_seconds": "selection s",
    "signal_seconds": "signals s",
    "total_seconds": "in all s",
}


def comparison(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return the comparison as `Sweep.comparison` words it."""
    table = sweep.comparison()
    shown = from_text_table(
        "comparison",
        f"Every configuration on test, the best first: means over {sweep.replicates} with 95 % intervals.",
        table,
        swatches,
        filter="Find configurations" if len(table.rows) > _FEW else "",
    )
    rows, left_out = shortened(shown.rows, MOST_ROWS, "results/summary.csv")
    return PageTable(shown.id, shown.caption, shown.columns, rows, shown.filter, left_out)


def costs(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return what every configuration cost, in examples and in seconds, as means."""
    summary = sweep.summary()
    known = summary[summary["num_complete"] > 0].sort_values("total_examples_mean", kind="stable")
    heads = [*_identity_heads(sweep), *(Head(title, "number") for title in _COSTS.values()), Head("of all", "number")]
    rows = []
    for row in known.to_dict("records"):
        cells = [*_identity(sweep, row, swatches)]
        for name in _COSTS:
            value = row[f"{name}_mean"]
            cells.append(number_cell(value, f"{value:,.1f}" if name.endswith("seconds") else count_words(value)))
        share = row.get("total_examples_fraction_of_all")
        cells.append(number_cell(share, "" if share is None else fraction_words(share)))
        rows.append(PageRow(tuple(cells), "dim" if row["role"] == "proxy" else ""))
    shown, left_out = shortened(rows, MOST_ROWS, "results/summary.csv")
    caption = (
        "What a configuration cost, as means over its trials. Examples are forward passes of single examples: “in all” "
        "counts one that is trained on three times, and has the signals of its strategy, proxies included; “of all” is "
        "that as a share of what training on all examples took. Seconds are those of the machine that it ran on."
    )
    return PageTable("table-costs", caption, tuple(heads), shown, "Find costs" if len(rows) > _FEW else "", left_out)


def pareto(frame: pd.DataFrame, metric: str) -> PageTable:
    """Return what is on the front of quality and cost, over all budgets."""
    scale = Scale(metric)
    rows = frame[frame["front"] == "all budgets"] if "front" in frame else frame
    heads = (
        Head("configuration"),
        Head("cost in"),
        Head("spent", "number"),
        Head(f"test {scale.words}", "number"),
        Head("place"),
        Head("beside"),
    )
    made = [
        PageRow(
            (
                Cell(str(row[KEY])),
                Cell(str(row["cost"])),
                plain_number(row["spent"]),
                _metric(row["mean"], scale),
                Cell(str(row["place"]), None, "strong" if row["place"] == "front" else ""),
                Cell(str(row["beside"] or "")),
            )
        )
        for row in rows.to_dict("records")
    ]
    shown, left_out = shortened(made, 200, "results/pareto.csv")
    caption = (
        "Quality beside cost, the cheapest first. Front: better than all that costs no more, and the 95 % interval of "
        "the difference has no zero in it; by the means: better, but not surely."
    )
    return PageTable(
        "table-pareto", caption, heads, shown, "Find in the front" if len(made) > _FEW else "", left_out, len(made) > 14
    )


def equal_costs(frame: pd.DataFrame, metric: str) -> list[PageTable]:
    """Return what is reached once the same is spent: a table for each way to count, a column for each multiple."""
    scale, column = Scale(metric), f"validation_{metric}"
    if frame.empty or column not in frame:
        return []
    made = []
    for cost in dict.fromkeys(frame["cost"]):
        own = frame[(frame["cost"] == cost) & (frame["baseline"] == frame["baseline"].iloc[0])]
        multiples = sorted(set(own["multiple"]))
        values = {(row[KEY], row["multiple"]): row[column] for row in own.to_dict("records")}
        rows = [
            PageRow((Cell(str(name)), *(_metric(values.get((name, multiple)), scale) for multiple in multiples)))
            for name in dict.fromkeys(own[KEY])
        ]
        heads = (Head("configuration"), *(Head(f"{multiple:g} x", "number") for multiple in multiples))
        caption = (
            f"Validation {scale.words} once so many times the {cost} of {own['baseline'].iloc[0]} are spent, signals "
            "included; empty: not begun by then."
        )
        shown, left_out = shortened(rows, 200, "results/equal_cost.csv")
        filtered = f"Find at equal {cost}" if len(rows) > _FEW else ""
        made.append(PageTable(f"table-equal-{cost}", caption, heads, shown, filtered, left_out, len(rows) > 14))
    return made


def estimate(frame: pd.DataFrame) -> PageTable:
    """Return what was expected beside what it took."""
    heads = (Head("quantity"), *(Head(name, "number") for name in ("estimated", "low", "high", "measured")))
    rows = []
    for row in frame.to_dict("records"):
        words, size = _QUANTITIES.get(str(row["quantity"]), (str(row["quantity"]), 1.0))
        numbers = (row[name] / size for name in ("estimated", "low", "high", "measured"))
        rows.append(PageRow((Cell(words), *(number_cell(number, f"{number:,.3g}") for number in numbers))))
    return PageTable("table-estimate", "What the sweep was expected to take, and what it took.", heads, tuple(rows))


_QUANTITIES = {"wall_seconds": ("minutes", 60.0), "disk_bytes": ("MB of disk", 1e6), "cpu_hours": ("CPU-hours", 1.0)}


def trials(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return every planned run with its state and what it measured."""
    frame, scale, metric = sweep.trials, Scale(sweep.metric), sweep.metric
    crossed = bool((frame["fold"] > 0).any())
    heads = [
        *_identity_heads(sweep),
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
            *_identity(sweep, row, swatches),
            plain_number(row["seed"]),
            *([plain_number(row["fold"])] if crossed else []),
            Cell(str(row["status"]), None, _TONES.get(str(row["status"]), "")),
            *(_metric(row.get(f"{split}_{metric}"), scale) for split in ("test", "validation")),
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
        Head(str(column).replace("_", " "), "number" if is_number else "words")
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
        f"Find {name}" if len(kept) > _FEW else "",
        left_out,
        is_tall=len(kept) > 20,
    )


def _words(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return json.dumps(value) if isinstance(value, list | dict) else hide(str(value))


def _metric(value: Any, scale: Scale) -> Cell:
    return Cell("", "") if value is None or pd.isna(value) else number_cell(value, scale.value(float(value)))


def _identity_heads(sweep: Sweep) -> list[Head]:
    return [Head("strategy"), *(Head(name) for name in sweep.configurations.headers.values()), Head("budget", "number")]


def _identity(sweep: Sweep, row: Mapping[Any, Any], swatches: Mapping[str, Swatch]) -> list[Cell]:
    """Return the cells that say of what a row is."""
    found, name = sweep.configurations[row[KEY]].cells, str(row["strategy"])
    return [
        Cell(name, style=swatches.get(name)),
        *(Cell(str(found[key])) for key in sweep.configurations.headers),
        plain_number(row["budget"]),
    ]
