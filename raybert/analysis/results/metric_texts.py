"""Metrics of validation and test, mean and deviation, as tables of words: for the terminal, and ready to paste."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from raybert.analysis.markdown import words as in_markdown
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import range_words
from raybert.display import Row, TextTable
from raybert.tables import BEST_F1, MOST_PROBABLE

METRICS_TEXT = "results/metrics.md"
FIVE = ("accuracy", "precision", "recall", "f1", "auc_roc")
"""The five classic metrics of two classes."""
OF_LABELS = ("micro_f1", "macro_f1", "map", "subset_accuracy", "hamming")
OF_NUMBERS = ("rmse", "mae", "r2", "pearson", "spearman")
_OF_MORE = {"precision": "macro_precision", "recall": "macro_recall", "f1": "macro_f1"}
_SPLITS = ("validation", "test")
_Cells = Mapping[tuple[str, str, str, str], str]
"""(configuration, split, decision, metric) -> `81.2 ± 1.3`."""


def five_metrics(means: pd.DataFrame) -> tuple[str, ...]:
    """Return the five metrics: those of class 1 of two classes, else their means over classes."""
    measured = {*means["metric"]}
    for five in (OF_LABELS, OF_NUMBERS):
        if five[-1] in measured:
            return five
    is_binary = (means["metric"] == "f1").any()
    return FIVE if is_binary else tuple(_OF_MORE.get(name, name) for name in FIVE)


def five_table(means: pd.DataFrame) -> TextTable:
    """Return the five metrics of every configuration, a row for each split: what a terminal shows.

    Args:
        means: `Sweep.metrics`.
    """
    names, cells = five_metrics(means), _cells(means)
    rows = []
    for configuration in means[KEY].unique():
        for split in _splits_of(means):
            values = tuple(_narrow(cells.get((configuration, split, MOST_PROBABLE, name), "")) for name in names)
            if any(values):
                rows.append(Row((str(configuration), split, *values), "dim" if split == "validation" else ""))
    words = (Scale(name).words.split(" (")[0] for name in names)
    return TextTable(("strategy", "split", *words), tuple(rows), left=frozenset({0, 1}))


def _splits_of(means: pd.DataFrame) -> list[str]:
    """Return the splits that are measured: validation and test first, then further test sets."""
    return list(dict.fromkeys([*_SPLITS, *map(str, means["split"])]))


def _narrow(words: str) -> str:
    """Return `81.2±1.3`: five of them, and two columns of names, have 80 letters."""
    return words.replace(" ± ", "±")


def spread_words(means: pd.DataFrame, replicates: str) -> str:
    """Return what the numbers are, as a sentence without an end."""
    counts = [int(number) for number in means["num_replicates"].unique()]
    if not counts:
        return "no trial is complete"
    over = range_words(counts, replicates)
    one = f"one {replicates.rstrip('s')}: values without a deviation"
    return one if counts == [1] else f"mean ± standard deviation over {over}"


def metrics_markdown(name: str, means: pd.DataFrame, replicates: str) -> str:
    """Return all metrics as Markdown: the five of validation and test side by side, then every one per configuration.

    Args:
        name: of the sweep.
        means: `Sweep.metrics`.
        replicates: what means are over: `seeds` or `folds`.
    """
    lines = [f"# Metrics of {in_markdown(name)}", "", f"Shares in percent; {spread_words(means, replicates)}.", ""]
    lines += _side_by_side(means)
    cells = _cells(means)
    for configuration in means[KEY].unique():
        lines += ["", f"## {in_markdown(configuration)}", "", *_every_one(str(configuration), means, cells)]
    return "\n".join(lines) + "\n"


def _side_by_side(means: pd.DataFrame) -> Iterator[str]:
    names, cells = five_metrics(means), _cells(means)
    columns = [(name, split) for name in names for split in _splits_of(means)]
    yield _line(["strategy", *(f"{Scale(name).words}, {split}" for name, split in columns)])
    yield _line(["---", *("---:" for _ in columns)])
    for configuration in means[KEY].unique():
        values = (cells.get((configuration, split, MOST_PROBABLE, name), "") for name, split in columns)
        yield _line([in_markdown(configuration), *values])


def _every_one(configuration: str, means: pd.DataFrame, cells: _Cells) -> Iterator[str]:
    own = means[means[KEY] == configuration]
    kinds = [(split, decision) for decision in (MOST_PROBABLE, BEST_F1) for split in _splits_of(own)]
    kinds = [kind for kind in kinds if ((own["split"] == kind[0]) & (own["decision"] == kind[1])).any()]
    yield _line(["metric", *(split + (f", {decision}" if decision == BEST_F1 else "") for split, decision in kinds)])
    yield _line(["---", *("---:" for _ in kinds)])
    for metric in own["metric"].unique():
        values = (cells.get((configuration, *kind, metric), "") for kind in kinds)
        yield _line([_words(metric), *values])


def _words(metric: str) -> str:
    return "threshold" if metric == "threshold" else in_markdown(Scale(metric).words)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(means: pd.DataFrame) -> _Cells:
    columns = (means[name] for name in (KEY, "split", "decision", "metric", "mean", "std"))
    return {tuple(key): mean_words(str(key[3]), mean, std) for *key, mean, std in zip(*columns, strict=True)}


def mean_words(metric: str, mean: float, std: float) -> str:
    """Return `81.2 ± 1.3`; of one replicate the value alone."""
    if metric == "threshold":
        return f"{mean:.3f}" + ("" if pd.isna(std) else f" ± {std:.3f}")
    words = Scale(metric).value
    return words(mean) + ("" if pd.isna(std) else f" ± {words(std)}")
