"""Processes that send no heartbeat: where they hang, and their end. Trials and scoring use the same."""

from __future__ import annotations

import math
import os
import re
import signal
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert import version
from raybert.sweeping.folder.heartbeat import STACK_SIGNAL, last_beat, read_beat, read_stack, send_signal
from raybert.sweeping.folder.signs import Sign

SECONDS_FOR_STACK = 2.0
"""After these a process that was asked has written its stack, if it can: it takes milliseconds on an idle machine."""
_MOST_SECONDS_BETWEEN_LOOKS = 5.0
_FRAME = re.compile(r'^  File "(?P<path>.+)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)
_PASSED = (
    "raybert/sweeping/trial/run.py",
    "raybert/sweeping/trial/pretrain.py",
    "raybert/training/ddp.py",
    "raybert/selection/pipeline.py",
)
"""The last module of ours that all work passes through, in whichever process it is done."""
_PACKAGE = str(Path(version.__file__).resolve().parent)
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass(frozen=True)
class Hang:
    """A process without a heartbeat for too long.

    Attributes:
        key: of what it works at.
        folder: where its heartbeats are.
        silent_seconds: since the last one.
        beat: that sign; empty: there is none of a process of this owner.
        stack: of all its threads, as `faulthandler` writes it.
        was_ended: whether it has been found, and killed, before.
    """

    key: str
    folder: Path
    silent_seconds: float
    beat: dict[str, Any]
    stack: str = ""
    was_ended: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether there is a process to be named, as far as is known."""
        return bool(self.beat) and not self.was_ended

    @property
    def message(self) -> str:
        """How long it has been silent, and where it is."""
        return f"no heartbeat for {self.silent_seconds:.0f} s (limits.stall_seconds), {innermost_frame(self.stack)}"

    def end(self) -> None:
        """Kill the process, on whatever node of the cluster it is."""
        signal_process(self.beat, signal.SIGKILL)


@dataclass
class _Silence:
    beat: Sign | None
    """Only that it changes matters."""
    since: float
    asked_at: float | None = None
    was_ended: bool = False


@dataclass
class HangDetector:
    """Finds processes that hang, by their heartbeats; asks each for its stack before it is named.

    Only time counts in which it looks: a machine that was suspended has not been watched, and what runs on it has not
    hung. So of the time between two looks no more counts than half of a stall.

    Attributes:
        stall_seconds: without a heartbeat; None: nothing is ever found.
        attempt: owner of the sweep that started the processes; what others wrote is no heartbeat of theirs.
        clock: of this machine, which nobody sets.
    """

    stall_seconds: float | None
    attempt: int | None
    clock: Callable[[], float] = time.monotonic
    silences: dict[str, _Silence] = field(default_factory=dict)
    idle: _Silence | None = None
    _read_at: float | None = None
    _watched: float = 0.0

    @property
    def seconds_between_looks(self) -> float:
        """How often to look: a quarter of a stall at least."""
        return min(_MOST_SECONDS_BETWEEN_LOOKS, (self.stall_seconds or math.inf) / 4)

    def now(self) -> float:
        """Return how many seconds have been watched."""
        time_now = self.clock()
        passed = time_now - (time_now if self._read_at is None else self._read_at)
        self._read_at = time_now
        self._watched += min(passed, (self.stall_seconds or math.inf) / 2)
        return self._watched

    def look(self, working: Mapping[str, Path]) -> Iterator[Hang]:
        """Yield every process that hangs; again after another stall where none has taken its place. Quick.

        Args:
            working: what is worked at, by any name -> folder of its heartbeat.
        """
        self.silences = {key: silence for key, silence in self.silences.items() if key in working}
        for key, folder in working.items():
            silence = self._silence(self.silences.get(key), last_beat(folder))
            self.silences[key] = silence
            hang = self._find(key, folder, silence) if self._is_stall(silence) else None
            if hang is not None:
                self.silences[key] = _Silence(silence.beat, self.now(), was_ended=bool(hang.beat))
                yield hang

    def idle_seconds(self, is_busy: bool, sign: Sign | None = None) -> float | None:
        """Return for how long nothing has been worked at, every time that a stall is full; else None.

        Args:
            is_busy: whether something is worked at, or nothing is left to.
            sign: changes when something was worked at meanwhile.
        """
        self.idle = None if is_busy else self._silence(self.idle, sign)
        if self.idle is None or not self._is_stall(self.idle):
            return None
        seconds, self.idle = self.now() - self.idle.since, None
        return seconds

    def _silence(self, before: _Silence | None, beat: Sign | None) -> _Silence:
        return before if before is not None and before.beat == beat else _Silence(beat, self.now())

    def _is_stall(self, silence: _Silence) -> bool:
        return self.stall_seconds is not None and self.now() - silence.since >= self.stall_seconds

    def _find(self, key: str, folder: Path, silence: _Silence) -> Hang | None:
        """Ask for the stack, and return what hangs once the answer had its time."""
        beat, seconds = read_beat(folder), self.now() - silence.since
        if "attempt" not in beat or beat["attempt"] != self.attempt:
            return Hang(key, folder, seconds, {})
        if silence.was_ended:
            return Hang(key, folder, seconds, beat, was_ended=True)
        if silence.asked_at is None:
            silence.asked_at = self.now()
            signal_process(beat, STACK_SIGNAL)
        if self.now() - silence.asked_at < SECONDS_FOR_STACK:
            return None
        return Hang(key, folder, seconds, beat, read_stack(folder))


def signal_process(beat: dict[str, Any], number: int) -> None:
    """Send a signal to the process that wrote a beat, on whatever node of the cluster it is."""
    if beat.get("host") == os.uname().nodename or not beat.get("node_id"):
        send_signal(beat, number)
        return
    there = NodeAffinitySchedulingStrategy(node_id=beat["node_id"], soft=False)
    ray.remote(num_cpus=0, scheduling_strategy=there, max_retries=0)(send_signal).remote(beat, number)


def innermost_frame(stack: str) -> str:
    """Return where a trial is, in words: the innermost frame of its thread that is no library's.

    Args:
        stack: as `faulthandler` writes it, the innermost frame of every thread first.
    """
    threads = [thread for thread in re.split(r"^(?=Thread |Current thread )", stack, flags=re.MULTILINE) if thread]
    own = [thread for thread in threads if any(module in thread for module in _PASSED)]
    for thread in own or threads:
        frames = [match.groupdict() for match in _FRAME.finditer(thread)]
        ours = [frame for frame in frames if not _is_library(frame["path"])]
        if ours:
            return "in {name} ({path}, line {line})".format(**ours[0])
    return "and no stack could be had"


def _is_library(path: str) -> bool:
    return path.startswith((*_LIBRARIES, "<")) and not path.startswith(_PACKAGE)
