"""A trial that gives no sign of life: say where it hangs, end its process, and let it be tried again."""

from __future__ import annotations

import os
import re
import signal
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert import version
from raybert.config import ResourcesConfig
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.heartbeat import STACK_SIGNAL, read_beat, send_signal, write_stall
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.placement import describe_demand

SECONDS_FOR_STACK = 2.0
SECONDS_BETWEEN_LOOKS = 5.0
_FRAME = re.compile(r'^  File "(?P<path>.+)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)
_PASSED = ("raybert/sweeping/trial/run.py", "raybert/training/ddp.py", "raybert/selection/pipeline.py")
"""The last module of ours that all work passes through, in whichever process it is done."""
_PACKAGE = str(Path(version.__file__).resolve().parent)
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass
class _Watched:
    beat: int
    """Time of the last sign of life by the file system's clock: only that it changes matters."""
    changed_at: float
    asked_at: float | None = None


@dataclass
class Watchdog:
    """Looks after running trials from the driver; every call must be quick.

    Attributes:
        folder: of the sweep.
        stall_seconds: without a sign of life; None: it sleeps.
        progress: told of every trial that hangs.
    """

    folder: SweepFolder
    stall_seconds: float | None
    progress: Progress
    watched: dict[str, _Watched] = field(default_factory=dict)
    looked_at: float = 0.0
    idle_since: float | None = None

    def is_due(self) -> bool:
        """Tell whether to call `look` now."""
        if self.stall_seconds is None:
            return False
        return time.monotonic() - self.looked_at >= min(SECONDS_BETWEEN_LOOKS, self.stall_seconds / 4)

    def look(self, running: Mapping[str, str], num_waiting: int, demand: str) -> None:
        """End the processes of trials that hang, and say so if nothing at all is placed.

        Args:
            running: trial id -> how to call it in a line.
            num_waiting: trials that no process was found for yet.
            demand: what one of them asks for, in words.
        """
        now = self.looked_at = time.monotonic()
        self.watched = {trial_id: seen for trial_id, seen in self.watched.items() if trial_id in running}
        for trial_id, name in running.items():
            self._look_after(trial_id, name, now)
        self._look_for_idleness(bool(running) or not num_waiting, num_waiting, demand, now)

    def _look_after(self, trial_id: str, name: str, now: float) -> None:
        beat, seen = self._beat_time(trial_id), self.watched.get(trial_id)
        if seen is None or seen.beat != beat:
            self.watched[trial_id] = _Watched(beat, now)
            return
        assert self.stall_seconds is not None
        silent = now - seen.changed_at
        if silent < self.stall_seconds:
            return
        if seen.asked_at is None:
            seen.asked_at = now
            self._signal(trial_id, STACK_SIGNAL)
        elif now - seen.asked_at >= SECONDS_FOR_STACK:
            self.watched[trial_id] = _Watched(beat, now)
            self._end(trial_id, name, silent)

    def _end(self, trial_id: str, name: str, silent: float) -> None:
        folder = self.folder.trial(trial_id)
        if read_beat(folder.path).get("attempt") != self.folder.attempt:
            self.progress.note(f"{name}: its process has not begun after {silent:.0f} s; see Ray's logs of its node")
            return
        stack = read_stack(folder.path)
        message = f"no sign of life for {silent:.0f} s (limits.stall_seconds), {innermost_frame(stack)}"
        write_stall(folder.path, message, stack)
        self.progress.note(f"{name}: {message}; its process is ended")
        self._signal(trial_id, signal.SIGKILL)

    def _look_for_idleness(self, is_busy: bool, num_waiting: int, demand: str, now: float) -> None:
        assert self.stall_seconds is not None
        if is_busy or self.idle_since is None:
            self.idle_since = None if is_busy else now
        elif now - self.idle_since >= self.stall_seconds:
            free = {kind: amount for kind, amount in ray.available_resources().items() if kind in ("CPU", "GPU")}
            words = ", ".join(f"{amount:g} {kind}" for kind, amount in sorted(free.items())) or "nothing"
            self.progress.note(
                f"nothing runs for {now - self.idle_since:.0f} s: {num_waiting} trials wait for {demand} each on one "
                f"node, and {words} is free on the whole cluster"
            )
            self.idle_since = now

    def _beat_time(self, trial_id: str) -> int:
        try:
            return (self.folder.trial(trial_id).path / "heartbeat.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _signal(self, trial_id: str, number: int) -> None:
        beat = read_beat(self.folder.trial(trial_id).path)
        if beat.get("attempt") == self.folder.attempt:
            signal_process(beat, number)


class Watchman(tune.Callback):
    """Takes the watchdog through the trials of a Tune run.

    Args:
        watchdog: looks after them.
        resources: what each one asks for.
        identify: a trial of Tune -> id of ours that it is at, and how to call it in a line.
    """

    def __init__(
        self, watchdog: Watchdog, resources: ResourcesConfig, identify: Callable[[Any], tuple[str, str]]
    ) -> None:
        self._watchdog, self._demand, self._identify = watchdog, describe_demand(resources), identify

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of Tune's snapshot."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._watchdog.is_due():
            running = dict(self._identify(trial) for trial in trials if trial.status == "RUNNING")
            self._watchdog.look(running, sum(trial.status == "PENDING" for trial in trials), self._demand)


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


def read_stack(folder: Path) -> str:
    """Return what `stack_on_request` has written into a folder."""
    path = folder / "stack.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
