"""The best configuration of every strategy as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table

from raybert.analysis.search import Search
from raybert.analysis.search.importances import OVERALL
from raybert.analysis.search.labels import arm_names, short_parameter_names
from raybert.tables.search import ARM_KEYS
from raybert.terminal.console import text

_WIDTH = 80
_NAME = 16
"""Letters of the first column, below which a long name is folded."""


def search_table(search: Search, width: int = _WIDTH) -> Group:
    """Return the best configuration of every strategy, best first, and whether selection changes it.

    `gain` is how much better it is than the median complete suggestion; `ended` counts complete + pruned + failed.
    The most important parameter has the range of all suggestions that may be the best; of the others as many are
    shown as the terminal holds, in 80 columns at most.

    Args:
        search: what was found.
        width: of the terminal.
    """
    best = search.best.sort_values("value", ascending=not search.maximize, kind="stable")
    names = arm_names(search.pruning)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("strategy", overflow="fold", min_width=_NAME)
    columns, num_hidden = _fitting(_columns(search, best), min(width, _WIDTH) - _NAME - 1)
    for header, _ in columns:
        table.add_column(text(header), justify="right", no_wrap=True)
    arms = best[list(ARM_KEYS)].itertuples(index=False, name=None)
    for arm, *cells in zip(arms, *(cells for _, cells in columns), strict=True):
        table.add_row(*map(text, (names[arm], *cells)))
    notes = [f"note: {note}" for note in search.notes]
    if num_hidden:
        notes.insert(0, f"{num_hidden} more column{'s' if num_hidden > 1 else ''}: results/best_configurations.csv")
    heading = f"best configuration per strategy (validation {search.metric}, {len(search.suggestions):,} suggestions)"
    return Group(text(heading, "bold"), table, *(text(note, "dim") for note in notes))


Column = tuple[str, list[str]]


def _columns(search: Search, best: pd.DataFrame) -> list[Column]:
    """Return headers and cells, the most wanted ones first."""
    pruning = search.pruning.set_index(list(ARM_KEYS)).loc[
        list(best[list(ARM_KEYS)].itertuples(index=False, name=None))
    ]
    counts = [pruning[f"num_{state}"] for state in ("complete", "pruned", "failed")]
    parameters = _by_importance(search)
    values: list[Column] = [
        (header, [_cell(value) for value in best[name]])
        for name, header in zip(parameters, short_parameter_names(parameters), strict=True)
    ]
    first: list[Column] = [
        (search.metric, [f"{value:.4f}" for value in best["value"]]),
        ("gain", [f"{gain:+.4f}" for gain in best["gain_over_median"]]),
        ("ended", ["+".join(str(count) for count in row) for row in zip(*counts, strict=True)]),
    ]
    if parameters and search.parameters[parameters[0]].is_number:
        near = search.near_best[search.near_best["parameter"] == parameters[0]].set_index(list(ARM_KEYS))
        rows = near.reindex(pruning.index)
        ranges = [f"{low:.2g}-{high:.2g}" for low, high in zip(rows["low"], rows["high"], strict=True)]
        values.insert(1, ("near the best", ranges))
    return [*first, *values]


def _by_importance(search: Search) -> list[str]:
    """Return the parameters of several strategies by importance, where that is known, else in the file's order."""
    best = search.best
    common = [name for name in search.parameters if best[name].notna().sum() > (len(best) > 1)]
    table = search.importances
    known = table[table["strategy"] == OVERALL].set_index("parameter")["importance"]
    return sorted(common, key=lambda name: -known.get(name, 0.0) if pd.notna(known.get(name)) else 0.0)


def _fitting(columns: Sequence[Column], width: int) -> tuple[list[Column], int]:
    """Return the columns that fit, in order, and how many are left out."""
    kept: list[Column] = []
    for header, cells in columns:
        needed = max(map(len, [header, *cells])) + 1
        if needed <= width:
            kept, width = [*kept, (header, cells)], width - needed
    return kept, len(columns) - len(kept)


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
