"""How long a sweep will still take: one estimate, which begins as the plan's and which every view shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from raybert.sweeping.plan.placement import makespan
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import REFIT, TRIAL

_WEIGHT_OF_FORECAST = 0.1
"""What was expected counts like this share of it observed: the first steps of a sweep are no measure of all."""
_PHASES_OF_TRIALS = ("unscored", "scored")


@dataclass(frozen=True)
class Forecast:
    """What was expected of a sweep when it began, in seconds.

    Attributes:
        trials: phase (`unscored`, `scored`) -> trial id -> what is left of that run, in the order in which they start.
        phases: other phases (`start`, `score`, `tune`, `refit`) -> all of it.
        begin_seconds: of a phase of trials, until its processes are there.
        steps: optimizer steps of the trials.
        slots: trials at once.
    """

    trials: Mapping[str, Mapping[str, float]]
    phases: Mapping[str, float]
    begin_seconds: float
    steps: int
    slots: int


@dataclass
class _Run:
    """A run: what all of it takes, and the steps that it is made of.

    Attributes:
        cost: seconds where there is a forecast, else steps.
        phase: of trials.
        steps: T; 0: not known yet.
        first: where it began or goes on.
        done: steps done.
        is_over: whether nothing is left of it.
    """

    cost: float
    phase: str
    steps: int = 0
    first: int = 0
    done: int = 0
    is_over: bool = False

    @property
    def left(self) -> float:
        """What is left of its cost."""
        if self.is_over:
            return 0.0
        whole = self.steps - self.first
        return self.cost * (1.0 - min(1.0, max(0, self.done - self.first) / whole)) if whole > 0 else self.cost


@dataclass
class TimeLeft:
    """Counts down what was expected, at the pace that is observed; without a forecast, from steps alone.

    Time in which the sweep waits is no time. Costs are seconds with a forecast and steps without one: the pace turns
    either into seconds.

    Attributes:
        now: the clock.
    """

    now: Callable[[], float] = time.monotonic
    _forecast: Forecast | None = None
    _runs: dict[str, _Run] = field(default_factory=dict)
    _phases: dict[str, float] = field(default_factory=dict)
    """Phases without trials -> all of what they take."""
    _shares: dict[str, float] = field(default_factory=dict)
    """Of these phases -> the share that is left."""
    _done: float = 0.0
    """Cost of the work that has been done and is not in `_known` any more."""
    _known: float = 0.0
    """Cost of the work that was left when what is counted last changed."""
    _since: float = 0.0
    _paused_at: float | None = None
    _paused_seconds: float = 0.0
    _begun: dict[str, float] = field(default_factory=dict)
    """Phase of trials -> when it began."""
    _most_pending: int = 0
    _worked: float = 0.0
    """Seconds of earlier stretches of work; what starts processes is none, and takes as long as it takes once."""
    _works_since: float | None = None
    _rested_at: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.now()

    def expect(self, forecast: Forecast) -> None:
        """Begin anew, from what was expected."""
        self._forecast = forecast
        self._phases, self._shares = dict(forecast.phases), dict.fromkeys(forecast.phases, 1.0)
        self._runs = {
            trial_id: _Run(seconds, phase)
            for phase, trials in forecast.trials.items()
            for trial_id, seconds in trials.items()
        }
        self._since, self._paused_seconds, self._done = self.now(), 0.0, 0.0
        self._begun, self._worked, self._works_since, self._rested_at = {}, 0.0, None, 0.0
        self._known = self._work_left()

    def begin(self, specs: Iterable[PlannedRun], done: Mapping[str, str]) -> None:
        """Learn what is run now: the runs behind a search, the comparison, or the refit; others are over or come later.

        Args:
            specs: the runs.
            done: trial id -> status, of those that have one.
        """
        self._keep_what_is_done()
        self._rest()
        specs = list(specs)
        roles = {spec.role for spec in specs}
        before = self._runs
        is_last = self._forecast is None or bool(roles & {TRIAL, REFIT})
        self._runs = {} if is_last else dict(before)
        if REFIT in roles:
            self._end("refit")
        if roles & {TRIAL, REFIT}:
            self._end("tune")
        self._begun = {}
        for spec in specs:
            run = before.get(spec.trial_id) or _Run(self._cost_of(spec), _phase_of(spec))
            run.steps = spec.total_steps
            run.is_over = done.get(spec.trial_id, "pending") != "pending"
            self._runs[spec.trial_id] = run
        self._known = self._work_left()

    def goes_on_from(self, trial_id: str, step: int) -> None:
        """Learn that an earlier attempt left a run at this step."""
        run = self._runs.get(trial_id)
        if run is not None and not run.done:
            self._keep_what_is_done()
            if self._forecast is None:
                run.cost = max(0.0, run.cost - step)
            run.first = run.done = min(step, run.steps)
            self._known = self._work_left()

    def started(self, trial_id: str) -> None:
        """Learn that a run is at work."""
        self._end("start")
        run = self._runs.get(trial_id)
        if run is None:
            return
        if run.phase == "scored":
            self._end("score")
        if run.phase not in self._begun:
            self._rest()
            self._begun[run.phase] = self._active()
        if self._forecast is None:
            self._work(0.0)

    def stepped(self, trial_id: str, step: int, total_steps: int = 0) -> None:
        """Learn how far a run is, and its T where that was not known before."""
        run = self._runs.get(trial_id)
        if run is not None and not run.steps and total_steps:
            self._learn_steps(run, total_steps)
        if run is not None:
            before = run.left
            run.done = max(run.done, step)
            self._work(before - run.left)

    def _learn_steps(self, run: _Run, total_steps: int) -> None:
        """Learn T of a run; of others it is taken for theirs as long as nobody knows."""
        self._keep_what_is_done()
        run.steps = total_steps
        if self._forecast is None:
            for other in self._runs.values():
                other.cost = float(total_steps) if other is run or not other.cost else other.cost
        self._known = self._work_left()

    def ended(self, trial_id: str, status: str) -> None:
        """Learn that a run has come to an end; one that was stopped goes on another time."""
        run = self._runs.get(trial_id)
        if run is None or status not in ("complete", "failed"):
            return
        before, run.is_over = run.left, True
        self._work(before)
        if all(other.is_over for other in self._runs.values() if other.phase == run.phase):
            self._rest()

    def advanced(self, phase: str, share_left: float) -> None:
        """Learn how much of a phase without trials is left."""
        self._end("start")
        if phase in self._shares:
            done = max(0.0, self._shares[phase] - share_left)
            self._shares[phase] -= done
            self._work(done * self._phases[phase])
            if self._shares[phase] <= 0:
                self._rest()

    def searched(self, num_pending: int) -> None:
        """Learn how many suggestions of a search have no outcome yet."""
        self._most_pending = max(self._most_pending, num_pending)
        self.advanced("tune", num_pending / max(1, self._most_pending))

    def pause(self) -> None:
        """Let no time pass."""
        if self._paused_at is None:
            self._paused_at = self.now()

    def go_on(self) -> None:
        """Let time pass again."""
        if self._paused_at is not None:
            self._paused_seconds += self.now() - self._paused_at
            self._paused_at = None

    @property
    def is_paused(self) -> bool:
        """Whether no time passes."""
        return self._paused_at is not None

    @property
    def paused_seconds(self) -> float:
        """How long the sweep has waited in all."""
        return self._paused_seconds + (0.0 if self._paused_at is None else self.now() - self._paused_at)

    def seconds(self) -> float | None:
        """Return what is left in seconds; None: nothing was expected, and steps do not tell."""
        left = self._work_left()
        done = self._done + self._known - left
        if self._forecast is None and (done <= 0 or left <= 0):
            return None
        weight = _WEIGHT_OF_FORECAST * (done + left) if self._forecast is not None else 0.0
        if done + weight <= 0:
            return self._starts_left()
        return self._starts_left() + left * (self._work_seconds() + weight) / (done + weight)

    def _active(self) -> float:
        return self.now() - self._since - self.paused_seconds

    def _work(self, cost: float) -> None:
        """Note that there is work; what has been done of it, unseen, is taken to have lasted as long as expected."""
        if self._works_since is None and (cost > 0 or self._forecast is None):
            self._works_since = max(self._rested_at, self._active() - (cost if self._forecast is not None else 0.0))

    def _rest(self) -> None:
        """Note that nothing is worked at until the next progress: processes end and start."""
        self._worked = self._work_seconds()
        self._works_since, self._rested_at = None, self._active()

    def _work_seconds(self) -> float:
        return self._worked + (0.0 if self._works_since is None else self._active() - self._works_since)

    def _keep_what_is_done(self) -> None:
        self._done += self._known - self._work_left()

    def _end(self, phase: str) -> None:
        if phase in self._shares:
            self._shares[phase] = 0.0

    def _work_left(self) -> float:
        """Return what is left to do: seconds as they were expected, or steps."""
        slots = self._forecast.slots if self._forecast is not None else 1
        rest = sum(cost * self._shares[phase] for phase, cost in self._phases.items() if phase != "start")
        return rest + sum(makespan([run.left for run in runs], slots) for runs in self._open_runs().values())

    def _starts_left(self) -> float:
        """Return the seconds that are left until Ray, and the processes of every phase of trials, have started."""
        start = self._phases.get("start", 0.0) * self._shares.get("start", 0.0)
        start = max(0.0, start - max(0.0, self._active()))
        return start + sum(self._begin_left(phase) for phase, runs in self._open_runs().items() if runs)

    def _open_runs(self) -> dict[str, list[_Run]]:
        runs = [run for run in self._runs.values() if not run.is_over]
        return {phase: [run for run in runs if run.phase == phase] for phase in _PHASES_OF_TRIALS}

    def _begin_left(self, phase: str) -> float:
        """Return what is left until the processes of a phase of trials have started."""
        if self._forecast is None:
            return 0.0
        begun = self._begun.get(phase)
        if begun is None:
            return self._forecast.begin_seconds
        is_there = any(run.done > run.first for run in self._runs.values() if run.phase == phase)
        return 0.0 if is_there else max(0.0, self._forecast.begin_seconds - (self._active() - begun))

    def _cost_of(self, spec: PlannedRun) -> float:
        """Return the cost of a run that was not foreseen: what a search finds has other values than its plan had."""
        forecast = self._forecast
        if forecast is None:
            return float(spec.total_steps)
        seconds = sum(sum(trials.values()) for trials in forecast.trials.values())
        return spec.total_steps * seconds / forecast.steps if forecast.steps else 0.0


def _phase_of(spec: PlannedRun) -> str:
    return "scored" if spec.reads_signals else "unscored"
