"""What one trial selected, as arrays over the pool; and how subsets differ from the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.tables import SELECTED_CLASSES, SELECTED_LENGTH_QUANTILES, SELECTED_LENGTHS, Table
from raybert.tables.subsets import QUANTILES, SUBSET_KEYS

POOL = "(pool)"
Pools = np.ndarray | Mapping[int, np.ndarray]
"""(n,) values of the pool, or those of every fold's own."""
_MAX_BINS = 20


@dataclass(frozen=True)
class Subset:
    """What one trial selected.

    Attributes:
        strategy: its label.
        budget: examples.
        budget_kind: `distinct`, `per_epoch` or `none`.
        seed: of the sweep.
        fold: of the cross-validation.
        passes: (n,) int64, in how many passes of the trial each pool example was; chosen once before training is 1.
        pool_scores: (n,) the score of every pool example (higher = harder, NaN: none), or None.
    """

    strategy: str
    budget: int
    budget_kind: str
    seed: int
    fold: int
    passes: np.ndarray
    pool_scores: np.ndarray | None = None

    @property
    def has_budget(self) -> bool:
        """Whether its strategy has one; without it most train on the whole pool."""
        return self.budget_kind != "none"

    @property
    def chosen(self) -> np.ndarray:
        """(n,) bool: what was trained on at least once."""
        return self.passes > 0

    @property
    def counts(self) -> np.ndarray:
        """(n,) how often each example counts in a description of the subset.

        With the budget kind `distinct` the subset is a set, however often a pass repeats it. Otherwise every pass
        is a choice of its own: a strategy that begins with the whole pool would else never differ from it.
        """
        return self.chosen.astype(np.int64) if self.budget_kind == "distinct" else self.passes


def first_of_each(subsets: Sequence[Subset]) -> list[Subset]:
    """Return one subset of each strategy, for pictures of them: of fold 0, its first seed and the smallest budget.

    What trains on the whole pool anyway is left out.
    """
    own = [subset for subset in subsets if subset.fold == 0 and subset.has_budget]
    own.sort(key=lambda subset: (subset.seed, subset.budget))
    first: dict[str, Subset] = {}
    for subset in own:
        first.setdefault(subset.strategy, subset)
    order = list(dict.fromkeys(subset.strategy for subset in subsets))
    return [first[name] for name in order if name in first]


def class_shares(subsets: Iterable[Subset], labels: Pools, label_names: Sequence[str] = ()) -> pd.DataFrame:
    """Return how often every class is in each strategy's subsets, beside the pool: `SELECTED_CLASSES`.

    With the budget kinds `per_epoch` and `none` an example counts once for every pass.

    Args:
        subsets: of this pool, or of the pools of several folds.
        labels: (n,) class numbers, with folds by fold; an empty mapping: unknown, no rows.
        label_names: by class number; without them the number is the name.
    """
    pools = _by_fold(labels)
    if not pools:
        return typed_frame([], SELECTED_CLASSES)
    classes = np.unique(np.concatenate([*pools.values()]))
    members = {fold: np.searchsorted(classes, values) for fold, values in pools.items()}
    in_pool = _mean_pool(members, len(classes))
    parts = []
    for key, counts in _mean_counts(subsets, members, len(classes)).items():
        share, pool_share = _shares(counts), _shares(in_pool)
        with np.errstate(divide="ignore"):
            ratio = np.log2(share / pool_share)
        parts.append(
            pd.DataFrame(
                {
                    **_key_columns(key),
                    "label": classes,
                    "label_name": [label_names[c] if c < len(label_names) else str(c) for c in classes],
                    "num_examples": counts,
                    "share": share,
                    "pool_num_examples": in_pool,
                    "pool_share": pool_share,
                    "log2_ratio": ratio,
                }
            )
        )
    return _joined(parts, SELECTED_CLASSES)


def length_histogram(subsets: Iterable[Subset], lengths: Pools) -> pd.DataFrame:
    """Return a histogram of length for each strategy's subsets, beside the pool: `SELECTED_LENGTHS`.

    All have the same bins; examples count as in `class_shares`.

    Args:
        subsets: of this pool, or of the pools of several folds.
        lengths: (n,) word pieces, with folds by fold.
    """
    pools = _by_fold(lengths)
    edges = length_edges(np.concatenate([*pools.values()]))
    bins = {fold: np.searchsorted(edges, values, side="right") - 1 for fold, values in pools.items()}
    in_pool = _mean_pool(bins, len(edges) - 1)
    parts = [
        pd.DataFrame(
            {
                **_key_columns(key),
                "low": edges[:-1],
                "high": edges[1:],
                "num_examples": counts,
                "share": _shares(counts),
                "pool_num_examples": in_pool,
                "pool_share": _shares(in_pool),
            }
        )
        for key, counts in _mean_counts(subsets, bins, len(edges) - 1).items()
    ]
    return _joined(parts, SELECTED_LENGTHS)


def length_edges(lengths: np.ndarray) -> np.ndarray:
    """Return whole-numbered edges of at most 20 bins of equal width that hold all lengths."""
    low, high = int(lengths.min()), int(lengths.max())
    width = -(-(high - low + 1) // _MAX_BINS)
    return np.arange(low, high + width + 1, width)


def length_quantiles(subsets: Iterable[Subset], lengths: Pools) -> pd.DataFrame:
    """Return mean and quantiles of length, those of the pool first: `SELECTED_LENGTH_QUANTILES`.

    A quantile is the shortest length that at least this share of the examples does not exceed, over all trials of
    a strategy at a budget (counted as in `class_shares`).

    Args:
        subsets: of this pool, or of the pools of several folds.
        lengths: (n,) word pieces, with folds by fold.
    """
    pools = _by_fold(lengths)
    values = np.unique(np.concatenate([*pools.values()]))
    places = {fold: np.searchsorted(values, own) for fold, own in pools.items()}
    in_pool = _mean_pool(places, len(values))
    counts = {(POOL, round(in_pool.sum()), "none"): in_pool}
    counts |= _mean_counts(subsets, places, len(values))
    rows = []
    for (strategy, budget, kind), weights in counts.items():
        cumulative = np.cumsum(weights) / weights.sum()
        # A share that is reached exactly must not be missed by rounding.
        at = {name: values[np.searchsorted(cumulative, q - 1e-12)] for name, q in QUANTILES.items()}
        mean = float(values @ weights / weights.sum())
        rows.append({"strategy": strategy, "budget": budget, "budget_kind": kind, "mean": mean, **at})
    return typed_frame(rows, SELECTED_LENGTH_QUANTILES)


def _by_fold(values: Pools) -> Mapping[int, np.ndarray]:
    return values if isinstance(values, Mapping) else {0: values}


def _mean_pool(groups: Mapping[int, np.ndarray], num_groups: int) -> np.ndarray:
    """Return (num_groups,) how many pool examples each group has: the mean over folds."""
    counts = np.stack([np.bincount(members, minlength=num_groups) for members in groups.values()])
    return np.asarray(counts.mean(axis=0))


def _mean_counts(
    subsets: Iterable[Subset], groups: Mapping[int, np.ndarray], num_groups: int
) -> dict[tuple[str, int, str], np.ndarray]:
    """Return by (strategy, budget, kind) how many examples of each group were chosen: the mean over trials."""
    sums: dict[tuple[str, int, str], np.ndarray] = {}
    num_trials: dict[tuple[str, int, str], int] = {}
    for subset in subsets:
        if not subset.counts.any():
            continue
        key = (subset.strategy, subset.budget, subset.budget_kind)
        counts = np.bincount(groups[subset.fold], weights=subset.counts, minlength=num_groups)
        sums[key] = sums.get(key, 0) + counts
        num_trials[key] = num_trials.get(key, 0) + 1
    return {key: total / num_trials[key] for key, total in sums.items()}


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / counts.sum()
    return shares


def _key_columns(key: tuple[str, int, str]) -> dict[str, str | int]:
    return dict(zip(SUBSET_KEYS, key, strict=True))


def _joined(parts: list[pd.DataFrame], table: Table) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[table.order()] if parts else typed_frame([], table)
