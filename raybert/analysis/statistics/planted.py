"""What strategies make of noise that was planted: how much of it they keep, and whether their scores tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.subsets import Subset
from raybert.tables import PLANTED
from raybert.tables.subsets import SUBSET_KEYS


def planted_kept(subsets: Iterable[Subset], kinds: Mapping[int, np.ndarray]) -> pd.DataFrame:
    """Return how much of the planted noise each strategy keeps: `PLANTED`.

    Examples count as in `class_shares`: what is chosen anew for every pass counts once for every pass.

    Args:
        subsets: of these pools.
        kinds: by fold, (n,) what was planted in each pool example; empty: nothing.
    """
    rows = []
    for subset in subsets:
        of_fold = kinds[subset.fold]
        counts = subset.counts
        if not counts.any():
            continue
        for kind in dict.fromkeys(value for value in of_fold.tolist() if value):
            is_planted = of_fold == kind
            rows.append(
                {
                    **{name: getattr(subset, name) for name in SUBSET_KEYS},
                    "kind": kind,
                    "num_planted": int(is_planted.sum()),
                    "kept": float(subset.chosen[is_planted].mean()),
                    "kept_of_all": float(subset.chosen.mean()),
                    "share": float(counts[is_planted].sum() / counts.sum()),
                    "pool_share": float(is_planted.mean()),
                    "auc": area_under_curve(subset.pool_scores, is_planted),
                }
            )
    if not rows:
        return typed_frame([], PLANTED)
    frame = pd.DataFrame(rows)
    groups = frame.groupby([*SUBSET_KEYS, "kind"], sort=False)
    means = groups[["num_planted", "kept", "kept_of_all", "share", "pool_share", "auc"]].mean()
    deviations = groups[["kept", "auc"]].std().add_suffix("_std")
    joined = means.join(deviations).assign(num_trials=groups.size()).reset_index()
    joined["ratio"] = joined["share"] / joined["pool_share"]
    return typed_frame(joined.to_dict("records"), PLANTED)


def area_under_curve(scores: np.ndarray | None, is_positive: np.ndarray) -> float:
    """Return the probability that a positive example has the higher score, ties counted half (Mann-Whitney U / n1 n0).

    Args:
        scores: (n,), NaN: none, left out; None: there are none.
        is_positive: (n,) bool.

    Returns:
        NaN where there is no pair.
    """
    if scores is None:
        return float("nan")
    is_known = ~np.isnan(scores)
    positive = is_positive[is_known]
    num_positive = int(positive.sum())
    num_pairs = num_positive * (len(positive) - num_positive)
    if not num_pairs:
        return float("nan")
    ranks = rankdata(scores[is_known].astype(np.float64))
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / num_pairs)
