"""Ray's ASHA as a rule by itself: fed with our ids and values, whatever runs the trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from raybert.config import AshaConfig

_TIME, _VALUE = "examples_seen", "value"


@dataclass(frozen=True)
class _Stub:
    """What ASHA wants of a Tune trial; ids of ours, because Tune's change with every start."""

    trial_id: str


class Asha:
    """Says which suggestions to stop; its rungs can be rebuilt from the log of decisions.

    One bracket, and `stop_last_trials=False`: by default late scores would be written into lower rungs where reports
    skip some, and several brackets draw from the global numpy generator.

    Args:
        config: None: nothing is stopped.
        most_examples: that a run sees in all its steps.
        mode: whether a higher or a lower value is better.
    """

    def __init__(self, config: AshaConfig | None, most_examples: int, mode: Literal["max", "min"]) -> None:
        self._asha: ASHAScheduler | None = None
        self._known: dict[int, _Stub] = {}
        if config is None:
            return
        self._asha = ASHAScheduler(
            time_attr=_TIME,
            metric=_VALUE,
            mode=mode,
            max_t=most_examples,
            grace_period=max(1, math.floor(config.grace_fraction * most_examples)),
            reduction_factor=config.reduction_factor,
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
