"""A tracker in a process of its own: its library prints, hooks and hangs there, and not in the driver."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raybert.config.track import TrackerConfig
from raybert.private_folders import PrivateFolder
from raybert.tracking.book import FOLDER
from raybert.tracking.tracker import Artifacts, Row, TrackedSweep, TrackedTrial

_LAST_WORDS = 300
"""Bytes of a log from whose last line it is told why a process has ended."""


class RemoteError(Exception):
    """What a call raised in the tracker's process, in words."""


class RemoteEnd(RemoteError):
    """The tracker's process is no more: what it held open is lost, and begun again."""


class RemoteTracker:
    """A tracker whose calls are made in a process of its own, which ends with the driver's.

    Its output goes to `tracking/<name>.log` of the results folder.

    Args:
        name: of the tracker.
        config: its section.
        folder: of the results.

    Raises:
        RemoteError: it cannot be made.
    """

    def __init__(self, name: str, config: TrackerConfig, folder: Path) -> None:
        self._log = folder / FOLDER / f"{name}.log"
        self._log.parent.mkdir(exist_ok=True)
        self._scratch = PrivateFolder.make()
        paths = os.pathsep.join(path for path in sys.path if path)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "raybert.tracking.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Libraries leave folders behind where they are ended; these go with this one.
                env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(self._scratch.path)},
                start_new_session=True,  # a Ctrl-C is for the driver, which then sends what there is
            )
        self.is_live = bool(self._answer(("make", name, config, folder)))

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        return str(self._answer(("open_sweep", sweep, run)))

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        return str(self._answer(("begin_trial", trial, run)))

    def log(self, run: str, rows: Sequence[Row]) -> None:
        self._answer(("log", run, rows))

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        self._answer(("end_trial", run, status, summary))

    def finish(self, artifacts: Artifacts) -> str:
        return str(self._answer(("finish", artifacts)))

    def close(self) -> None:
        try:
            self._answer(("close",))
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process at once; called from any thread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what libraries have started
        self._process.wait()
        self._scratch.remove()

    def _answer(self, call: tuple[Any, ...]) -> Any:
        """Make a call there and return what it returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(call, self._process.stdin)
            self._process.stdin.flush()
            kind, value = pickle.load(self._process.stdout)  # of a child of ours
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            code = self._process.poll()
            said = self._last_words()
            raise RemoteEnd(f"its process ended{'' if code is None else f' ({code})'}{said and f': {said}'}") from None
        if kind == "end":
            self.kill()
            raise RemoteEnd(value)
        if kind == "error":
            raise RemoteError(value)
        return value

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LAST_WORDS))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
