"""Which groups of words models prefer: the share of prompts that prefer each, with its interval, beside chance."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from raybert.analysis.plots.saving import save_figure
from raybert.analysis.plots.style import (
    GREY,
    PALETTE,
    add_heading,
    distinct_short_names,
    number_in_percent,
    place_legend,
    tidy,
)

_MARKERS = "osD^vP"
_MOST_KINDS = 12
_BETWEEN = 0.22
"""How far apart the groups of a row stand, in rows."""


def write_probe_plots(groups: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `<probe>.png` of every probe, the other formats beside it, and return their paths."""
    paths = []
    for number, (probe, rows) in enumerate(groups.groupby("probe", sort=False)):
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in str(probe))
        path = folder / f"{number + 1:02d}_{safe}.png"
        save_figure(draw_preferences(rows), path)
        paths.append(path)
    return paths


def draw_preferences(rows: pd.DataFrame) -> Figure:
    """Return a row per model (and kind of pairs): the share of prompts that prefer each group, with its 95 % interval.

    Of two groups one is drawn: the other is the rest. Full markers differ from chance (Holm, 5 %).

    Args:
        rows: of one probe; of more than 12 kinds the first ones are drawn.
    """
    groups = list(dict.fromkeys(rows["group"]))
    shown = groups[:1] if len(groups) == 2 else groups
    kinds = list(dict.fromkeys(rows["kind"]))[:_MOST_KINDS]
    lines = [(kind, model) for kind in kinds for model in dict.fromkeys(rows["model"])]
    models = distinct_short_names([str(model) for _, model in lines], 26)
    names = [m if kind == "all" else f"{m}, {kind}" for m, (kind, _) in zip(models, lines, strict=True)]
    if len(kinds) == 1:
        names = distinct_short_names([str(model) for _, model in lines], 34)
    figure = Figure(figsize=(6.4, 1.5 + (0.22 + 0.16 * len(shown)) * len(lines)), layout="constrained")
    axes = figure.subplots()
    chance = float(rows["chance"].iloc[0])
    axes.axvline(chance, color=GREY, linestyle="--", linewidth=1)
    entries = []
    for number, group in enumerate(shown):
        colour, marker = PALETTE[number % len(PALETTE)], _MARKERS[number % len(_MARKERS)]
        of_group = rows[rows["group"] == group].set_index(["kind", "model"])
        for place, line in enumerate(lines):
            row = of_group.loc[line]
            y = place + _BETWEEN * (number - (len(shown) - 1) / 2)
            axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
            face = colour if row["holm_p"] < 0.05 else "white"
            axes.plot(
                row["preferred_fraction"], y, marker, color=colour, markerfacecolor=face, markersize=6, clip_on=False
            )
        entries += axes.plot([], [], marker, color=colour, label=str(group))
    axes.set_yticks(range(len(lines)), names)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    number_in_percent(axes.xaxis)
    tidy(axes, "x")
    prompts = int(rows["prompts"].iloc[0])
    what = f"{groups[0]} over {groups[1]}" if len(groups) == 2 else "each group"
    axes.set_xlabel(f"share of {prompts:,} prompts that prefer {what} (dashed: chance; full: differs from it)")
    if len(shown) > 1:
        place_legend(figure, entries)
    add_heading(figure, f"What do models fill in? ({rows['probe'].iloc[0]})")
    return figure
