"""The browser of examples: what each strategy kept and dropped, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from raybert.analysis.report.layout import Cell, Group, Head, PageRow, PageTable, Section, number_cell, plain_number
from raybert.analysis.report.swatches import Swatch

_NO_TEXTS = (
    "Their texts are not in this folder: who runs a sweep adds them when it ends, so the same sweep command again has "
    "them. Ids, labels and scores are shown."
)
_UNWANTED = "Their texts are left out, as `sweep.report.texts` of the sweep file says."


def section(examples: pd.DataFrame, swatches: Mapping[str, Swatch], *, wanted: bool, label: str = "label") -> Section:
    """Return the part of the page about examples.

    Args:
        examples: `EXAMPLES`, with texts where they are known.
        swatches: by strategy.
        wanted: whether texts may be shown.
        label: what the label of an example is called.
    """
    has_texts = "text" in examples and bool(examples["text"].notna().any())
    words = [
        "The hardest and the easiest examples that each strategy kept and dropped, of its first seed, its smallest "
        "budget and the best point of the grid. Look at them: noise, duplicates and wrong labels show here first."
    ]
    words += [] if has_texts else [_UNWANTED if not wanted else _NO_TEXTS]
    groups = [
        _group(number, str(name), rows, swatches, label, has_texts=has_texts)
        for number, (name, rows) in enumerate(examples.groupby("strategy", sort=False))
    ]
    if not groups:
        return Section("examples", "Examples")
    # One is open, so that everybody sees what there is.
    shown = next((number for number, group in enumerate(groups) if group.table.columns[1].title == "score"), 0)
    groups[shown] = replace(groups[shown], is_open=True)
    return Section("examples", "Examples", tuple(words), groups=tuple(groups))


def _group(
    number: int, name: str, rows: pd.DataFrame, swatches: Mapping[str, Swatch], label_head: str, *, has_texts: bool
) -> Group:
    """Return the examples of a strategy."""
    with_score, with_loss = rows["score"].notna().any(), rows["loss"].notna().any()
    with_pair = "text_pair" in rows and rows["text_pair"].notna().any()
    several = bool((rows["num_passes"] > 1).any())
    heads = [
        Head("part"),
        *([Head("score", "number")] if with_score else []),
        *([Head("loss in all", "number")] if with_loss else []),
        Head(label_head),
        *([Head("text", "text")] if has_texts else []),
        *([Head("second text", "text")] if with_pair and has_texts else []),
        Head("length", "number"),
        *([Head("passes", "number")] if several else []),
        Head("kept by", "number"),
        Head("example"),
    ]
    made = []
    for row in rows.to_dict("records"):
        label = str(row["label_name"])
        cells = [
            Cell(str(row["part"])),
            *([_short(row["score"])] if with_score else []),
            *([_short(row["loss"])] if with_loss else []),
            Cell(label),
            *([Cell(_text(row["text"]))] if has_texts else []),
            *([Cell(_text(row["text_pair"]))] if with_pair and has_texts else []),
            plain_number(row["length"]),
            *([plain_number(row["num_passes"])] if several else []),
            number_cell(row["kept_by"], f"{row['kept_by']} of {row['kept_by_of']}"),
            Cell(str(row["example_id"])),
        ]
        made.append(PageRow(tuple(cells), keys=(("part", str(row["part"])), ("label", label))))
    first = rows.iloc[0]
    order = "by its score" if with_score else "by their loss in a trial of all" if with_loss else "in no order"
    caption = f"Examples of {name}, {order}; “kept by” counts the strategies that keep the example."
    table = PageTable(f"table-examples-{number}", caption, tuple(heads), tuple(made))
    words = f"budget {int(first['budget']):,}, trial {first['trial_id']}"
    return Group(name, words, table, swatches.get(name) or swatches.get(name.partition(",")[0]))


def _short(value: float) -> Cell:
    return number_cell(value, f"{value:.3g}")


def _text(text: object) -> str:
    return text if isinstance(text, str) else ""
