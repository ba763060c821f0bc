"""What became of single examples: in which share of the passes each was trained on, and its last loss there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raybert.analysis.statistics.subsets import Subset


@dataclass(frozen=True)
class OfExamples:
    """A value of every pool example, as the mean over the seeds of a strategy at a budget.

    Attributes:
        strategy: its label.
        budget: examples.
        budget_kind: `distinct`, `per_epoch` or `none`.
        values: (n,) float32, NaN: none of its trials has one.
        num_trials: behind the means.
    """

    strategy: str
    budget: int
    budget_kind: str
    values: np.ndarray
    num_trials: int = 1

    @property
    def has_budget(self) -> bool:
        """Whether its strategy has one; without it most train on the whole pool."""
        return self.budget_kind != "none"


def kept_shares(subsets: Iterable[Subset]) -> list[OfExamples]:
    """Return how often each example was kept: the share of the passes in which it was, 0..1, as the mean over seeds.

    A subset of the budget kind `distinct` is the same in every pass: an example is in it (1) or not (0).

    Args:
        subsets: of one pool.
    """
    found = [OfExamples(s.strategy, s.budget, s.budget_kind, _share_of_passes(s).astype(np.float32)) for s in subsets]
    return mean_over_trials(found)


def _share_of_passes(subset: Subset) -> np.ndarray:
    if subset.budget_kind == "distinct":
        return subset.chosen
    # With a budget every pass has that many; without one some example is in every pass, or no pass would be the first.
    total = subset.passes.sum()
    number = round(total / subset.budget) if subset.has_budget else subset.passes.max(initial=0)
    return np.asarray(subset.passes / max(1, number)).clip(0, 1)


def mean_over_trials(values: Iterable[OfExamples]) -> list[OfExamples]:
    """Return the means of values of one strategy and budget, over the trials in which an example has one."""
    sums: dict[tuple[str, int, str], np.ndarray] = {}
    counts: dict[tuple[str, int, str], np.ndarray] = {}
    trials: dict[tuple[str, int, str], int] = {}
    for each in values:
        key = (each.strategy, each.budget, each.budget_kind)
        known = ~np.isnan(each.values)
        sums[key] = sums.get(key, 0) + np.where(known, each.values, 0)
        counts[key] = counts.get(key, 0) + known
        trials[key] = trials.get(key, 0) + 1
    means = []
    for key, total in sums.items():
        mean = np.divide(total, counts[key], out=np.full(len(total), np.nan), where=counts[key] > 0)
        means.append(OfExamples(*key, mean.astype(np.float32), trials[key]))
    return means


def without_draws(kept: Sequence[OfExamples]) -> list[OfExamples]:
    """Return what is not drawn by chance (`random`, `random_epoch`, ...); all of it where there is nothing else."""
    own = [each for each in kept if not each.strategy.startswith("random")]
    return own or list(kept)


def by_keepers(kept: Sequence[OfExamples], hardness: np.ndarray | None = None) -> np.ndarray:
    """Return positions of examples, those first that are kept most often over strategies; of equals the hardest.

    Random draws have no say: sorted by themselves, too, they would seem to agree with the others.

    Args:
        kept: of `kept_shares`, at one budget.
        hardness: (n,) higher = harder, NaN last.
    """
    total = np.sum([each.values for each in without_draws(kept)], axis=0)
    harder = np.zeros(len(total)) if hardness is None else hardness
    return np.lexsort((-np.nan_to_num(harder, nan=-np.inf), -np.round(total, 6)))


def by_hardness(hardness: np.ndarray) -> np.ndarray:
    """Return positions of examples, the hardest first; those without a value last."""
    return np.argsort(-np.nan_to_num(hardness, nan=-np.inf), kind="stable")


def in_bins(values: np.ndarray, most: int) -> np.ndarray:
    """Return (bins,) means of neighbours without NaN, in at most that many bins of nearly equal size.

    Args:
        values: (n,) in the order that they are shown.
        most: bins; fewer values stay as they are.
    """
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).round().astype(int)[:-1]
    known = ~np.isnan(values)
    counts = np.add.reduceat(known.astype(np.int64), edges)
    sums = np.add.reduceat(np.where(known, values, 0).astype(np.float64), edges)
    return np.asarray(np.divide(sums, counts, out=np.full(most, np.nan), where=counts > 0))


def share_kept_by_none(kept: Sequence[OfExamples]) -> float:
    """Return the share of the examples that no strategy has kept in any trial, random draws aside."""
    return float((np.max([each.values for each in without_draws(kept)], axis=0) == 0).mean())
