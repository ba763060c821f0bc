"""Scoring that hangs: say where, end the process, have the block tried again, and in the end give it up."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raybert.config.schema import LimitsConfig
from raybert.errors import ScoringError
from raybert.files import write_text
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster.watchdog import (
    SECONDS_BETWEEN_LOOKS,
    SECONDS_FOR_STACK,
    innermost_frame,
    read_stack,
    signal_process,
)
from raybert.sweeping.folder.heartbeat import STACK_SIGNAL, Heart, read_beat, stack_on_request
from raybert.training.pulse import heard_by


@dataclass(frozen=True)
class BlockSigns:
    """Signs of life of the processes that score: a folder for each block that is on its way. Goes to the workers.

    Attributes:
        folder: for all of them; on a file system that all nodes see.
    """

    folder: Path

    @contextlib.contextmanager
    def __call__(self, key: str, block: int) -> Iterator[None]:
        """Be watched while a block is computed.

        Raises:
            ScoringError: it has hung too often.
        """
        place = self.folder / f"{key[:16]}-{block}"
        given_up = place / "given-up.txt"
        if given_up.exists():
            raise ScoringError(given_up.read_text(encoding="utf-8"))
        place.mkdir(parents=True, exist_ok=True)
        heart = Heart.begin(place, None, 0)
        try:
            with stack_on_request(place), heard_by(heart.beat):
                yield
        finally:
            shutil.rmtree(place, ignore_errors=True)
            (self.folder / "ended").touch()


@contextlib.contextmanager
def watched_scoring(store: ScoreStore, limits: LimitsConfig, note: Callable[[str], None]) -> Iterator[BlockSigns]:
    """Look after scoring from a thread, for the length of a `with` block, and give what its workers need for that.

    Args:
        store: where the scores go; signs of life come and go in a folder of their own beside them.
        limits: how long a silence is a stall, and how often a block is tried again.
        note: told in one line of every stall.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".watch-", dir=store.folder, ignore_cleanup_errors=True) as name:
        place = Path(name)
        with _looking(_Watch(place, limits.stall_seconds or math.inf, limits.retries, note)):
            yield BlockSigns(place)


@contextlib.contextmanager
def _looking(watch: _Watch) -> Iterator[None]:
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(min(SECONDS_BETWEEN_LOOKS, watch.stall_seconds / 4)):
            watch.look()

    thread = threading.Thread(target=look, name="raybert-scoring-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass
class _Silence:
    beat: int
    since: float
    asked_at: float | None = None
    is_ended: bool = False
    """The process was killed, and none has taken its place yet."""


@dataclass
class _Watch:
    folder: Path
    stall_seconds: float
    retries: int
    note: Callable[[str], None]
    silences: dict[Path, _Silence] = field(default_factory=dict)
    num_ended: Counter[Path] = field(default_factory=Counter)

    def look(self) -> None:
        places = [path.parent for path in self.folder.glob("*/heartbeat.json")]
        self.silences = {place: seen for place, seen in self.silences.items() if place in (*places, self.folder)}
        for place in places:
            silence = self._silence(place, place / "heartbeat.json")
            if silence is not None:
                self._look_after(place, silence)
        idle = None if places else self._silence(self.folder, self.folder / "ended")
        if places:
            self.silences.pop(self.folder, None)
        elif idle is not None:
            self.note(
                f"scoring: no process has begun for {time.monotonic() - idle.since:.0f} s (limits.stall_seconds); it "
                "waits for a place on the cluster, `ray status` tells who has it"
            )
            del self.silences[self.folder]

    def _silence(self, place: Path, sign: Path) -> _Silence | None:
        """Return how long a sign has not changed, if that is too long."""
        now = time.monotonic()
        try:
            beat = sign.stat().st_mtime_ns
        except FileNotFoundError:
            beat = 0
        seen = self.silences.get(place)
        if seen is None or seen.beat != beat:
            self.silences[place] = _Silence(beat, now)
            return None
        return seen if now - seen.since >= self.stall_seconds else None

    def _look_after(self, place: Path, silence: _Silence) -> None:
        """Ask for the stack, then end the process; a block that has hung too often is given up."""
        beat, now = read_beat(place), time.monotonic()
        if silence.is_ended:
            return
        if silence.asked_at is None:
            silence.asked_at = now
            signal_process(beat, STACK_SIGNAL)
        elif now - silence.asked_at >= SECONDS_FOR_STACK:
            silence.is_ended = True
            self.num_ended[place] += 1
            where = innermost_frame(read_stack(place))
            message = f"no sign of life for {now - silence.since:.0f} s (limits.stall_seconds), {where}"
            if self.num_ended[place] > self.retries:
                attempts = f"{self.num_ended[place]} attempt{'s' if self.num_ended[place] > 1 else ''}"
                write_text(place / "given-up.txt", f"{message}; {attempts}")
            self.note(f"scoring block {place.name}: {message}; its process is ended")
            signal_process(beat, signal.SIGKILL)
