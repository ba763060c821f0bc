"""Progress as events, for a callback: what happened in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally, is_model_of_study, left_words
from raybert.sweeping.folder.last_evaluation import last_evaluation, place_in_words
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import PRETRAIN

EventKind = Literal["begin", "phase", "started", "stepped", "evaluated", "ended", "scoring", "searching", "note"]


@dataclass(frozen=True)
class Event:
    """Something that happened while raybert was at work.

    Attributes:
        kind: `begin` (all trials are known), `phase`, `started`, `stepped` (only of a run in this process),
            `evaluated` and `ended` (of a trial), `scoring`, `searching`, or `note`.
        text: what happened, in one line; empty where numbers say it all.
        trial_id: of the trial; empty: none in particular.
        strategy: its label.
        done: how many of `total`: trials (`begin`, `started`, `ended`), optimizer steps of the trial (`stepped`,
            `evaluated`; of a run by passes its share of T), rows (`scoring`) or suggestions (`searching`).
        total: 0: nothing is counted.
        status: how a trial ended: complete, failed or stopped.
        row: the evaluation, by column of `Sweep.evaluations`.
    """

    kind: EventKind
    text: str = ""
    trial_id: str = ""
    strategy: str = ""
    done: int = 0
    total: int = 0
    status: str = ""
    row: Mapping[str, Any] | None = None


class EventProgress(Progress):
    """Tells a callback of every event.

    Args:
        tell: called with each event, mostly from the driver's thread; what it raises ends the sweep.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.tell = tell
        self.tally = Tally()

    def follow(self, tally: Tally) -> None:
        self.tally = tally

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        finished = sum(status == "complete" for status in self.tally.status.values())
        noun = "model" if trials and all(spec.role == PRETRAIN for spec in trials) else "trial"
        text = f"{len(trials)} {noun}{'' if len(trials) == 1 and noun == 'model' else 's'}" + (
            f", {finished} finished earlier" if finished else ""
        )
        self.tell(Event("begin", text, done=finished, total=len(trials)))

    def phase(self, text: str) -> None:
        self.tell(Event("phase", text))

    def started(self, spec: PlannedRun) -> None:
        parts = (part for part in (spec.trains_on, _length_in_words(spec)) if part)
        text = f"{_name(spec, self.tally)}: {', '.join(parts)}"
        done, total = self.tally.num_finished, len(self.tally.trials)
        self.tell(Event("started", text, spec.trial_id, spec.label, done, total))

    def stepped(self, spec: PlannedRun, step: int) -> None:
        self.tell(Event("stepped", "", spec.trial_id, spec.label, step, spec.total_steps))

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        done = spec.position_of(row)  # first: of a pretraining T is known by then
        place = place_in_words(row, spec.total_steps, spec.passes, spec.examples)
        text = f"{_name(spec, self.tally)} {place}: {describe_row(spec, row, self.tally)}"
        self.tell(Event("evaluated", text, spec.trial_id, spec.label, done, spec.total_steps, row=dict(row)))

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        tally = self.tally
        done, total = tally.num_finished, len(tally.trials)
        left = left_words(tally) if status == "complete" else ""
        words = f"{status}{' ' + message if message else ''}{left}"
        text = f"[{done}/{total}] {tally.run_in_words(spec)}: {words}"
        self.tell(Event("ended", text, spec.trial_id, spec.label, done, total, status))

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        text = f"scored {rows_done:,} of {rows_total:,} rows, {rows_per_second:,.0f} rows/s{left_words(self.tally)}"
        self.tell(Event("scoring", text, done=rows_done, total=rows_total))

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        total, ended = (sum(getattr(tally, name) for tally in tallies.values()) for name in ("total", "num_ended"))
        text = f"[{ended}/{total}] {message}{left_words(self.tally)}" if message else ""
        self.tell(Event("searching", text, done=ended, total=total))

    def note(self, text: str) -> None:
        self.tell(Event("note", text))


def _name(spec: PlannedRun, tally: Tally) -> str:
    """Return what a line calls a run that is at work; of several pretrainings of a sweep each has its own."""
    if spec.role != PRETRAIN:
        return tally.name_of(spec)
    return spec.trial_id if is_model_of_study(spec) else f"{tally.name_of(spec)} {spec.replicate}"


def _length_in_words(spec: PlannedRun) -> str:
    if spec.passes is not None:
        return f"{spec.passes:g} passes, at most {spec.total_steps:,} steps"
    if spec.examples is not None:
        return f"until {spec.examples:,} are seen"
    return f"{spec.total_steps:,} steps" if spec.total_steps else ""


def describe_row(spec: PlannedRun, row: Mapping[str, Any], tally: Tally) -> str:
    """Return losses, validation metric, rate and pace of an evaluation, in words.

    Args:
        spec: of its run.
        row: the evaluation.
        tally: which has counted it, and then knows the one before.
    """
    known = tally.last.get(spec.trial_id)
    return str(known if known is not None else last_evaluation([row], spec.best_metric))
