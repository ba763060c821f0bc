"""The heat map of a cross-evaluation: models against corpora, coloured by how much worse than the best they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from raybert.analysis.plots.saving import save_figure
from raybert.analysis.plots.style import add_heading, cell_grid, distinct_short_names, write_in_cell

_WORDS = {"masked": "perplexity of masked words", "pseudo": "pseudo-perplexity"}


def write_matrix_plots(perplexities: pd.DataFrame, unit: str, folder: Path) -> list[Path]:
    """Write `perplexity_<kind>.png` of every kind, the other formats beside it, and return their paths."""
    paths = []
    for kind in perplexities["kind"].unique():
        path = folder / f"perplexity_{kind}.png"
        save_figure(draw_matrix(perplexities[perplexities["kind"] == kind], unit), path)
        paths.append(path)
    return paths


def draw_matrix(perplexities: pd.DataFrame, unit: str) -> Figure:
    """Return models (rows) against corpora (columns): perplexity with its interval, the best of each corpus framed.

    Args:
        perplexities: rows of one kind.
        unit: piece or word.
    """
    models, corpora = list(perplexities["model"].unique()), list(perplexities["corpus"].unique())
    value, low, high = (
        perplexities.pivot(index="model", columns="corpus", values=f"{unit}_{name}").loc[models, corpora].to_numpy()
        for name in ("perplexity", "low", "high")
    )
    worse = value / value.min(axis=0)  # than the best model of the corpus
    names = distinct_short_names([str(model) for model in models], 24)
    width = max(4.8, 1.35 * len(corpora) + 0.075 * max(map(len, names)) + 1.6)
    figure = Figure(figsize=(width, 0.62 * len(models) + 1.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.log(worse), cmap="YlOrRd", vmin=0, vmax=max(float(np.log(worse).max()), 0.05), aspect="auto")
    for row in range(len(models)):
        for column in range(len(corpora)):
            text = f"{_short(value[row, column])}\n{_short(low[row, column])} to {_short(high[row, column])}"
            write_in_cell(axes, image, column, row, float(np.log(worse[row, column])), text, fontsize=7.5)
    cell_grid(axes, len(corpora), len(models))
    for column, row in enumerate(value.argmin(axis=0)):
        frame = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor="black", linewidth=1.4)
        axes.add_patch(frame)
    axes.set_xticks(range(len(corpora)), distinct_short_names([str(corpus) for corpus in corpora], 18))
    axes.set_yticks(range(len(models)), names)
    axes.set_xlabel("measured on")
    axes.set_ylabel("model")
    ticks = np.linspace(0, image.norm.vmax or 0.05, 4)
    bar = figure.colorbar(image, ax=axes, ticks=ticks, shrink=0.9)
    bar.ax.set_yticklabels([f"{np.exp(tick):.2f}x" for tick in ticks], fontsize=8)
    bar.set_label("of the best (framed)", fontsize=8)
    words = _WORDS[str(perplexities["kind"].iloc[0])]
    add_heading(figure, f"How surprised is each model? ({words}, per {unit}, 95 %)")
    return figure


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
