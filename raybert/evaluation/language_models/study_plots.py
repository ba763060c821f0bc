"""How models of a study learn: perplexity and masked accuracy on their own validation, with a band over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from raybert.analysis.plots.saving import save_figure
from raybert.analysis.plots.style import (
    PALETTE,
    add_heading,
    distinct_short_names,
    number_in_percent,
    place_legend,
    short_counts,
    tidy,
)

CURVES = "training_curves.png"
_LINES = ("-", "--", ":", "-.")
_MEASURES = {"validation_perplexity": "perplexity (log)", "validation_masked_accuracy": "masked accuracy"}


def write_training_curves(evaluations: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `training_curves.png`, the other formats beside it, and return its path; none: nothing was evaluated."""
    measured = [name for name in _MEASURES if name in evaluations and evaluations[name].notna().any()]
    if not measured:
        return []
    save_figure(draw_training_curves(evaluations), folder / CURVES)
    return [folder / CURVES]


def draw_training_curves(evaluations: pd.DataFrame) -> Figure:
    """Return perplexity and masked accuracy against word pieces seen: a line per model, the mean over its seeds.

    Args:
        evaluations: a row per model, seed and evaluation: `tokens`, `validation_perplexity` and
            `validation_masked_accuracy`.
    """
    measured = [name for name in _MEASURES if name in evaluations and evaluations[name].notna().any()]
    models = list(dict.fromkeys(evaluations["model"]))
    rows = -(-len(models) // 3)
    figure = Figure(figsize=(3.7 * len(measured) + 0.6, 3.3 + 0.2 * rows), layout="constrained")
    panels = figure.subplots(1, len(measured), squeeze=False)[0]
    for axes, measure in zip(panels, measured, strict=True):
        for number, model in enumerate(models):
            look = {"color": PALETTE[number % len(PALETTE)], "linestyle": _LINES[number // len(PALETTE) % len(_LINES)]}
            _draw(axes, evaluations[evaluations["model"] == model], measure, look)
        axes.set_ylabel(_MEASURES[measure])
        axes.set_xlabel("word pieces read")
        short_counts(axes.xaxis)
        tidy(axes, "y")
        if measure == "validation_perplexity":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            number_in_percent(axes.yaxis)
    entries = []
    for number, name in enumerate(distinct_short_names([str(model) for model in models], 24)):
        colour, line = PALETTE[number % len(PALETTE)], _LINES[number // len(PALETTE) % len(_LINES)]
        entries += panels[0].plot([], [], color=colour, linestyle=line, label=name)
    place_legend(figure, entries, 3)
    several = evaluations.groupby("model")["seed"].nunique().max() > 1
    band = " (band: all seeds)" if several else ""
    add_heading(figure, f"How well does each model guess its own corpus?{band}")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, measure: str, look: dict[str, Any]) -> None:
    """Draw the mean over seeds of every evaluation, and the range of seeds around it."""
    at = rows.groupby("evaluation").agg(
        tokens=("tokens", "mean"), mean=(measure, "mean"), low=(measure, "min"), high=(measure, "max")
    )
    axes.fill_between(at["tokens"], at["low"], at["high"], color=look["color"], alpha=0.18, linewidth=0)
    axes.plot(at["tokens"], at["mean"], linewidth=1.5, marker="o", markersize=3, **look)
