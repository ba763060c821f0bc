"""What was selected: how far strategies agree, and how a subset differs from the pool."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

_GROUP = ["budget", "seed", "fold"]


def overlap_table(selections: pd.DataFrame) -> pd.DataFrame:
    """Return agreement of every two strategies that choose once, at the same budget and seed, averaged over seeds.

    Columns: budget, strategy_a, strategy_b, jaccard (of the sets), spearman (of the scores of examples that both
    chose; NaN under three of them or without scores), num_seeds.

    Args:
        selections: `Sweep.selections()`.
    """
    once = selections[selections["epoch"] == -1]
    rows = []
    for (budget, seed, fold), group in once.groupby(_GROUP):
        chosen = {name: part.drop_duplicates("position") for name, part in group.groupby("strategy", sort=False)}
        for a, b in combinations(chosen, 2):
            rows.append(
                {
                    "budget": budget,
                    "seed": seed,
                    "fold": fold,
                    "strategy_a": a,
                    "strategy_b": b,
                    "jaccard": jaccard(chosen[a]["position"].to_numpy(), chosen[b]["position"].to_numpy()),
                    "spearman": _score_correlation(chosen[a], chosen[b]),
                }
            )
    columns = ["budget", "strategy_a", "strategy_b"]
    if not rows:
        return pd.DataFrame(columns=[*columns, "jaccard", "spearman", "num_seeds"])
    groups = pd.DataFrame(rows).groupby(columns, sort=False)
    table = groups[["jaccard", "spearman"]].mean()
    table["num_seeds"] = groups["seed"].nunique()
    return table.reset_index()


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Return the shared share of the union of two sets of positions."""
    shared = len(np.intersect1d(one, other))
    return shared / (len(one) + len(other) - shared)


def class_shares(selections: pd.DataFrame, pool: pd.DataFrame) -> pd.DataFrame:
    """Return the share of every class in each strategy's subset, beside that in the pool.

    Columns: strategy, budget, label, share, pool_share; means over seeds and passes.
    """
    labels = pool["label"].to_numpy()
    in_pool = pd.Series(labels).value_counts(normalize=True)
    rows = []
    for (strategy, budget), group in selections.groupby(["strategy", "budget"], sort=False):
        shares = pd.Series(labels[group["position"].to_numpy()]).value_counts(normalize=True)
        rows += [
            {
                "strategy": strategy,
                "budget": budget,
                "label": label,
                "share": float(shares.get(label, 0.0)),
                "pool_share": float(share),
            }
            for label, share in in_pool.sort_index().items()
        ]
    return pd.DataFrame(rows, columns=["strategy", "budget", "label", "share", "pool_share"])


def length_quantiles(selections: pd.DataFrame, pool: pd.DataFrame) -> pd.DataFrame:
    """Return the 10, 50 and 90 % quantiles of length (word pieces) of each subset; strategy `(pool)` is the pool."""
    lengths = pool["length"].to_numpy()
    parts = [("(pool)", len(pool), lengths)]
    for (strategy, budget), group in selections.groupby(["strategy", "budget"], sort=False):
        parts.append((str(strategy), int(str(budget)), lengths[group["position"].to_numpy()]))
    rows = [
        {
            "strategy": strategy,
            "budget": budget,
            **dict(zip(("q10", "q50", "q90"), _quantiles(part), strict=True)),
        }
        for strategy, budget, part in parts
    ]
    return pd.DataFrame(rows)


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(q) for q in np.quantile(values, [0.1, 0.5, 0.9])]


def _score_correlation(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return Spearman's rank correlation of two strategies' scores on the examples that both chose."""
    both = one.merge(other, on="position", suffixes=("_a", "_b")).dropna(subset=["score_a", "score_b"])
    if len(both) < 3 or both["score_a"].nunique() < 2 or both["score_b"].nunique() < 2:
        return float("nan")
    return float(both["score_a"].corr(both["score_b"], method="spearman"))
