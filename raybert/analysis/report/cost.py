"""What the sweep cost and what that bought: the part of the page beside the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from raybert.analysis.report.layout import (
    Block,
    Cell,
    Head,
    PageRow,
    PageTable,
    Picture,
    Section,
    number_cell,
    plain_number,
    shortened,
)
from raybert.analysis.report.swatches import Swatch
from raybert.analysis.report.tables import FEW, identity_cells, identity_heads, metric_cell
from raybert.analysis.results.comparison import count_words, fraction_words
from raybert.analysis.results.cost_words import cost_lines, is_whole, share_words, spent_of
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY
from raybert.analysis.statistics.cost_to_reach import SHARES
from raybert.analysis.statistics.pareto import FRONT, OVERALL
from raybert.analysis.statistics.scales import Scale, interval_words
from raybert.analysis.statistics.verdicts import difference_words
from raybert.tables import PRETRAINING_EXAMPLES, PRETRAINING_SECONDS

_MOST = 200
_TALL = 14
_MOST_NAMES = 6
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
_PRETRAINING = {
    "total_examples": (PRETRAINING_EXAMPLES, "pretraining"),
    "total_seconds": (PRETRAINING_SECONDS, "pretraining s"),
}
"""Of a sum -> what is in front of it where the sweep has pretrained encoders."""
_COUNTED = {"examples": "forward passes", "seconds": "seconds"}
_FOUND = {
    "costs": "costs",
    "pareto-examples": "in the front",
    "pareto-seconds": "in the front of seconds",
    "reach": "who comes near all",
    "curves": "curves",
    "equal-examples": "at equal passes",
    "equal-seconds": "at equal seconds",
}
"""Table -> what the box above it finds."""
_QUANTITIES = {"wall_seconds": ("minutes", 60.0), "disk_bytes": ("MB of disk", 1e6), "cpu_hours": ("CPU-hours", 1.0)}


def section(
    sweep: Sweep, estimated: pd.DataFrame, pictures: tuple[Picture, ...], swatches: Mapping[str, Swatch]
) -> Section:
    """Return the part of the page about cost: what is to say of it, a picture, tables; seconds are behind lines.

    Args:
        sweep: with a finished trial.
        estimated: `ESTIMATE`.
        pictures: of cost.
        swatches: by strategy.
    """
    front, equal = sweep.pareto(), equal_costs(sweep, swatches)
    tables = [
        costs(sweep, swatches),
        pareto(front, sweep.metric, swatches),
        cost_to_reach(sweep.cost_to_reach, swatches),
        budget_curve(sweep, swatches),
        *equal[:1],
    ]
    folded = [
        ("Quality beside seconds", pareto(front, sweep.metric, swatches, "seconds")),
        *((f"At equal {table.id.rpartition('-')[2]}", table) for table in equal[1:]),
        ("What was expected, and what it took", estimate(estimated)),
    ]
    first = tuple(picture for picture in pictures if picture.file == "plots/cost.png")
    return Section(
        "cost",
        "Cost",
        words=tuple(cost_lines(sweep)),
        first_pictures=first,
        tables=tuple(tables),
        pictures=tuple(picture for picture in pictures if picture not in first),
        blocks=tuple(Block(title, table=table) for title, table in folded if table.rows),
    )


def costs(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return what every configuration cost, in examples and in seconds, as means."""
    summary = sweep.summary()
    known = summary[summary["num_complete"] > 0].sort_values("total_examples_mean", kind="stable")
    titles: dict[str, str] = {}
    for name, title in _COSTS.items():
        part, words = _PRETRAINING.get(name, ("", ""))
        titles |= {part: words} if f"{part}_mean" in known else {}
        titles[name] = title
    heads = [*identity_heads(sweep), *(Head(title, "number") for title in titles.values()), Head("of all", "number")]
    rows = []
    for row in known.to_dict("records"):
        cells = [*identity_cells(sweep, row, swatches)]
        for name in titles:
            value = row[f"{name}_mean"]
            words = f"{value:,.1f}" if name.endswith("seconds") else count_words(value)
            cells.append(number_cell(value, "" if math.isnan(value) else words))
        share = row.get("total_examples_fraction_of_all")
        cells.append(number_cell(share, "" if share is None else fraction_words(share)))
        rows.append(PageRow(tuple(cells), "dim" if row["role"] == "proxy" else ""))
    caption = (
        "What a configuration cost, as means over its trials. Examples are forward passes of single examples: “in all” "
        "counts one that is trained on three times, and has the signals of its strategy, proxies included; “of all” is "
        "that as a share of what training on all examples took. Seconds are those of the machine that it ran on."
    )
    if len(titles) > len(_COSTS):
        caption += (
            " “Pretraining” is what the encoder was pretrained on, as examples of the pool's mean length; it is in “in "
            "all”, three times as well, as if it was done for each trial alone."
        )
    return _table("costs", caption, heads, rows, "results/summary.csv")


def pareto(frame: pd.DataFrame, metric: str, swatches: Mapping[str, Swatch], cost: str = "examples") -> PageTable:
    """Return what is on the front of quality and a cost, over all budgets."""
    scale, counted = Scale(metric), _COUNTED[cost]
    rows = frame[(frame["front"] == OVERALL) & (frame["cost"] == cost)]
    heads = (
        Head("configuration"),
        Head(counted, "number"),
        Head(f"test {scale.words}", "number"),
        Head("place"),
        Head("difference [95 %]", "number"),
        Head("to the best that costs no more"),
    )
    made = [
        PageRow(
            (
                _named(row, swatches),
                number_cell(row["spent"], count_words(row["spent"]) if cost == "examples" else f"{row['spent']:,.1f}"),
                metric_cell(row["mean"], scale),
                Cell(str(row["place"]), None, "strong" if row["place"] == FRONT else ""),
                number_cell(row["difference"], difference_words(row)),
                Cell(str(row["beside"] or "")),
            )
        )
        for row in rows.to_dict("records")
    ]
    caption = (
        f"Quality beside {counted}, the cheapest first. On the front is what does better than all that costs no more. "
        "By the means: the 95 % interval of the difference has zero in it, or is not known, so that this is not sure."
    )
    return _table(f"pareto-{cost}", caption, heads, made, "results/pareto.csv")


def cost_to_reach(frame: pd.DataFrame, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return what configurations have spent when they are near full training; those that never are in the caption."""
    several = frame["full_configuration"].nunique() > 1
    heads = [Head("configuration"), *([Head("beside")] if several else [])]
    for share in SHARES:
        heads += [Head(f"{100 * share:.0f} %: {title}", "number") for title in ("runs", "passes", "of all", "s")]
    found: list[tuple[bool, float, PageRow]] = []
    never: list[str] = []
    for (name, full), own in frame.groupby([KEY, "full_configuration"], sort=False):
        known = {(row["share"], row["cost"]): row for row in own.to_dict("records")}
        if not any(row["num_reached"] for row in known.values()):
            never.append(f"{name} (beside {full})" if several else str(name))
            continue
        cells = [_named(own.iloc[0], swatches), *([Cell(str(full))] if several else [])]
        for share in SHARES:
            cells += _reached(known.get((share, "examples")), known.get((share, "seconds")))
        first = known.get((SHARES[0], "examples"))
        is_last = first is None or not is_whole(first)
        found.append((is_last, math.inf if first is None else spent_of(first), PageRow(tuple(cells))))
    found.sort(key=lambda part: (part[0], math.inf if math.isnan(part[1]) else part[1]))
    left_out = ""
    if never:
        more = f"; {len(never) - _MOST_NAMES} more" if len(never) > _MOST_NAMES else ""
        left_out = f"Never there: {'; '.join(never[:_MOST_NAMES])}{more}."
    caption = (
        "What has been spent when a run first gets to 95 and 99 % of what all reaches on validation, also as a share "
        "of what all takes to get there: means over runs, with a 95 % interval, where every one gets there, else "
        "medians (~), empty where half or more never do. Passes are forward passes of examples; training counts 3."
    )
    rows = [row for *_, row in found]
    return _table("reach", caption, heads, rows, "results/cost_to_reach.csv", left_out)


def _reached(examples: Mapping[Any, Any] | None, seconds: Mapping[Any, Any] | None) -> Iterator[Cell]:
    """Yield runs that are there, forward passes, their share of full training, and seconds."""
    if examples is None:
        yield from [Cell("", "")] * 4
        return
    about = "" if is_whole(examples) else "~"
    yield number_cell(examples["num_reached"], f"{examples['num_reached']} of {examples['num_pairs']}")
    yield number_cell(spent_of(examples), f"{about}{count_words(spent_of(examples))}")
    share = examples["spent_fraction_of_all" if is_whole(examples) else "spent_fraction_of_all_median"]
    yield number_cell(share, f"{about}{share_words(examples)}")
    took = None if seconds is None else spent_of(seconds)
    yield number_cell(took, f"{about}{took:,.1f}" if took is not None else "")


def budget_curve(sweep: Sweep, swatches: Mapping[str, Swatch]) -> PageTable:
    """Return which strategy is best over all budgets; no rows where there is one."""
    scale = Scale(sweep.metric)
    frame = sweep.budget_curve() if sweep.configurations.budgets_vary else pd.DataFrame({"area": []})
    frame = frame.sort_values("area", ascending=scale.sign < 0, kind="stable")
    headers = {key: name for key, name in sweep.configurations.headers.items() if key != BUDGET_KEY}
    heads = (
        Head("strategy"),
        *(Head(name) for name in headers.values()),
        Head("budgets"),
        Head(f"mean test {scale.words} [95 %]", "number"),
        Head("difference [95 %]", "number"),
        Head("to"),
        Head("Holm's p", "number"),
        Head(sweep.replicates, "number"),
    )
    made = []
    for row in frame.to_dict("records"):
        area = "" if pd.isna(row["area"]) else scale.value(row["area"])
        cells = (
            _named(row, swatches, "strategy"),
            *(Cell("" if pd.isna(row[key]) else str(row[key])) for key in headers),
            Cell(_budget_words(row["budgets"])),
            number_cell(row["area"], area + interval_words(row["area_low"], row["area_high"], scale)),
            number_cell(row["difference"], difference_words(row)),
            Cell(str(row["baseline"] or "")),
            number_cell(row["holm_p"], f"{row['holm_p']:.3g}"),
            plain_number(row["num_replicates"]),
        )
        made.append(PageRow(cells))
    caption = (
        f"Over all budgets: the mean height of each strategy's curve of test {scale.words} over the logarithm of the "
        "budget, and its paired difference to that of a baseline."
    )
    return _table("curves", caption, heads, made, "results/budget_curve.csv")


def _budget_words(budgets: Sequence[int]) -> str:
    if len(budgets) > _MOST_NAMES:
        return f"{budgets[0]:,} to {budgets[-1]:,} ({len(budgets)})"
    return ", ".join(f"{budget:,}" for budget in budgets)


def equal_costs(sweep: Sweep, swatches: Mapping[str, Swatch]) -> list[PageTable]:
    """Return what is reached once the same is spent: a table for each way to count, a column for each multiple.

    What has no budget stands beside the baseline of every budget, and has a row for each.
    """
    frame, column = sweep.equal_cost, f"validation_{sweep.metric}"
    if frame.empty or column not in frame:
        return []
    scale, baseline = Scale(sweep.metric), str(frame["baseline"].iloc[0])
    one = ["budget", *(name for name in sweep.grid_columns if name in frame), KEY]
    frame = frame[frame["baseline"] == baseline]
    several = frame["budget"].nunique() > 1
    made = []
    for cost in dict.fromkeys(frame["cost"]):
        own = frame[frame["cost"] == cost]
        multiples = sorted(set(own["multiple"]))
        heads = [Head("configuration"), *([Head(f"budget of {baseline}", "number")] if several else [])]
        rows = []
        for _, group in own.groupby(one, sort=False, dropna=False):
            values = dict(zip(group["multiple"], group[column], strict=True))
            first = group.iloc[0]
            beside = [plain_number(first["budget"])] if several else []
            reached = (metric_cell(values.get(multiple), scale) for multiple in multiples)
            rows.append(PageRow((_named(first, swatches), *beside, *reached)))
        caption = (
            f"Validation {scale.words} once so many times the {_COUNTED[cost]} of {baseline} are spent, signals "
            "included; empty: not begun by then."
        )
        heads += [Head(f"{multiple:g} x", "number") for multiple in multiples]
        made.append(_table(f"equal-{cost}", caption, heads, rows, "results/equal_cost.csv"))
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


def _named(row: Mapping[Any, Any] | pd.Series[Any], swatches: Mapping[str, Swatch], name: str = KEY) -> Cell:
    """Return the cell that names a row, with the marker of its strategy."""
    return Cell(str(row[name]), style=swatches.get(str(row["strategy"])))


def _table(
    name: str, caption: str, heads: Sequence[Head], rows: Sequence[PageRow], file: str, left_out: str = ""
) -> PageTable:
    """Return a table of at most so many rows, with a box that finds them where they are many.

    Args:
        name: for its id.
        caption: what it shows.
        heads: its columns.
        rows: all of them.
        file: that has all of them.
        left_out: what else it does not show.
    """
    shown, cut = shortened(rows, _MOST, file)
    words = " ".join(part for part in (left_out, cut) if part)
    find = f"Find {_FOUND[name]}" if len(rows) > FEW else ""
    return PageTable(f"table-{name}", caption, tuple(heads), shown, find, words, len(rows) > _TALL)
