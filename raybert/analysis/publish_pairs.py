"""Pairs of strategies as a picture each and one table: those of `sweep.compare`, and those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from raybert.analysis.results.pair import Pair
from raybert.analysis.results.strategy_texts import names_of_files
from raybert.analysis.results.sweep import Sweep


def find_pairs(sweep: Sweep, asked: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return the pairs to publish, those of the sweep file that have finished trials first.

    All that a sweep compares by default would be a picture per strategy.

    Args:
        sweep: the results.
        asked: besides those of the file.

    Raises:
        SweepError: one that is asked for is not in the sweep, or has no finished trials.
    """
    wanted = [sweep.pair(*labels) for labels in dict.fromkeys(asked)]
    compared = set(zip(sweep.comparisons["baseline"], sweep.comparisons["strategy"], strict=True))
    of_file = [sweep.pair(*labels) for labels in sweep.pairs if labels in compared]
    return list({(pair.baseline, pair.strategy): pair for pair in (*of_file, *wanted)}.values())


def picture_of_pair(sweep: Sweep, pair: Pair) -> Path:
    """Return where the .png of a pair is."""
    labels = dict.fromkeys([*map(str, sweep.summary()["strategy"]), pair.baseline, pair.strategy])
    names = names_of_files(labels)
    return sweep.folder / "plots" / f"pair_{names[pair.baseline]}_{names[pair.strategy]}.png"


def pairs_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return the rows of all of them, one after the other."""
    return pd.concat([pair.curves for pair in pairs], ignore_index=True)


def write_pair_pictures(sweep: Sweep, pairs: Sequence[Pair]) -> None:
    """Draw each pair, and delete the pictures of those that are not among them."""
    from raybert.analysis import plots  # matplotlib is slow to import

    drawn = set()
    for pair in pairs:
        path = picture_of_pair(sweep, pair)
        plots.save_figure(plots.draw_pair(sweep, pair), path)
        drawn |= {path, path.with_suffix(".svg")}
    for pattern in ("pair_*.png", "pair_*.svg"):
        for path in set((sweep.folder / "plots").glob(pattern)) - drawn:
            path.unlink()
