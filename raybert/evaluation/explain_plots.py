"""What a model looks at, as pictures: chunks that queries read, pieces that attention heads attend to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raybert.analysis.plots.style import (
    NEGATIVE,
    POSITIVE,
    add_heading,
    cell_grid,
    number_in_percent,
    save_figure,
    short_name,
    tidy,
    write_in_cell,
)
from raybert.evaluation.explain import Explanation
from raybert.evaluation.explain_tokens import TokenExplanation

_CELL, _LETTER = 0.3, 0.075
_MOST_CHUNKS = 80
MOST_PIECES = 64
"""More pieces than these have no room for their names."""
_MOST_HEADS = 16
_ATTENTION = "Blues"


def write_explanation_plots(found: Explanation | TokenExplanation, folder: Path) -> list[Path]:
    """Draw every document, and the overlap of queries, and return the files."""
    figures: dict[str, Figure] = {}
    if isinstance(found, Explanation):
        for probs, (position, rows) in zip(found.probs, found.documents.groupby("position", sort=False), strict=True):
            figures[f"retrieval_{rows['split'].iloc[0]}_{position}"] = draw_retrieval(rows, found.label_names, probs)
        if len(found.overlap):
            figures["query_overlap"] = draw_query_overlap(found.overlap)
    else:
        for name, text, pieces, attention in zip(found.names, found.texts, found.pieces, found.attention, strict=True):
            title = f"{name}: {short_name(' '.join((text if isinstance(text, str) else text[0]).split()), 40)}"
            picture = draw_attention(pieces, attention[found.layer], found.layer, title)
            figures[f"attention_{name.replace(' ', '_')}"] = picture
    return [path for name, figure in figures.items() for path in save_figure(figure, folder / f"{name}.png")]


def draw_retrieval(document: pd.DataFrame, label_names: Sequence[str], probs: np.ndarray) -> Figure:
    """Return what each query of an IRIS model read of one document, and what it added to the logit.

    A row is a query, a column a chunk in the order of the document; chunks that no query retrieved are left white, and
    of a long document the chunks with the most attention are shown.

    Args:
        document: rows of `explain_documents` of one document.
        label_names: class number -> name.
        probs: (C,) predicted.
    """
    first = document.iloc[0]
    chunks = document[document["term"] == "chunk"]
    attention = chunks.pivot_table(index="query", columns="chunk", values="attention", aggfunc="sum").astype(float)
    strongest = attention.sum().nlargest(_MOST_CHUNKS).index
    attention = attention[sorted(strongest)]
    added = chunks.groupby("query")["contribution"].sum().reindex(attention.index)
    width, height = _CELL * len(attention.columns), _CELL * len(attention)
    figure = Figure(figsize=(max(6.4, width + 3.6), height + 1.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[max(width, 2.8), 1.4])
    image = left.imshow(attention, cmap=_ATTENTION, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(attention.to_numpy()):
        if value >= 0.1:
            write_in_cell(left, image, column, row, value, f"{100 * value:.0f}")
    cell_grid(left, len(attention.columns), len(attention))
    _number(left, [str(chunk) for chunk in attention.columns], [str(query) for query in attention.index])
    retrieved = chunks["chunk"].nunique()
    more = f": the {len(attention.columns)} most attended of {retrieved}" if len(attention.columns) < retrieved else ""
    left.set_xlabel(f"chunk of the document (of those retrieved{more})")
    left.set_ylabel("query")
    right.barh(range(len(added)), added, color=[POSITIVE if value >= 0 else NEGATIVE for value in added])
    right.axvline(0, color="black", linewidth=0.8)
    right.set_xlabel("added to the logit")
    tidy(right, grid="x")
    right.xaxis.set_major_locator(MaxNLocator(3))
    best = int(probs.argmax())
    add_heading(
        figure,
        f"What do the queries read? Attention in %, {first['split']} {first['position']}: predicted "
        f"{short_name(label_names[best])} ({probs[best]:.2f}), logit of {short_name(label_names[int(first['label'])])}",
    )
    return figure


def draw_query_overlap(overlap: pd.DataFrame) -> Figure:
    """Return a heat map of the queries: below the diagonal what two retrieve alike, above it their cosine.

    Args:
        overlap: rows of `QUERY_OVERLAP`.
    """
    size = int(overlap["other"].max()) + 1
    shares, cosines = np.full((size, size), np.nan), np.full((size, size), np.nan)
    one, other = overlap["query"].to_numpy(), overlap["other"].to_numpy()
    shares[other, one], cosines[one, other] = overlap["jaccard"], overlap["cosine"]
    side = 0.42 * size
    figure = Figure(figsize=(max(5.2, side + 2.6), max(3.2, side + 1.7)), layout="constrained")
    axes = figure.subplots()
    below = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    above = axes.imshow(cosines, cmap="PuOr_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(shares):
        if not np.isnan(value):
            write_in_cell(axes, below, column, row, value, f"{100 * value:.0f}")
    for (row, column), value in np.ndenumerate(cosines):
        if not np.isnan(value):
            write_in_cell(axes, above, column, row, value, f"{value:.2f}".replace("0.", ".", 1))
    cell_grid(axes, size, size)
    _number(axes, [str(query) for query in range(size)], [str(query) for query in range(size)])
    axes.set_xlabel("query")
    axes.set_ylabel("query")
    chance = overlap["jaccard_by_chance"].iloc[0]
    rest = "" if np.isnan(chance) else f" (by chance about {100 * chance:.0f} %)"
    add_heading(figure, "Do the queries look for different things?")
    bars = ((below, f"below: shared chunks{rest}"), (above, "above: cosine"))
    for image, words in bars:
        bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03)
        bar.set_label(words, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    number_in_percent(figure.axes[1].yaxis)
    return figure


def draw_attention(pieces: Sequence[str], attention: np.ndarray, layer: int, title: str) -> Figure:
    """Return how the heads of one layer attend within a text: their mean large, each of them small.

    Args:
        pieces: (m,) word pieces; of a long text the first ones are drawn.
        attention: (heads, m, m), row by row what a piece attends to; rows sum to 1.
        layer: number of the layer, from 0.
        title: what the text is.
    """
    shown = min(len(pieces), MOST_PIECES)
    attention, names = attention[:, :shown, :shown], [short_name(piece, 16) for piece in pieces[:shown]]
    heads = min(len(attention), _MOST_HEADS)
    columns = min(4, heads)
    rows = -(-heads // columns)
    letter = max(map(len, names), default=1) * _LETTER
    side = max(2.8, 0.19 * shown)
    figure = Figure(figsize=(side + letter + 1.4 + 1.25 * columns, max(side + letter + 0.9, 1.3 * rows + 0.9)))
    figure.set_layout_engine("constrained")
    large, small = figure.subfigures(1, 2, squeeze=False, width_ratios=[side + letter + 1.2, 1.25 * columns])[0]
    axes = large.subplots()
    image = axes.imshow(attention.mean(axis=0), cmap=_ATTENTION, vmin=0)
    axes.set_xticks(range(shown), names, rotation=90, fontsize=7)
    axes.set_yticks(range(shown), names, fontsize=7)
    axes.tick_params(length=0)
    axes.set_ylabel("this piece attends to ...")
    axes.set_title("mean over the heads", fontsize=9, loc="left")
    bar = large.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    number_in_percent(bar.ax.yaxis)
    for head, each in enumerate(small.subplots(rows, columns, squeeze=False).ravel()):
        each.set_axis_off()
        if head < heads:
            each.imshow(attention[head], cmap=_ATTENTION, vmin=0)
            each.set_title(f"head {head}", fontsize=7)
    cut = "" if shown == len(pieces) else f"; the first {shown} of {len(pieces)} pieces"
    cut += "" if heads == len(attention) else f"; {heads} of {len(attention)} heads alone"
    add_heading(figure, f"What does layer {layer} attend to? {title}{cut}")
    return figure


def _number(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    step = -(-len(columns) // 40)
    axes.set_xticks(range(0, len(columns), step), columns[::step], fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
