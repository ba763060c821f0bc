"""Heartbeats of a trial: a small file that its process writes about once a second, and its stack on request."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raybert.files import of_types, read_json, replace_json, write_json
from raybert.polling import Throttle
from raybert.sweeping.folder.signs import Sign, identity_of, send_signal_to, sign_of

SECONDS_BETWEEN_BEATS = 1.0
"""`raybert status` and the detector of hangs look no more often, and a step may take a millisecond."""
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("pid", "step", "total_steps", "attempt"), int),
    **dict.fromkeys(("seconds", "started"), (int, float)),
    **dict.fromkeys(("process", "host", "node_id"), str),
    "ended": bool,
}
"""Of what a beat says, for whoever reads one that is damaged."""
STACK_SIGNAL = signal.SIGUSR2
"""Makes a trial's process write `stack.txt`; Tune has taken SIGUSR1."""


@dataclass
class Heart:
    """Writes `trials/<id>/heartbeat.json` for the process that runs a trial.

    Attributes:
        folder: of the trial.
        attempt: owner of the sweep that started the process.
        total_steps: optimizer steps T.
        spent_seconds: of earlier attempts.
        step: optimizer steps done.
    """

    folder: Path
    attempt: int | None
    total_steps: int
    spent_seconds: float = 0.0
    step: int = 0
    began: float = field(default_factory=time.monotonic)
    beats: Throttle = field(default_factory=lambda: Throttle(SECONDS_BETWEEN_BEATS))
    identity: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, attempt: int | None, total_steps: int) -> Heart:
        """Return the heart of this process, which goes on counting where an earlier attempt stopped."""
        before = read_beat(folder)
        heart = cls(folder, attempt, total_steps, float(before.get("seconds") or 0.0), int(before.get("step") or 0))
        heart.identity = {
            "pid": os.getpid(),
            "process": identity_of(os.getpid()),
            "host": os.uname().nodename,
            "node_id": _node_id(),
            "attempt": attempt,
            "started": time.time(),  # for people; nothing is counted from it
        }
        heart.beat(force=True)
        return heart

    @property
    def seconds(self) -> float:
        """Time that all attempts together have taken."""
        return self.spent_seconds + time.monotonic() - self.began

    def leave_out(self, seconds: float) -> None:
        """Count some of the time that has passed as none of the trial's."""
        self.began += seconds

    def beat(self, step: int | None = None, *, force: bool = False) -> bool:
        """Write a heartbeat, at most once a second unless forced; return whether it was due."""
        self.step = self.step if step is None else step
        is_due = self.beats.is_due(force=force)
        if is_due:
            self._write({"step": self.step})
        return is_due

    def end(self) -> None:
        """Say that the process has left the trial; a worker of it may have counted further steps."""
        known = 0
        with contextlib.suppress(OSError):  # what ended the trial is to be told, not this
            known = int(read_beat(self.folder).get("step") or 0)
        self._write({"step": max(self.step, known), "ended": True})

    def _write(self, state: dict[str, Any]) -> None:
        record = {**self.identity, "total_steps": self.total_steps, "seconds": round(self.seconds, 3), **state}
        path = self.folder / "heartbeat.json"
        try:
            replace_json(path, record)
        except OSError:  # a full disk fails what matters, not this; and to touch a file takes no room
            with contextlib.suppress(OSError):
                os.utime(path)


def read_beat(folder: Path) -> dict[str, Any]:
    """Return the last heartbeat of a trial; empty: there is none."""
    return of_types(read_json(folder / "heartbeat.json") or {}, _TYPES)


def folders_with_beats(folder: Path) -> Iterator[Path]:
    """Yield the folders of a results folder's runs that have begun: trials and pretrained models."""
    for kind in ("trials", "models"):
        yield from (path.parent for path in folder.glob(f"{kind}/*/heartbeat.json"))


def last_beat(folder: Path) -> Sign | None:
    """Return what changes with every heartbeat of a trial; None: there is none."""
    return sign_of(folder / "heartbeat.json")


def forget_beat(folder: Path) -> None:
    """Make the next attempt count its time from zero."""
    (folder / "heartbeat.json").unlink(missing_ok=True)


@contextlib.contextmanager
def stack_on_request(folder: Path) -> Iterator[None]:
    """Let `STACK_SIGNAL` write what all threads of this process are doing to `stack.txt`, even where Python hangs."""
    path = folder / "stack.txt"
    with path.open("w", encoding="utf-8") as file:
        faulthandler.register(STACK_SIGNAL, file=file, all_threads=True)
        try:
            yield
        finally:
            faulthandler.unregister(STACK_SIGNAL)
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


def read_stack(folder: Path) -> str:
    """Return what `stack_on_request` has written into a folder."""
    path = folder / "stack.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def send_signal(beat: dict[str, Any], number: int) -> bool:
    """Send a signal to the process that wrote a beat on this host, and return whether it was there.

    A process that has taken over the number of a dead one is left alone.
    """
    try:
        return send_signal_to(int(beat["pid"]), str(beat["process"]), number)
    except (KeyError, TypeError, ValueError):  # of raybert 0.1, or torn
        return False


def write_stall(folder: Path, message: str, stack: str) -> None:
    """Record why a trial's process is about to be ended."""
    write_json(folder / "stall.json", {"message": message, "stack": stack})


def take_stall(folder: Path) -> tuple[str, str] | None:
    """Return and delete the message and the stack that `write_stall` has left, if any."""
    path = folder / "stall.json"
    found = read_json(path)
    path.unlink(missing_ok=True)
    return None if found is None else (str(found.get("message")), str(found.get("stack")))


def _node_id() -> str | None:
    """Return Ray's name of this node, where this is a process of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return str(ray.get_runtime_context().get_node_id())
