"""What a monitor saw of one run: gradients, updates, activations, attention, throughput."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raybert.analysis.plots.saving import remove_figure, save_figure
from raybert.analysis.plots.style import (
    ALERT,
    GREY,
    INK,
    add_heading,
    add_title,
    cell_grid,
    number_in_percent,
    number_log_ticks,
    place_legend,
    tidy,
    write_in_cell,
)
from raybert.files import reading_back
from raybert.sweeping.folder.trial_folder import REPAIR

_MODEL = "model"
_DEPTHS = "viridis"
_FEW_POINTS = 30
_ACTIVATIONS = {
    "activation_mean": "mean",
    "activation_std": "standard deviation",
    "activation_kurtosis": "excess kurtosis",
    "activation_dead_fraction": "dead units of the feed-forward block",
}
_RATES = {
    "examples_per_second": "examples / s",
    "tokens_per_second": "tokens / s",
    "padding_fraction": "padding",
    "mfu": "MFU",
}
_SHARES = {"activation_dead_fraction", "padding_fraction", "mfu"}


def write_monitor_plots(run_folder: str | Path, folder: str | Path) -> list[Path]:
    """Draw everything that a run's monitor measured, and return the files.

    Args:
        run_folder: holds `monitor.parquet`, and `monitor_spikes.parquet` if there were any.
        folder: where the plots go; those of quantities that were not measured are removed.
    """
    source = Path(run_folder)
    rows = _read(source / "monitor.parquet")
    spikes = _read(source / "monitor_spikes.parquet")
    draws: dict[str, tuple[str, Callable[[], Figure]]] = {
        "gradient_norm": ("gradient_norm", lambda: draw_gradient_norms(rows, spikes)),
        "update_ratio": ("update_ratio", lambda: draw_update_ratios(rows)),
        "activations": ("activation_mean", lambda: draw_activations(rows)),
        "attention_entropy": ("attention_entropy", lambda: draw_attention_entropy(rows)),
        "throughput": ("tokens_per_second", lambda: draw_throughput(rows)),
    }
    measured = set() if rows.empty else set(rows["quantity"])
    paths: list[Path] = []
    for name, (quantity, draw) in draws.items():
        path = Path(folder) / f"{name}.png"
        if quantity in measured:
            paths += save_figure(draw(), path)
        else:
            remove_figure(path)
    return paths


def draw_gradient_norms(rows: pd.DataFrame, spikes: pd.DataFrame | None = None) -> Figure:
    """Return the gradient's norm over steps: of the model as a line, of each layer as a heat map.

    Args:
        rows: as in `monitor.parquet`.
        spikes: as in `monitor_spikes.parquet`; their steps are marked.
    """
    table = _by_layer(rows, "gradient_norm")
    layers = [layer for layer in table.columns if layer != _MODEL]
    figure = Figure(figsize=(8.4, 3.4 + 0.24 * len(layers)), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, max(1.0, 0.24 * len(layers))])
    top.plot(table.index, table[_MODEL], color="black", **_points(len(table)))
    _scale_log(top, table[_MODEL])
    top.set_ylabel("norm of the model's gradient")
    if spikes is not None and len(spikes):
        for step in spikes["step"]:
            top.axvline(step, color=ALERT, linewidth=0.8, linestyle=":")
        place_legend(figure, [Line2D([], [], color=ALERT, linestyle=":", label="loss spike")])
    add_heading(figure, "How large are the gradients, before clipping?")
    tidy(top, grid="y")
    _draw_heat_map(figure, bottom, table[layers])
    bottom.set_xlabel("step")
    return figure


def draw_update_ratios(rows: pd.DataFrame) -> Figure:
    """Return how far each step moves the weights of each layer, relative to their norm."""
    table = _by_layer(rows, "update_ratio")
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    axes = figure.subplots()
    _draw_layers(figure, axes, table)
    _scale_log(axes, table)
    axes.set_xlabel("step")
    axes.set_ylabel("norm of the update / norm of the weights")
    add_heading(figure, "How far does a step move the weights?")
    tidy(axes, grid="y")
    return figure


def draw_activations(rows: pd.DataFrame) -> Figure:
    """Return mean, standard deviation, kurtosis and dead units of every layer over steps, a panel each."""
    figure = Figure(figsize=(10.6, 6.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (quantity, words) in zip(grid.flat, _ACTIVATIONS.items(), strict=True):
        _draw_layers(figure if axes is grid[0, 0] else None, axes, _by_layer(rows, quantity), legend_beside=grid)
        axes.set_title(words, loc="left", fontsize=10)
        if quantity in _SHARES:
            number_in_percent(axes.yaxis)
            axes.set_ylim(bottom=0)
        tidy(axes, grid="y")
    figure.supxlabel("step", fontsize=10)
    add_heading(figure, "What comes out of each layer?")
    return figure


def draw_attention_entropy(rows: pd.DataFrame) -> Figure:
    """Return the entropy of each attention head at the last measured step, and each layer's mean over steps."""
    chosen = rows[rows["quantity"] == "attention_entropy"]
    last = int(chosen["step"].max())
    heads = chosen[chosen["step"] == last].pivot(index="layer", columns="head", values="value")
    heads = heads.loc[_ordered_layers(chosen)]
    num_layers, num_heads = heads.shape
    size = (6.4 + 0.4 * num_heads, max(3.6, 1.4 + 0.34 * num_layers))
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[max(2.0, 0.4 * num_heads), 4.0])
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr,call-arg]
    _draw_heads(left, heads)
    add_title(left, f"step {last:,}")
    means = chosen.pivot_table(index="step", columns="layer", values="value", aggfunc="mean")
    _draw_layers(figure, right, means[_ordered_layers(chosen)])
    right.set_xlabel("step")
    right.set_ylabel("mean over heads (nats)")
    right.set_ylim(bottom=0)
    tidy(right, grid="y")
    add_heading(figure, "How widely do attention heads look? (entropy, nats)")
    return figure


def draw_throughput(rows: pd.DataFrame) -> Figure:
    """Return examples/s, tokens/s, padding share and, where the device's peak is known, MFU over steps."""
    chosen = rows[rows["quantity"].isin(_RATES)]
    table = chosen.pivot(index="step", columns="quantity", values="value").dropna(axis="columns", how="all")
    shown = [quantity for quantity in _RATES if quantity in table.columns]
    figure = Figure(figsize=(8.4, 0.8 + 1.5 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, quantity in zip(panels, shown, strict=True):
        axes.plot(table.index, table[quantity], color=INK, **_points(len(table)))
        axes.set_ylabel(_RATES[quantity])
        axes.set_ylim(bottom=0)
        if quantity in _SHARES:
            number_in_percent(axes.yaxis)
        tidy(axes, grid="y")
    panels[-1].set_xlabel("step")
    _number_steps(panels[-1], table)
    add_heading(figure, "How fast is training?")
    return figure


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame()
    with reading_back(path, REPAIR):
        return pd.read_parquet(path)


def _by_layer(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return values by step (rows) and layer (columns, in the order of the forward pass)."""
    chosen = rows[rows["quantity"] == quantity]
    return chosen.pivot(index="step", columns="layer", values="value")[_ordered_layers(chosen)]


def _ordered_layers(rows: pd.DataFrame) -> list[str]:
    return [str(layer) for layer in rows["layer"].unique()]


def _draw_layers(figure: Figure | None, axes: Axes, table: pd.DataFrame, legend_beside: Any = None) -> None:
    """Draw a line per layer, coloured by depth; what is no numbered layer is named in a legend."""
    numbered = [layer for layer in table.columns if layer.startswith("layer.")]
    norm = Normalize(0, max(1, len(numbered) - 1))
    points = _points(len(table))
    for i, layer in enumerate(numbered):
        axes.plot(table.index, table[layer], color=colormaps[_DEPTHS](norm(i)), **points)
    others = [layer for layer in table.columns if layer not in numbered]
    styles: dict[str, dict[str, Any]] = {
        _MODEL: {"color": "black", "linewidth": 1.8},
        "embeddings": {"color": GREY, "linestyle": "--"},
    }
    for layer in others:
        style = styles.get(layer, {"color": ALERT, "linestyle": "-."})
        axes.plot(table.index, table[layer], label=layer, **{**points, **style})
    _number_steps(axes, table)
    if others:
        axes.legend(frameon=False, fontsize=8)
    if figure is not None and numbered:
        bar = figure.colorbar(
            ScalarMappable(norm, _DEPTHS), ax=axes if legend_beside is None else legend_beside, fraction=0.04, pad=0.02
        )
        bar.set_label("layer", fontsize=9)
        bar.locator = MaxNLocator(integer=True, nbins=8)
        bar.ax.tick_params(labelsize=8)
        bar.update_ticks()


def _number_steps(axes: Axes, table: pd.DataFrame) -> None:
    """Number an axis of steps by whole ones, of a single step by that alone."""
    if len(table) == 1:
        axes.set_xticks(list(table.index))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _draw_heat_map(figure: Figure, axes: Axes, table: pd.DataFrame) -> None:
    """Draw values by layer (from top to bottom) and step, in colours of a logarithmic scale."""
    values = table.to_numpy().T
    positive = values[np.isfinite(values) & (values > 0)]
    norm = LogNorm(positive.min(), max(positive.max(), positive.min() * 1.01)) if len(positive) else Normalize()
    steps = table.index.to_numpy()
    half = (np.diff(steps).min() if len(steps) > 1 else 1) / 2
    extent = (steps[0] - half, steps[-1] + half, values.shape[0] - 0.5, -0.5)
    image = axes.imshow(values, aspect="auto", cmap=_DEPTHS, norm=norm, extent=extent, interpolation="nearest")
    axes.set_yticks(range(values.shape[0]), table.columns.to_list(), fontsize=8)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("norm", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if len(positive):
        number_log_ticks(bar.ax.yaxis)
    axes.tick_params(axis="x", labelsize=8)
    _number_steps(axes, table)


def _draw_heads(axes: Axes, heads: pd.DataFrame) -> None:
    """Draw the heads of every layer as cells with their numbers."""
    values = heads.to_numpy()
    image = axes.imshow(values, aspect="auto", cmap=_DEPTHS, vmin=0.0)
    for (row, column), value in np.ndenumerate(values):
        write_in_cell(axes, image, column, row, value, f"{value:.1f}")
    axes.set_yticks(range(values.shape[0]), heads.index.to_list(), fontsize=8)
    axes.set_xticks(range(values.shape[1]), [str(int(head)) for head in heads.columns], fontsize=8)
    axes.set_xlabel("head")
    cell_grid(axes, values.shape[1], values.shape[0])


def _points(count: int) -> dict[str, Any]:
    return {"linewidth": 1.2, "marker": "o" if count <= _FEW_POINTS else None, "markersize": 3, "clip_on": False}


def _scale_log(axes: Axes, values: pd.Series | pd.DataFrame) -> None:
    if np.nanmin(values.to_numpy(), initial=np.inf) > 0:
        axes.set_yscale("log")
        number_log_ticks(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
