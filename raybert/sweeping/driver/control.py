"""Stopping, pausing and going on: by signals, by another terminal (`control.json`), or when time is up."""

from __future__ import annotations

import contextlib
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
from raybert.polling import Guard, repeating, wait_until
from raybert.sweeping.folder.owner import OwnerWatch, is_alive, read_owner
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
_SECONDS_OF_REPEATS = 5.0
"""The kernel, the shell, systemd, `timeout` and SLURM may each say the same, by SIGHUP and by SIGTERM, and twice."""
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
        has_given_up: whether the folder is another owner's now, or gone.
    """

    folder: SweepFolder
    progress: RecordedProgress
    requested: bool = False
    is_paused: bool = False
    takes_signals: bool = False
    has_given_up: bool = False

    def __post_init__(self) -> None:
        # A stop that cannot be told (the disk is full, say) is told again and again by `catch_up`.
        self._telling = Guard("telling trials to save", self.progress.note, OSError)

    def __call__(self) -> bool:
        return self.requested or self.is_paused

    @property
    def runs(self) -> str:
        """What messages call the runs of the folder: `trials`, or `models` of a study."""
        return "models" if self.folder.is_study else "trials"

    def stop(self) -> None:
        """Ask for the end: running trials save and stop."""
        self._telling(self._write_request_to_stop, None)  # first: who sees the flag may look for the request
        self.requested = True
        self._tell_trials()

    def give_up(self, why: str) -> None:
        """End, and leave the folder to the owner that has taken over, if it is there; the fence stops trials."""
        self.requested = self.has_given_up = True
        self.progress.note(f"stopping: {why}")

    def pause(self) -> None:
        """Ask to wait: running trials save, stop, and release their resources."""
        self._telling(self._write_request_to_stop, None)
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
            self.progress.note(f"pausing: running {self.runs} save and release their resources")
            self.pause()
        elif command == "stop" or not self.takes_signals:
            self.progress.note(f"stopping: running {self.runs} save")
            self.stop()
        elif command == "cancel":
            self.requested = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def say_that_it_stops(self) -> None:
        """Say what the first Ctrl-C does."""
        self.progress.note(f"stopping: running {self.runs} save; once more to stop at once")

    def catch_up(self) -> None:
        """Tell trials again, if they could not be told; called from a thread."""
        if not self.has_given_up:
            self._tell_trials()

    def _tell_trials(self) -> None:
        self._telling(self._write_request, None)

    def _write_request(self) -> None:
        is_told = self.folder.stop_request.exists()
        if is_told and not self():
            self.folder.stop_request.unlink(missing_ok=True)
        if self() and not is_told:
            self._write_request_to_stop()

    def _write_request_to_stop(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # the folder is gone, which trials see for themselves
            self.folder.stop_request.touch()


@contextlib.contextmanager
def interruptible(interruption: Interruption, sweep_seconds: float | None = None) -> Iterator[None]:
    """Take signals, commands and the limit of time, for the length of a `with` block.

    The first Ctrl-C, SIGTERM or SIGHUP (a lost ssh connection), `raybert stop` and the limit ask trials to save and
    stop; a second Ctrl-C, a SIGTERM that comes seconds after the first signal, and `raybert cancel` raise
    KeyboardInterrupt. A signal that was ignored (`nohup`) stays so.

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
        clearing = Guard("clearing the request to stop", interruption.progress.note, OSError)
        clearing(lambda: interruption.folder.stop_request.unlink(missing_ok=True), None)


@contextlib.contextmanager
def _signals(interruption: Interruption) -> Iterator[None]:
    first, heard_at = 0, 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first, heard_at
        is_of_a_person = number == signal.SIGINT
        is_repeated = first != signal.SIGINT and time.monotonic() - heard_at < _SECONDS_OF_REPEATS
        if not interruption.requested and not first:  # the next may come before the first is taken down
            first, heard_at = number, time.monotonic()
            interruption.stop()
            # In a thread of its own: this one may be in the middle of a line, which would then be printed twice.
            threading.Thread(target=interruption.say_that_it_stops).start()
        elif not first and not is_of_a_person:  # it stops already, by a command or a limit
            first, heard_at = number, time.monotonic()
        elif is_of_a_person or not (number == signal.SIGHUP or is_repeated):
            raise KeyboardInterrupt

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
    # Apart from the clock, which has to be looked at also where control.json cannot be.
    taking = Guard("looking for commands", interruption.progress.note, OSError)

    def look() -> bool:
        interruption.catch_up()
        command = taking(lambda: _take_command(interruption), None)
        if command is not None:
            interruption.obey(command)
        if deadline is not None and time.monotonic() >= deadline and not interruption.requested:
            interruption.progress.note(
                f"stopping: limits.sweep_seconds ({sweep_seconds:g}) are used up; running {interruption.runs} save, "
                "and the same command continues"
            )
            interruption.stop()
        return False

    with repeating(look, SECONDS_BETWEEN_POLLS, "commands and limits", interruption.progress.note):
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


def send_command(folder: Path, command: Command) -> None:
    """Give a command to the process that owns a results folder, and wait until it has taken it.

    Raises:
        SweepError: nobody owns the folder, or the owner does not answer.
    """
    check_is_results_folder(folder)
    if not is_alive(folder):
        raise SweepError(f"{folder}: no sweep runs in it; see `raybert status {folder}`")
    path, owner = folder / "control.json", OwnerWatch(folder)
    write_json(path, {"command": command})

    def is_taken() -> bool:
        if path.exists() and owner.is_alive() is False:
            path.unlink(missing_ok=True)
            raise SweepError(f"{folder}: the sweep in it ended before it took the command")
        return not path.exists()

    if not wait_until(is_taken, _SECONDS_BETWEEN_LOOKS, PATIENCE_SECONDS):
        path.unlink(missing_ok=True)
        silent = read_owner(folder)
        remedy = (
            f"; if it hangs, `kill -9 {silent.pid}` on {silent.host} ends it, and its command goes on" if silent else ""
        )
        raise SweepError(f"{folder}: {silent} must take a command within {PATIENCE_SECONDS:g} s{remedy}")
