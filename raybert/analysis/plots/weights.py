"""The weights of a model's layers before and after training: their norms, how far they moved, their histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raybert.analysis.plots.style import GREY, INK, add_heading, number_in_percent, place_legend, tidy

_BEFORE = "#8a8a8a"


@dataclass(frozen=True)
class LayerWeights:
    """What a picture needs of a layer.

    Attributes:
        name: `embeddings`, `layer.0`, ..., `head`.
        norm: of all its weights after training.
        norm_before: training; None: not known, here and below.
        norm_of_change: of the difference.
        edges: (bins + 1,) of the histograms, the same for all layers.
        counts: (bins,) of its weight matrices after training.
        counts_before: likewise before.
    """

    name: str
    norm: float
    norm_before: float | None
    norm_of_change: float | None
    edges: np.ndarray
    counts: np.ndarray
    counts_before: np.ndarray | None


def draw_weights(layers: Sequence[LayerWeights]) -> Figure:
    """Return norms, relative change and histograms of the weights, a row per layer, the first one lowest."""
    figure = Figure(figsize=(9.6, max(3.2, 0.34 * len(layers) + 1.5)), layout="constrained")
    norms, change, ridges = figure.subplots(1, 3, sharey=True, width_ratios=[1.0, 0.9, 1.6])
    for row, layer in enumerate(layers):
        if layer.norm_before is not None and layer.norm_of_change is not None:
            norms.plot([layer.norm_before, layer.norm], [row, row], color=GREY, linewidth=1)
            norms.plot(layer.norm_before, row, "o", color="white", markeredgecolor=_BEFORE)
            if layer.norm_before:
                change.barh(row, layer.norm_of_change / layer.norm_before, height=0.6, color=INK)
        norms.plot(layer.norm, row, "o", color=INK, markersize=4)
        _draw_ridge(ridges, row, layer)
    norms.set_yticks(range(len(layers)), [layer.name for layer in layers], fontsize=8)
    norms.set_ylim(-0.6, len(layers))
    norms.set_xlabel("norm of the weights", fontsize=8)
    change.set_xlabel("norm of the change / norm before", fontsize=8)
    number_in_percent(change.xaxis)
    ridges.set_xlabel("weights of the matrices", fontsize=8)
    for axes in (norms, change, ridges):
        tidy(axes, grid="x")
        axes.tick_params(axis="x", labelsize=7.5)
    for axes in (norms, change):
        axes.set_xlim(left=0)
    entries = [Line2D([], [], linestyle="", marker="o", color=INK, label="after training")]
    if any(layer.norm_before is not None for layer in layers):
        entries.insert(
            0, Line2D([], [], linestyle="", marker="o", color=_BEFORE, markerfacecolor="white", label="before")
        )
    place_legend(figure, entries)
    add_heading(figure, "What has training done to the weights?")
    return figure


def _draw_ridge(axes: Axes, row: int, layer: LayerWeights) -> None:
    """Draw the histograms of a layer to its own height."""
    middles = (layer.edges[1:] + layer.edges[:-1]) / 2
    before = layer.counts_before
    top = max(float(layer.counts.max()), 1.0 if before is None else float(before.max()), 1.0)
    axes.fill_between(middles, row, row + 0.85 * layer.counts / top, color=INK, alpha=0.4, linewidth=0)
    if before is not None:
        axes.plot(middles, row + 0.85 * before / top, color="black", linewidth=0.8)
