"""Plots of a sweep, drawn without pyplot so that no global figure state is left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from raybert.analysis.frames import Sweep
from raybert.analysis.stats import best_configurations

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
"""Okabe & Ito's colours that colour-blind readers can tell apart, the strong ones first."""
_GREY = "#8a8a8a"
_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")


def draw_accuracy(sweep: Sweep) -> Figure:
    """Return test accuracy per strategy: mean, 95 % interval over seeds, and every seed as a faint dot."""
    best = best_configurations(sweep.summary).sort_values("test_accuracy_mean").reset_index(drop=True)
    figure = Figure(figsize=(7.2, 1.4 + 0.34 * len(best)), layout="constrained")
    axes = figure.subplots()
    budgets = sorted(best["budget"].unique())
    colours = {budget: PALETTE[i % len(PALETTE)] for i, budget in enumerate(budgets)}
    labels = []
    for y, row in enumerate(best.to_dict("records")):
        colour = colours[row["budget"]]
        seeds = _trials_of(sweep, row)["test_accuracy"]
        axes.plot(seeds, np.full(len(seeds), y), "o", color=colour, alpha=0.25, markersize=4, zorder=2)
        interval = [
            [row["test_accuracy_mean"] - row["test_accuracy_low"]],
            [row["test_accuracy_high"] - row["test_accuracy_mean"]],
        ]
        has_interval = not np.isnan(row["test_accuracy_low"])
        axes.errorbar(
            row["test_accuracy_mean"],
            y,
            xerr=interval if has_interval else None,
            fmt="s" if row["role"] == "proxy" else "D" if row["budget_kind"] == "none" else "o",
            color=colour,
            capsize=3,
            markersize=6,
            zorder=3,
        )
        labels.append(f"{row['strategy']}  ({row['budget']:,})")
    _reference_lines(axes, best)
    axes.set_yticks(range(len(best)), labels)
    axes.set_ylim(-0.7, len(best) - 0.3)
    axes.set_xlabel("test accuracy (mean and 95 % interval over seeds)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title("Which strategy finds the examples worth training on?", loc="left", fontsize=11)
    _tidy(axes, grid="x")
    return figure


def draw_samples_per_epoch(sweep: Sweep) -> Figure:
    """Return how many examples each pass of each strategy trained on, one line per strategy (mean over seeds).

    Strategies with the same line share a legend entry.
    """
    complete = sweep.trials[(sweep.trials["status"] == "complete") & (sweep.trials["role"] != "proxy")]
    lines: dict[tuple[float, ...], list[str]] = {}
    for (strategy, _), group in complete.groupby(["strategy", "budget"], sort=False):
        passes = [list(counts) for counts in group["samples_per_epoch"]]
        shortest = min(len(counts) for counts in passes)
        mean = tuple(np.mean([counts[:shortest] for counts in passes], axis=0))
        lines.setdefault(mean, []).append(str(strategy))
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.subplots()
    for i, (counts, names) in enumerate(lines.items()):
        axes.plot(
            np.arange(1, len(counts) + 1),
            counts,
            color=PALETTE[i % len(PALETTE)],
            linestyle=_DASHES[(i // len(PALETTE)) % len(_DASHES)],
            marker="o" if len(counts) <= 30 else None,
            markersize=4,
            label=_wrapped(names),
        )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch (pass over what the strategy chose)")
    axes.set_ylabel("examples in the pass")
    axes.set_title("How many examples does each pass train on?", loc="left", fontsize=11)
    if lines:
        axes.legend(frameon=False, fontsize=8)
    _tidy(axes, grid="y")
    return figure


def draw_learning_curves(sweep: Sweep) -> Figure:
    """Return validation accuracy against examples seen, mean over seeds."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    epochs = sweep.epochs[sweep.epochs["strategy"] != "proxy"]
    for i, ((strategy, budget), group) in enumerate(epochs.groupby(["strategy", "budget"], sort=False)):
        means = group.groupby("evaluation")[["examples_seen", "validation_accuracy"]].mean()
        axes.plot(
            means["examples_seen"],
            means["validation_accuracy"],
            color=PALETTE[i % len(PALETTE)],
            linestyle=_DASHES[(i // len(PALETTE)) % len(_DASHES)],
            label=f"{strategy} ({budget:,})",
        )
    axes.set_xlabel("examples seen (repetitions included)")
    axes.set_ylabel("validation accuracy (mean over seeds)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title("How fast does each strategy learn?", loc="left", fontsize=11)
    if len(epochs):
        axes.legend(frameon=False, fontsize=8, ncols=2)
    _tidy(axes, grid="y")
    return figure


def draw_overlap(overlap: pd.DataFrame) -> Figure:
    """Return a heat map of the Jaccard overlap between strategies, at the largest budget."""
    table = overlap[overlap["budget"] == overlap["budget"].max()]
    names = list(dict.fromkeys([*table["strategy_a"], *table["strategy_b"]]))
    matrix = np.eye(len(names))
    for row in table.to_dict("records"):
        a, b = names.index(row["strategy_a"]), names.index(row["strategy_b"])
        matrix[a, b] = matrix[b, a] = row["jaccard"]
    size = 2.6 + 0.5 * len(names)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (a, b), value in np.ndenumerate(matrix):
        axes.text(
            b,
            a,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="black" if value > 0.5 else "white",
        )
    figure.colorbar(image, ax=axes, label="Jaccard overlap (same seed)", shrink=0.8)
    axes.set_title("Do strategies choose the same examples?", loc="left", fontsize=11)
    return figure


def _reference_lines(axes: Axes, best: pd.DataFrame) -> None:
    for strategy, style in (("random", "--"), ("all", ":")):
        means = best.loc[best["strategy"] == strategy, "test_accuracy_mean"]
        if len(means) == 1:
            axes.axvline(float(means.iloc[0]), color=_GREY, linestyle=style, linewidth=1, zorder=1)


def _trials_of(sweep: Sweep, row: dict[Any, Any]) -> pd.DataFrame:
    trials = sweep.trials
    mask = (trials["status"] == "complete") & (trials["role"] == row["role"])
    for column in ("strategy", "budget", *sweep.grid_columns):
        value = row[column]
        mask &= trials[column].isna() if pd.isna(value) else trials[column] == value
    matching: pd.DataFrame = trials[mask]
    return matching


def _wrapped(names: list[str], per_line: int = 3) -> str:
    lines = [", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line)]
    return ",\n".join(lines)


def _tidy(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
