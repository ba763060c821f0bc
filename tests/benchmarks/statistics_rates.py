"""How often verdicts are wrong where nothing differs (A/A), and how often they find what is there (power).

Families of ten strategies and one baseline are drawn, `compare` decides as in a sweep (without test examples, whose
confirmation only takes verdicts away), and what is counted is:

- A/A: families in which any strategy is "better than random" though none is. All share the baseline, deviations differ,
  and 5 % of runs have collapsed.
- power: the share of strategies found better that are better by a multiple of the deviation of the paired difference;
  all ten are, or one of ten. The baseline is shared.
- at the margin's edge: families in which any strategy is said to be "as good", or to make "no difference", though all
  lose just the margin; and the share of strategies of which it is found where there is no difference at all.

About a minute.

    python -m tests.benchmarks.statistics_rates
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from raybert.analysis.statistics.decision import BETTER, BY_FLIPS_FROM, EVIDENCE, decide, sign_flip_p
from raybert.analysis.statistics.intervals import LEVEL, holm, paired_p
from raybert.analysis.statistics.margins import equivalence_p, non_inferiority_p

FAMILIES = 2_000
STRATEGIES = 10
COLLAPSED = 0.05
MARGIN = 0.005


def equal_families(families: int, seeds: int, generator: np.random.Generator) -> np.ndarray:
    """Return (families, strategies, seeds) differences of runs that do not differ, 5 % of them collapsed."""
    deviations = generator.uniform(0.005, 0.03, (families, STRATEGIES + 1, 1))
    runs = 0.8 + deviations * generator.standard_normal((families, STRATEGIES + 1, seeds))
    runs[generator.random(runs.shape) < COLLAPSED] = 0.5
    return np.asarray(runs[:, 1:] - runs[:, :1])


def shifted_families(families: int, seeds: int, shift: float, generator: np.random.Generator) -> np.ndarray:
    """Return the same of strategies that are all better, by `shift` deviations of the paired difference."""
    runs = generator.standard_normal((families, STRATEGIES + 1, seeds)) / np.sqrt(2)
    return np.asarray(runs[:, 1:] - runs[:, :1] + shift)


def families_at_the_edge(
    families: int, seeds: int, generator: np.random.Generator, collapsed: float = 0.0
) -> np.ndarray:
    """Return (families, strategies, seeds) differences of strategies that all lose the margin, deviations unequal."""
    deviations = generator.uniform(0.0005, 0.004, (families, STRATEGIES + 1, 1))
    runs = 0.8 + deviations * generator.standard_normal((families, STRATEGIES + 1, seeds))
    runs[generator.random(runs.shape) < collapsed] = 0.5
    return np.asarray(runs[:, 1:] - runs[:, :1] - MARGIN)


def found_as_good(differences: np.ndarray) -> np.ndarray:
    """Return (families, strategies), which of them are as good within the margin by the t-test with Holm."""
    return _found(non_inferiority_p, differences)


def found_equal(differences: np.ndarray) -> np.ndarray:
    """Return (families, strategies), of which there is no difference by both one-sided tests with Holm."""
    return _found(equivalence_p, differences)


def _found(test: Callable[..., np.ndarray], differences: np.ndarray) -> np.ndarray:
    mean, std = differences.mean(axis=2), differences.std(axis=2, ddof=1)
    p = test(mean, std, np.full(mean.shape, differences.shape[2]), MARGIN)
    return np.stack([holm(row) for row in p]) < 1 - LEVEL


def found_better(differences: np.ndarray, *, t_only: bool = False) -> np.ndarray:
    """Return (families, strategies), which of them `decide` calls better.

    Args:
        differences: (families, strategies, seeds).
        t_only: without sign flips, whatever the number of seeds.
    """
    families, strategies, seeds = differences.shape
    mean, std = differences.mean(axis=2), differences.std(axis=2, ddof=1)
    p = paired_p(mean, std, np.full(mean.shape, seeds))
    table = pd.DataFrame(dict.fromkeys(EVIDENCE, np.nan), index=range(mean.size))
    table["difference"], table["p"] = mean.ravel(), p.ravel()
    table["holm_p"] = np.concatenate([holm(row) for row in p])
    table["num_replicates"], table["folds"] = seeds, 1
    if seeds >= BY_FLIPS_FROM:
        table["sign_flip_p"] = 0.0 if t_only else sign_flip_p(differences.reshape(-1, seeds))
    verdicts = decide(table, pd.Series(np.repeat(np.arange(families), strategies)), 1.0)
    return np.asarray(verdicts == BETTER).reshape(families, strategies)


def main() -> None:
    """Print a line per case."""
    generator = np.random.default_rng(0)
    print(f"A/A, {FAMILIES} families of {STRATEGIES}: any better than random")
    for seeds in (3, 5, 8, 10):
        differences = equal_families(FAMILIES, seeds, generator)
        print(f"  {seeds:2d} seeds: {found_better(differences).any(axis=1).mean():.3f}")
    families = FAMILIES // 4  # all sign flips of ten seeds are 1,024
    print(f"power, {families} families: share of strategies found better, all ten are")
    for shift, seeds in ((1.0, 10), (2.1, 10), (2.1, 5)):
        differences = shifted_families(families, seeds, shift, generator)
        t_only, both = found_better(differences, t_only=True).mean(), found_better(differences).mean()
        print(f"  {shift} deviations, {seeds:2d} seeds: t with Holm {t_only:.2f}, by the rule {both:.2f}")
    print("the same where one of ten is better")
    for shift, seeds in ((1.0, 10), (2.1, 10), (2.1, 5)):
        differences = shifted_families(families, seeds, 0.0, generator)
        differences[:, 0] += shift
        t_only, both = (found_better(differences, t_only=x)[:, 0].mean() for x in (True, False))
        print(f"  {shift} deviations, {seeds:2d} seeds: t with Holm {t_only:.2f}, by the rule {both:.2f}")
    print(f"all ten lose the margin of {MARGIN}, {FAMILIES} families: any as good; any without a difference")
    for collapsed in (0.0, COLLAPSED):
        for seeds in (3, 5, 10):
            at_edge = families_at_the_edge(FAMILIES, seeds, generator, collapsed)
            rates = (found(at_edge).any(axis=1).mean() for found in (found_as_good, found_equal))
            print(f"  {seeds:2d} seeds, {collapsed:.0%} collapsed: " + "; ".join(f"{rate:.3f}" for rate in rates))
    print("no difference at all: share of strategies found as good; found without a difference")
    for share, seeds in ((0.5, 3), (0.5, 5), (0.5, 10), (1.0, 5), (1.0, 10)):
        none = shifted_families(FAMILIES, seeds, 0.0, generator) * share * MARGIN
        rates = (found(none).mean() for found in (found_as_good, found_equal))
        print(f"  deviation {share} margins, {seeds:2d} seeds: " + "; ".join(f"{rate:.2f}" for rate in rates))


if __name__ == "__main__":
    main()
