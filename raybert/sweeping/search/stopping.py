"""Early stopping: ASHA of each arm over examples seen, and a paired test against the best suggestion's seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from scipy import stats

from raybert.config import AshaConfig
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.specs import RunSpec

_TIME, _VALUE = "examples_seen", "value"


@dataclass(frozen=True)
class _Stub:
    """What ASHA wants of a Tune trial; ids of ours, because Tune's change with every start."""

    trial_id: str


class ArmStopper:
    """Ray's ASHA for one arm, fed with our ids, so that its rungs can be rebuilt from the log of decisions.

    One bracket, and `stop_last_trials=False`: by default late scores would be written into lower rungs where reports
    skip some, and several brackets draw from the global numpy generator.
    """

    def __init__(self, asha: AshaConfig | None, arm: Arm) -> None:
        self._asha: ASHAScheduler | None = None
        self._known: dict[int, _Stub] = {}
        if asha is None:
            return
        most = max(examples_of_run(reader) for reader in arm.readers)
        self._asha = ASHAScheduler(
            time_attr=_TIME,
            metric=_VALUE,
            mode=arm.mode,
            max_t=most,
            grace_period=max(1, math.floor(asha.grace_fraction * most)),
            reduction_factor=asha.reduction_factor,
            brackets=1,
            stop_last_trials=False,
        )

    def report(self, number: int, examples_seen: int, value: float) -> bool:
        """Learn how good a suggestion is after so many examples, and return whether to stop it."""
        if self._asha is None or not math.isfinite(value):
            return False
        if number not in self._known:
            self._known[number] = _Stub(str(number))
            self._asha.on_trial_add(None, self._known[number])
        result = {_TIME: examples_seen, _VALUE: value}
        return bool(self._asha.on_trial_result(None, self._known[number], result) == TrialScheduler.STOP)


def examples_of_run(spec: RunSpec) -> int:
    """Return how many examples a run sees in its T steps, the short last batch of every pass counted as it is."""
    batch = spec.config.train.batch_size
    per_pass = math.ceil(spec.num_chosen / batch)
    passes, rest = divmod(spec.total_steps, per_pass)
    return passes * spec.num_chosen + min(rest * batch, spec.num_chosen)


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
