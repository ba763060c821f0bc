"""Early stopping: ASHA of each arm over examples seen, and a paired test against the best suggestion's seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from raybert.config import AshaConfig
from raybert.sweeping.cluster.asha import Asha
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.equal import examples_in_steps
from raybert.sweeping.plan.specs import RunSpec


def asha_of(config: AshaConfig | None, arm: Arm) -> Asha:
    """Return the ASHA of an arm, whose rungs are shares of what its longest run sees."""
    return Asha(config, max(examples_of_run(reader) for reader in arm.readers), arm.mode)


def examples_of_run(spec: RunSpec) -> int:
    """Return how many examples a run sees in its T steps, the short last batch of every pass counted as it is."""
    return examples_in_steps(spec.total_steps, spec.num_chosen, spec.config.train.batch_size)


def is_clearly_worse(values: Mapping[int, float], best: Mapping[int, float], sign: float, alpha: float) -> bool:
    """Tell whether a suggestion is worse than the best one on the same seeds, by a paired one-sided t-test.

    Args:
        values: seed -> best validation value of its run, of two seeds or more.
        best: the same of the best suggestion, all seeds.
        sign: 1 if higher is better, else -1.
        alpha: p below which it is called clear.
    """
    gains = np.array([sign * (value - best[seed]) for seed, value in values.items()])
    if len(gains) < 2:
        return False
    if np.ptp(gains) == 0:  # no variance, no t
        return bool(gains[0] < 0)
    return bool(stats.ttest_1samp(gains, 0.0, alternative="less").pvalue < alpha)
