"""What Ray says of a trial whose process died."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.sweeping.folder.failure_kinds import classify
from raybert.sweeping.folder.heartbeat import read_beat, take_stall
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_log import append_to_log

_ROOM_FOR_AN_ERROR = 2**20
_REASONS = {
    "memory": "the host ran out of memory, and Ray ended the trial's process",
    "disk": "the disk is full",
    "lost": "the trial's process died",
}


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
    error, words = _read_error(trial)
    kind = classify(error if error is not None else RuntimeError(words))
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
    else:
        kind = "lost" if kind == "error" else kind
        reason = f"TrialError: {_REASONS[kind]}"
    return Death(kind, reason, f"{reason}\n\n{words}\n", node)


def _read_error(trial: Any) -> tuple[Exception | None, str]:
    """Return the last exception of a Tune trial, where it can be had, and what is known of it in words.

    Both are read where the driver has just written them: their copies in Tune's storage come later, or never.
    """
    error, words = None, ""
    with contextlib.suppress(OSError, TypeError):  # there is none
        path = Path(trial.pickled_error_file)
        content = path.read_bytes()
        try:
            error = pickle.loads(content)
        except (EOFError, pickle.UnpicklingError, ValueError, AttributeError, ImportError):
            if shutil.disk_usage(path).free < _ROOM_FOR_AN_ERROR:  # so it was cut off
                error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with contextlib.suppress(OSError, TypeError):
        words = Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
    return error, words or "no reason given by Ray"


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
