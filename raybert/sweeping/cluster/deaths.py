"""What Ray says of a trial whose process died."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.sweeping.folder.failure_kinds import kind_in_words
from raybert.sweeping.folder.heartbeat import read_beat, take_stall
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_log import append_to_log

_ROOM_FOR_AN_ERROR = 2**20
_REASONS = {
    "memory": "the host ran out of memory, and Ray ended the {noun}'s process",
    "disk": "the disk is full",
    "lost": "the {noun}'s process died",
}
_FAILURE = re.compile(r"^Failure # \d+ \(occurred at .*\)$", re.MULTILINE)
"""Begins what Tune writes of each failure of a trial."""
_RAISED = "ray::"
"""Is in the first line of what Ray writes of an exception in a task, which ends as a traceback of Python does."""
_MEMORY = {"MemoryError": "memory", "OutOfMemoryError": "oom"}
"""Errors by which a kind is known; Ray has an `OutOfMemoryError`, too, which its words tell from that of torch."""


@dataclass(frozen=True)
class Death:
    """Why Ray ended an attempt at a trial.

    Attributes:
        kind: of failure.
        reason: `ErrorType: message`.
        text: for `error.txt`: the reason, then what Ray says.
        node: host of where it happened, if known.
    """

    kind: str
    reason: str
    text: str
    node: str | None


def read_death(trial: Any, folder: TrialFolder) -> Death:
    """Return what became of a Tune trial that has just failed.

    Args:
        trial: of Ray Tune; its own function raises nothing that could be recorded, so its process died, or its
            failure could not be written down.
        folder: of the trial.
    """
    node = read_beat(folder.path).get("host")
    stall = take_stall(folder.path)
    if stall is not None:
        message, stack = stall
        return Death("stalled", f"TrialError: {message}", f"TrialError: {message}\n\n{stack}", node)
    words, is_cut = _read_words(trial)
    last = _FAILURE.split(words)[-1].strip()
    kind, raised = kind_in_words(last), _raised_in(last)
    if kind == "error" and raised:
        kind = _MEMORY.get(raised.partition(":")[0].rpartition(".")[2], kind)
    elif kind == "error":
        kind = "disk" if is_cut else "lost"
    reason = raised or f"TrialError: {_REASONS[kind].format(noun='model' if folder.is_model else 'trial')}"
    return Death(kind, reason, f"{reason}\n\n{words or 'no reason given by Ray'}\n", node)


def _read_words(trial: Any) -> tuple[str, bool]:
    """Return what Tune has written of the failures of a trial, and whether a full disk has cut it off.

    It is read where the driver has just written it: the copy in Tune's storage comes later, or never. The exception
    itself lies beside it as a pickle, which is left alone: on a cluster anybody may write there.
    """
    try:
        path = Path(trial.error_file)
    except TypeError:  # it has no folder
        return "", False
    try:
        words = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        words = ""
    try:
        is_full = shutil.disk_usage(path.parent).free < _ROOM_FOR_AN_ERROR
    except OSError:
        is_full = False
    return words.strip(), is_full and not words.endswith("\n")


def _raised_in(words: str) -> str:
    """Return `ErrorType: message` of an exception that Ray has passed on, in one line; nothing where it was none."""
    lines = words.splitlines()
    if not lines or _RAISED not in lines[0]:
        return ""
    last_frame = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=0)
    return next((line.strip() for line in lines[last_frame + 1 :] if line.strip()), lines[-1].strip())


def record_retry(trial: Any, folder: TrialFolder, note: Callable[[str], None]) -> Death:
    """Write down an attempt that failed and is followed by another one; return what became of it."""
    death = read_death(trial, folder)
    with _noted(folder, note):
        append_to_log(folder.path, death.reason)
        folder.add_attempt(death.kind, death.text, death.node)
    return death


def record_end(trial: Any, folder: TrialFolder, note: Callable[[str], None]) -> Death:
    """Write down the failure of a trial that is not tried again; return what became of it."""
    death = read_death(trial, folder)
    with _noted(folder, note):
        append_to_log(folder.path, death.reason)  # first: who follows the log reads no more once it has failed
        folder.fail(death.text, death.kind, death.node)
    return death


@contextlib.contextmanager
def _noted(folder: TrialFolder, note: Callable[[str], None]) -> Iterator[None]:
    """Say what cannot be written, in place of ending the sweep: the trial is then run by the same command again."""
    try:
        yield
    except OSError as error:
        note(f"note: the failure of {folder.path.name} cannot be recorded: {error}")
