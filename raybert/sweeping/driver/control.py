"""Stopping, pausing and going on: by signals, by another terminal (`control.json`), or when time is up."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal, get_args

from raybert.errors import SweepError
from raybert.files import read_json, write_json
from raybert.polling import repeating, wait_until
from raybert.sweeping.folder.ownership import FRESH_SECONDS, beat_age_seconds, is_held, read_owner
from raybert.sweeping.folder.whose import check_is_results_folder

if TYPE_CHECKING:
    from raybert.sweeping.driver.state_file import RecordedProgress
    from raybert.sweeping.folder.layout import SweepFolder

Command = Literal["pause", "resume", "stop", "cancel"]
_COMMANDS: tuple[str, ...] = get_args(Command)
SECONDS_BETWEEN_POLLS = 1.0
"""At `control.json` and the clock: a person waits for the answer, and the folder may lie on a network."""
_SECONDS_BETWEEN_LOOKS = 0.1
"""At a file of another process, or at flags that signal handlers set: neither gives another sign."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_SECONDS = 60.0
"""How long a command waits for an owner that is alive; it takes one within a second or two."""


@dataclass
class Interruption:
    """Whether trials are to save and stop: for good, or until the sweep is resumed. True when called: do not go on.

    Attributes:
        folder: of the sweep; its stop request is what trials see.
        progress: told what happens.
        requested: whether the sweep is to end.
        is_paused: whether it is to wait.
        takes_signals: whether Ctrl-C reaches this process's own handler, which can end it at once.
    """

    folder: SweepFolder
    progress: RecordedProgress
    requested: bool = False
    is_paused: bool = False
    takes_signals: bool = False

    def __call__(self) -> bool:
        return self.requested or self.is_paused

    def stop(self) -> None:
        """Ask for the end: running trials save and stop."""
        self.requested = True
        self._tell_trials()

    def give_up(self, why: str) -> None:
        """End, and leave the folder to the owner that has taken over, if it is there; the fence stops trials."""
        self.requested = True
        self.progress.note(f"stopping: {why}")

    def pause(self) -> None:
        """Ask to wait: running trials save, stop, and release their resources."""
        self.is_paused = True
        self._tell_trials()

    def resume(self) -> None:
        """Withdraw a pause."""
        self.is_paused = False
        self._tell_trials()

    def waited_seconds(self) -> float:
        """Return how long it has been paused in all."""
        return self.progress.tally.left.paused_seconds

    def run_unless_paused(self, run: Callable[[], None]) -> None:
        """Run what is pending, and again after every pause, until it came to its end or to that of the sweep.

        Args:
            run: does what is not done yet; returns early when interrupted.
        """
        run()
        while self.is_paused and not self.requested:
            with self.progress.paused(f"paused; continue with:  raybert resume {self.folder.path}"):
                wait_until(lambda: self.requested or not self.is_paused, _SECONDS_BETWEEN_LOOKS)
            if not self.requested:
                run()

    def obey(self, command: str) -> None:
        """Do what another terminal asks for; called from a thread."""
        if command == "resume":
            self.progress.note("resumed")
            self.resume()
        elif command == "pause":
            self.progress.note("pausing: running trials save and release their resources")
            self.pause()
        elif command == "stop" or not self.takes_signals:
            self.progress.note("stopping: running trials save")
            self.stop()
        elif command == "cancel":
            self.requested = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _tell_trials(self) -> None:
        if not self():
            self.folder.stop_request.unlink(missing_ok=True)
            return
        with contextlib.suppress(FileNotFoundError):  # the folder is gone, which trials see for themselves
            self.folder.stop_request.touch()


@contextlib.contextmanager
def interruptible(interruption: Interruption, sweep_seconds: float | None = None) -> Iterator[None]:
    """Take signals, commands and the limit of time, for the length of a `with` block.

    The first Ctrl-C, SIGTERM or SIGHUP (a lost ssh connection), `raybert stop` and the limit ask trials to save and
    stop; a second signal and `raybert cancel` raise KeyboardInterrupt. A signal that was ignored (`nohup`) stays so.

    Args:
        interruption: told of it.
        sweep_seconds: from now on.
    """
    interruption.folder.stop_request.unlink(missing_ok=True)
    (interruption.folder.path / "control.json").unlink(missing_ok=True)
    try:
        with _signals(interruption), _polls(interruption, sweep_seconds):
            yield
    finally:
        interruption.folder.stop_request.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals(interruption: Interruption) -> Iterator[None]:
    is_alone = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_alone
        if interruption.requested:
            # The kernel, the shell and systemd may each say that a terminal is gone, by SIGHUP and by SIGTERM.
            if number == signal.SIGHUP or is_alone:
                is_alone = False
                return
            raise KeyboardInterrupt
        is_alone = number == signal.SIGHUP
        interruption.stop()
        # In a thread of its own: this one may be in the middle of a line, which would then be printed twice.
        words = "stopping: running trials save; once more to stop at once"
        threading.Thread(target=interruption.progress.note, args=(words,)).start()

    try:
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, handle) for number in heard}
    except ValueError:  # not the main thread, e.g. a notebook's worker: its owner handles signals
        previous = {}
    interruption.takes_signals = signal.SIGINT in previous
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _polls(interruption: Interruption, sweep_seconds: float | None) -> Iterator[None]:
    """Look for commands and at the clock from a thread: the driver may be waiting, scoring, or searching."""
    deadline = None if sweep_seconds is None else time.monotonic() + sweep_seconds

    def look() -> bool:
        command = _take_command(interruption)
        if command is not None:
            interruption.obey(command)
        if deadline is not None and time.monotonic() >= deadline and not interruption.requested:
            interruption.progress.note(
                f"stopping: limits.sweep_seconds ({sweep_seconds:g}) are used up; running trials save, and the "
                "same command continues"
            )
            interruption.stop()
        return False

    with repeating(look, SECONDS_BETWEEN_POLLS, "raybert-control"):
        yield


def _take_command(interruption: Interruption) -> str | None:
    """Return the command that another terminal has left, if any; taking it tells that terminal so."""
    path = interruption.folder.path / "control.json"
    if not path.exists():
        return None
    command = (read_json(path) or {}).get("command")
    path.unlink(missing_ok=True)
    if command in _COMMANDS:
        return str(command)
    interruption.progress.note("note: control.json held no command; give it again")
    return None


def is_alive(folder: Path) -> bool:
    """Tell whether a process owns a results folder: by its lock, or on another host by its heartbeat."""
    age = beat_age_seconds(folder)
    return is_held(folder) or (age is not None and age < FRESH_SECONDS and not _is_local(folder))


def send_command(folder: Path, command: Command) -> None:
    """Give a command to the process that owns a results folder, and wait until it has taken it.

    Raises:
        SweepError: nobody owns the folder, or the owner does not answer.
    """
    check_is_results_folder(folder)
    if not is_alive(folder):
        raise SweepError(f"{folder}: no sweep runs in it; see `raybert status {folder}`")
    path = folder / "control.json"
    write_json(path, {"command": command})

    def is_taken() -> bool:
        if path.exists() and not is_alive(folder):
            path.unlink(missing_ok=True)
            raise SweepError(f"{folder}: the sweep in it ended before it took the command")
        return not path.exists()

    if not wait_until(is_taken, _SECONDS_BETWEEN_LOOKS, PATIENCE_SECONDS):
        path.unlink(missing_ok=True)
        raise SweepError(f"{folder}: {read_owner(folder)} must take a command within {PATIENCE_SECONDS:g} s")


def _is_local(folder: Path) -> bool:
    owner = read_owner(folder)
    return owner is not None and owner.host == os.uname().nodename
