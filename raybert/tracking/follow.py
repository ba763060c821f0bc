"""Trackers beside a command that trains: they hear what the driver hears, and the end of the command waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from raybert.config.track import TrackConfig
from raybert.sweeping.driver.progress import Progress, SearchCounts, Tally
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import current_attempt
from raybert.tracking.courier import Courier
from raybert.tracking.delivery import noun_of, trial_ids
from raybert.tracking.makers import deliveries

if TYPE_CHECKING:
    from raybert.sweeping.driver.time_left import Forecast
    from raybert.sweeping.plan.planned_run import PlannedRun

Result = TypeVar("Result")
_SECONDS_IN_SILENCE = 3.0
"""A command that waits longer for trackers says so."""
_SECONDS_AFTER_AN_ERROR = 1.0
"""Nobody waits for trackers then; what is at hand is still sent."""


class TrackedProgress(Progress):
    """Passes every event on, and lets trackers know of which trials there is something new.

    Args:
        inner: hears every event.
        couriers: told of trials; made when the first trials are known, in a folder that is the driver's then.
    """

    def __init__(self, inner: Progress, couriers: Callable[[], Sequence[Courier]]) -> None:
        self.inner = inner
        self._make_couriers = couriers
        self.couriers: Sequence[Courier] = ()

    def follow(self, tally: Tally) -> None:
        self.inner.follow(tally)

    def begin(self, trials: Sequence[PlannedRun], done: Mapping[str, str]) -> None:
        self.inner.begin(trials, done)
        self.begun()

    def begun(self) -> Sequence[Courier]:
        """Return the trackers at work."""
        if not self.couriers:
            self.couriers = self._make_couriers()
            for courier in self.couriers:
                courier.start()
        return self.couriers

    def expect(self, forecast: Forecast) -> None:
        self.inner.expect(forecast)

    def phase(self, text: str) -> None:
        self.inner.phase(text)

    def started(self, spec: PlannedRun) -> None:
        self.inner.started(spec)

    def stepped(self, spec: PlannedRun, step: int) -> None:
        self.inner.stepped(spec, step)

    def evaluated(self, spec: PlannedRun, row: Mapping[str, Any]) -> None:
        self.inner.evaluated(spec, row)
        self._tell(spec)

    def ended(self, spec: PlannedRun, status: str, message: str = "") -> None:
        self.inner.ended(spec, status, message)
        self._tell(spec)

    def scoring(self, rows_done: int, rows_total: int, rows_per_second: float) -> None:
        self.inner.scoring(rows_done, rows_total, rows_per_second)

    def searching(self, tallies: Mapping[str, SearchCounts], message: str = "") -> None:
        self.inner.searching(tallies, message)

    def note(self, text: str) -> None:
        self.inner.note(text)

    def leave(self) -> None:
        self.inner.leave()

    def _tell(self, spec: PlannedRun) -> None:
        for courier in self.couriers:
            courier.hear(spec.trial_id)


class Tracking:
    """The trackers of a command.

    Args:
        track: section of the file.
        folder: of the results.
        inner: hears every event.
    """

    def __init__(self, track: TrackConfig, folder: Path, inner: Progress) -> None:
        self.track, self.folder = track, folder
        self.is_asked_for = any(True for _ in track.asked_for())
        self.progress = TrackedProgress(inner, self._couriers) if self.is_asked_for else inner
        self._is_over = False

    @contextmanager
    def shown_by(self, shown: Progress) -> Iterator[Progress]:
        """Let another one than before hear every event for the length of a `with` block; yields what to tell them.

        Args:
            shown: a view that ends before the command does.
        """
        if not isinstance(self.progress, TrackedProgress):
            yield shown
            return
        before, self.progress.inner = self.progress.inner, shown
        try:
            yield self.progress
        finally:
            self.progress.inner = before

    def publish(self, publish: Callable[[], Result]) -> Result | None:
        """Publish the results and send them, where trackers are asked for; None: none are.

        Args:
            publish: writes the results.
        """
        if not self.is_asked_for:
            return None
        published = publish()
        self.end(has_results=True)
        return published

    def end(self, *, has_results: bool, seconds: float | None = None) -> None:
        """Wait for what is still to be sent, for a while, and say what was not.

        Args:
            has_results: whether tables and plots are there to be sent.
            seconds: how long; default: what the file says.
        """
        if self._is_over or not isinstance(self.progress, TrackedProgress):
            return
        self._is_over = True
        if has_results:
            self._hear_the_rest(self.progress.begun())
        couriers = self.progress.couriers
        for courier in couriers:
            courier.finish(has_results=has_results)
        wait = self.track.wait_seconds if seconds is None else seconds
        deadline = time.monotonic() + wait
        self._say_who_is_waited_for(couriers, wait)
        for courier in couriers:
            if not courier.is_done(max(0.0, deadline - time.monotonic())):
                self.progress.note(not_sent(courier, self.folder))

    def _say_who_is_waited_for(self, couriers: Sequence[Courier], seconds: float) -> None:
        """Say it, unless all is sent soon."""
        soon = time.monotonic() + min(_SECONDS_IN_SILENCE, seconds)
        late = [courier for courier in couriers if courier.is_at_work(max(0.0, soon - time.monotonic()))]
        if late and seconds > _SECONDS_IN_SILENCE:
            names = ", ".join(courier.name for courier in late)
            self.progress.note(f"note: {names}: what is left is sent, for up to {seconds:.0f} s (track.wait_seconds)")

    def _hear_the_rest(self, couriers: Sequence[Courier]) -> None:
        """Let trackers know of trials that ended in earlier commands, without one of these or without trackers."""
        for courier in couriers:
            for trial_id in courier.delivery.pending(trial_ids(self.folder)):
                courier.hear(trial_id)

    def _couriers(self) -> list[Courier]:
        folder = self.folder.resolve()
        owned = SweepFolder(folder, current_attempt(folder))
        return [Courier(delivery, self.progress.note) for delivery in deliveries(self.track, owned)]


@contextmanager
def tracking(track: TrackConfig, folder: Path, inner: Progress) -> Iterator[Tracking]:
    """Let trackers follow what happens in a `with` block; where it raises, nobody waits for them.

    Args:
        track: section of the sweep file.
        folder: of the results.
        inner: hears every event.
    """
    trackers = Tracking(track, folder, inner)
    try:
        yield trackers
    finally:
        trackers.end(has_results=False, seconds=_SECONDS_AFTER_AN_ERROR)


def not_sent(courier: Courier, folder: Path) -> str:
    """Return what a tracker has not got, in one line with what to do about it."""
    delivery = courier.delivery
    noun = noun_of(SweepFolder(folder))
    missing = len(list(delivery.pending(trial_ids(folder))))
    runs = f"{missing:,} {noun}s, " if missing > 1 else f"1 {noun}, " if missing else ""
    return f"note: {courier.name}: not sent: {runs}tables and plots;  raybert track {folder}  sends what is missing"
