"""What the driver of a sweep is doing, for other terminals: `state.json`, written along with its own progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.files import replace_json
from raybert.polling import Throttle
from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally

if TYPE_CHECKING:
    from raybert.sweeping.plan.specs import RunSpec

_SECONDS_BETWEEN_WRITES = 1.0
"""Events may come by the hundred a second, and nobody reads faster."""


@dataclass
class RecordedProgress(Progress):
    """Passes every event on, and keeps `state.json` at most a second behind.

    Attributes:
        inner: hears every event.
        path: of `state.json`.
    """

    inner: Progress
    path: Path
    tally: Tally = field(default_factory=Tally)
    current_phase: str = "begin"
    since: float = field(default_factory=time.time)
    writes: Throttle = field(default_factory=lambda: Throttle(_SECONDS_BETWEEN_WRITES))

    def begin(self, trials: Sequence[RunSpec], done: Mapping[str, str]) -> None:
        self.tally.begin(trials, done)
        self.inner.begin(trials, done)
        self._write(force=True)

    def phase(self, text: str) -> None:
        self.inner.phase(text)
        self.enter(text)

    def enter(self, phase: str) -> None:
        """Record a phase that is not worth a word on the terminal."""
        self.current_phase, self.since = phase, time.time()
        self._write(force=True)

    def started(self, spec: RunSpec) -> None:
        self.tally.status[spec.trial_id] = "running"
        self.inner.started(spec)
        self._write()

    def stepped(self, spec: RunSpec, step: int) -> None:
        self.inner.stepped(spec, step)

    def evaluated(self, spec: RunSpec, row: Mapping[str, Any]) -> None:
        self.tally.evaluated(spec, row)
        self.inner.evaluated(spec, row)
        self._write()

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
        self.tally.status[spec.trial_id] = status
        self.inner.ended(spec, status, message)
        self._write()

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        self.inner.scoring(rows_done, rows_total, rows_per_second)

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        self.inner.searching(tallies, message)  # `raybert status` reads the log of decisions
        self._write()

    def note(self, text: str) -> None:
        self.inner.note(text)

    def _write(self, *, force: bool = False) -> None:
        if not self.writes.is_due(force=force):
            return
        state = {
            "phase": self.current_phase,
            "since": self.since,
            "written": time.time(),
            "running": [trial_id for trial_id, status in self.tally.status.items() if status == "running"],
            "remaining_seconds": self.tally.remaining_seconds() if self.tally.trials else None,
        }
        with contextlib.suppress(OSError):  # a full disk must not end the sweep for this
            replace_json(self.path, state)
