"""Trials that hang: say where, end the process, and let Tune try the trial again; and trials that are never placed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray import tune

from raybert.polling import Guard, Throttle
from raybert.sweeping.cluster.hang_detector import Hang, HangDetector
from raybert.sweeping.cluster.stateless import Stateless
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.heartbeat import write_stall
from raybert.sweeping.folder.layout import SweepFolder


class HungTrialsCallback(Stateless, tune.Callback):
    """Looks after the trials of a Tune run, which calls it about ten times a second.

    Args:
        folder: of the sweep.
        stall_seconds: without a heartbeat; None: a trial may be silent for ever.
        progress: told of every trial that hangs.
        demand: what one of the trials asks for, in words.
        identify: a trial of Tune -> id of the run that it is at, and how to call it in a line.
    """

    def __init__(
        self,
        folder: SweepFolder,
        stall_seconds: float | None,
        progress: Progress,
        demand: str,
        identify: Callable[[Any], tuple[str, str]],
    ) -> None:
        self._folder, self._progress, self._demand, self._identify = folder, progress, demand, identify
        self._detector = HangDetector(stall_seconds, folder.attempt)
        self._looks = Throttle(self._detector.seconds_between_looks)
        self._guard = Guard("looking after trials", progress.note, OSError)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._looks.is_due():
            running = dict(self._identify(trial) for trial in trials if trial.status == "RUNNING")
            num_waiting = sum(trial.status == "PENDING" for trial in trials)
            # Raised in the middle of Tune's loop, it would end all trials.
            self._guard(lambda: self.look(running, num_waiting), None)

    def look(self, running: Mapping[str, str], num_waiting: int) -> None:
        """End the processes of trials that hang, and say so if nothing at all is placed.

        Args:
            running: trial id -> how to call it in a line.
            num_waiting: trials that no process was found for yet.
        """
        for hang in self._detector.look({trial_id: self._folder.trial(trial_id).path for trial_id in running}):
            self._end(hang, running[hang.key])
        idle = self._detector.idle_seconds(bool(running) or not num_waiting)
        if idle is not None:
            runs = "models" if self._folder.is_study else "trials"
            self._progress.note(
                f"nothing runs for {idle:.0f} s: {num_waiting} {runs} wait for {self._demand} each on one node, "
                f"and {_free_resources()} is free on the whole cluster"
            )

    def _end(self, hang: Hang, name: str) -> None:
        if hang.has_begun:
            # Where that cannot be written, the process is ended all the same.
            self._guard(lambda: write_stall(hang.folder, hang.message, hang.stack), None)
            self._progress.note(f"{name}: {hang.message}; its process is ended")
        else:
            seconds = hang.silent_seconds
            self._progress.note(f"{name}: its process has not begun after {seconds:.0f} s; see Ray's logs of its node")
        hang.end()


def _free_resources() -> str:
    free = {kind: amount for kind, amount in ray.available_resources().items() if kind in ("CPU", "GPU")}
    return ", ".join(f"{amount:g} {kind}" for kind, amount in sorted(free.items())) or "nothing"
