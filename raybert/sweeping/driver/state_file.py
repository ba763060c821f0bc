"""What the driver of a sweep is doing, for other terminals: `state.json`, written along with its own progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.files import replace_json
from raybert.polling import Throttle, repeating
from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally
from raybert.sweeping.driver.time_left import Forecast
from raybert.sweeping.folder.heartbeat import read_beat
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.signs import Watch

if TYPE_CHECKING:
    from raybert.sweeping.plan.planned_run import PlannedRun

_SECONDS_BETWEEN_WRITES = 1.0
"""Events may come by the hundred a second, and nobody reads faster."""
_SECONDS_UNTIL_STALE = 5.0
"""The time that is left is written anew after these, though nothing has happened."""


@dataclass
class RecordedProgress(Progress):
    """Counts, passes every event on, and keeps `state.json` at most a second behind.

    Attributes:
        inner: hears every event.
        path: of `state.json`.
        attempt: number of the folder's owner, whose trials send heartbeats.
    """

    inner: Progress
    path: Path
    attempt: int | None = None
    tally: Tally = field(default_factory=Tally)
    current_phase: str = "begin"
    since: float = field(default_factory=time.monotonic)
    writes: Throttle = field(default_factory=lambda: Throttle(_SECONDS_BETWEEN_WRITES))
    is_behind: bool = False
    watches: dict[str, Watch] = field(default_factory=dict)
    """Trials at work -> their heartbeats, as seen from here."""

    def __post_init__(self) -> None:
        self.inner.follow(self.tally)

    def follow(self, tally: Tally) -> None:
        """Keep to the counts of its own, which all others follow."""

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        self.tally.begin(trials, done)
        for spec in trials:
            if done.get(spec.trial_id, "pending") == "pending":
                self.tally.goes_on_from(spec.trial_id, int(self._beat(spec.trial_id).get("step") or 0))
        self.inner.begin(trials, done)
        self._write(force=True)

    def expect(self, forecast: Forecast) -> None:
        self.tally.expect(forecast)
        self.inner.expect(forecast)
        self._write(force=True)

    def phase(self, text: str) -> None:
        self.enter(text)  # first: who reads the line may ask for the state
        self.inner.phase(text)

    def enter(self, phase: str) -> None:
        """Record a phase that is not worth a word on the terminal."""
        self.current_phase, self.since = phase, time.monotonic()
        self._write(force=True)

    @contextlib.contextmanager
    def paused(self, text: str) -> Iterator[None]:
        """Wait, for the length of a `with` block, in which no time passes that counts."""
        with self.tally.paused():
            self.phase(text)
            yield

    def started(self, spec: PlannedRun) -> None:
        self.tally.started(spec)
        self.inner.started(spec)
        self._write()

    def stepped(self, spec: PlannedRun, step: int) -> None:
        self.tally.stepped(spec.trial_id, step)
        self.inner.stepped(spec, step)

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        self.tally.evaluated(spec, row)
        self.inner.evaluated(spec, row)
        self._write()

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        self.tally.ended(spec, status)
        self.inner.ended(spec, status, message)
        self._write()

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        self.tally.scored(rows_done, rows_total)
        self.inner.scoring(rows_done, rows_total, rows_per_second)
        self._write()

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        self.tally.searched(tallies)
        self.inner.searching(tallies, message)  # `raybert status` reads the log of decisions
        self._write()

    def note(self, text: str) -> None:
        self.inner.note(text)

    def leave(self) -> None:
        self.inner.leave()

    @contextlib.contextmanager
    def kept_up(self) -> Iterator[None]:
        """Catch up every second, for the length of a `with` block."""

        def look() -> bool:
            self.catch_up()
            return False

        with repeating(look, _SECONDS_BETWEEN_WRITES, "following the trials", self.note):
            yield

    def catch_up(self) -> None:
        """Look how far running trials are, and write what has not been written; called from a thread."""
        running = self.tally.running
        self.watches = {trial_id: self.watches.get(trial_id) or self._watch(trial_id) for trial_id in running}
        for trial_id in running:
            self.watches[trial_id].look()
            beat = self._beat(trial_id)
            if beat.get("attempt") == self.attempt:
                self.tally.stepped(trial_id, int(beat.get("step") or 0), int(beat.get("total_steps") or 0))
        if self.is_behind or self.writes.seconds_since() > _SECONDS_UNTIL_STALE:
            self._write()

    def _beat(self, trial_id: str) -> dict[str, Any]:
        return read_beat(SweepFolder(self.path.parent).trial(trial_id).path)

    def _watch(self, trial_id: str) -> Watch:
        return Watch(SweepFolder(self.path.parent).trial(trial_id).path / "heartbeat.json")

    def _silent_seconds(self) -> dict[str, float]:
        """Return for how long no heartbeat has come from each trial at work, as seen from here."""
        now = time.monotonic()
        return {trial_id: round(now - watch.since, 1) for trial_id, watch in self.watches.items()}

    def _write(self, *, force: bool = False) -> None:
        with self.tally.lock:  # events come from the driver, `catch_up` from a thread
            self.is_behind = not self.writes.is_due(force=force)
            if self.is_behind:
                return
            state = {
                "phase": self.current_phase,
                "phase_seconds": time.monotonic() - self.since,
                "running": self.tally.running,
                "silent_seconds": self._silent_seconds(),
                "remaining_seconds": self.tally.remaining_seconds(),
                "is_paused": self.tally.left.is_paused,
            }
            # A phase stays: after a power cut `raybert status` says how a sweep ended. Counts are written again.
            with contextlib.suppress(OSError):  # a full disk must not end the sweep for this
                replace_json(self.path, state, is_durable=force)
