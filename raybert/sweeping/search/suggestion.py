"""What is known of one suggestion: its runs, what they reported, what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from raybert.errors import ConfigError, SelectionError
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.search.log import Event

CONTINUE, STOP = "continue", "stop"


@dataclass
class Suggestion:
    """One point of an arm's space, tried on every tuning seed.

    Attributes:
        arm: whose.
        number: in the arm's study.
        params: its values, as in the study.
        retry_of: number of the failed suggestion that it tries again; None: it is a new one.
        sampler_state: what the sampler noted as it made it; it reads that again for later ones.
        decisions: (seed, evaluation) -> continue or stop.
        best: seed -> best validation value so far.
        seen: seed -> examples seen.
        seconds: seed -> seconds of training, evaluation and selection.
        ended_runs: seed -> status of its run.
        stopped: why it is not finished; empty: it goes on.
        status: complete, pruned or failed; None: it is on its way.
        value: mean of the best values, of a complete one.
        why: reason of the status; empty: none is needed.
        curves: seed -> (examples seen, best value so far) of every evaluation.
    """

    arm: Arm
    number: int
    params: Params
    retry_of: int | None = None
    sampler_state: dict[str, Any] = field(default_factory=dict)
    decisions: dict[tuple[int, int], str] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    ended_runs: dict[int, str] = field(default_factory=dict)
    stopped: str = ""
    status: str | None = None
    value: float | None = None
    why: str = ""
    curves: dict[int, dict[int, float]] = field(default_factory=dict)

    @cached_property
    def _planned(self) -> tuple[tuple[RunSpec, ...], str]:
        try:
            return self.arm.runs(self.params), ""
        except (ConfigError, SelectionError) as error:
            return (), f"{type(error).__name__}: {error}"

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """Its training runs, seed by seed; none, where its values cannot be together."""
        return self._planned[0]

    @property
    def contradiction(self) -> str:
        """Why its values cannot be together; empty: they can."""
        return self._planned[1]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.arm.name} #{self.number}"

    @property
    def current_run(self) -> RunSpec:
        """The run that is on its way, or the last one."""
        left = (spec for spec in self.runs if spec.seed not in self.ended_runs)
        return next(left, self.runs[-1])

    @property
    def is_finished(self) -> bool:
        """Whether every run is complete."""
        return all(self.ended_runs.get(seed) == "complete" for seed in self.arm.seeds)

    @property
    def mean(self) -> float:
        """Mean over the seeds of the best validation value."""
        return float(np.mean([self.best.get(seed, np.nan) for seed in self.arm.seeds]))

    def values(self) -> dict[int, float]:
        """Return seed -> best value of the runs that are complete, in the order of the seeds."""
        return {seed: self.best[seed] for seed in self.arm.seeds if self.ended_runs.get(seed) == "complete"}

    def first_curve(self) -> dict[int, float]:
        """Return examples seen -> best value so far of the first seed, where that is a number: what a study holds."""
        found = self.curves.get(self.arm.seeds[0], {})
        return {seen: value for seen, value in found.items() if np.isfinite(value)}

    def better(self, seed: int, value: float) -> float:
        """Return the better one of a value and the best so far of a seed; NaN is never better."""
        known = self.best.get(seed, np.nan)
        found = [candidate for candidate in (known, value) if np.isfinite(candidate)]
        return max(found, key=lambda candidate: self.arm.sign * candidate) if found else float("nan")

    def learn(self, event: Event) -> None:
        """Take what the log says of it."""
        kind = event["event"]
        if kind == "report":
            seed = event["seed"]
            self.decisions[seed, event["evaluation"]] = event["decision"]
            self.best[seed] = float("nan") if event["value"] is None else event["value"]
            self.curves.setdefault(seed, {})[event["examples_seen"]] = self.best[seed]
            self.seen[seed], self.seconds[seed] = event["examples_seen"], event.get("seconds", 0.0)
        elif kind == "run":
            self.ended_runs[event["seed"]] = event["status"]
            if event["value"] is not None:  # a log written anew from a study has no evaluations of further seeds
                self.best[event["seed"]] = event["value"]
        elif kind == "end":
            self.status, self.value, self.why = event["status"], event["value"], event.get("why", "")
        if kind in ("report", "run") and event["decision"] == STOP:
            self.stopped = event.get("why", "stopped")

    def attributes(self) -> dict[str, Any]:
        """Return what the study keeps of it besides parameters and values."""
        return {
            "runs": [spec.trial_id for spec in self.runs],
            "seeds": list(self.arm.seeds),
            "values": list(self.values().values()),
            "examples_seen": sum(self.seen.values()),
            "seconds": round(sum(self.seconds.values()), 3),
            "status": self.status,
            "why": self.why,
        }
