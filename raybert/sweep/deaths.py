"""What Ray says of a trial whose process died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raybert.sweep.failures import classify
from raybert.sweep.folder import TrialFolder
from raybert.sweep.heartbeat import read_beat, take_stall

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
    error = trial.get_pickled_error()
    words = str(trial.get_error() or "no reason given by Ray").strip()
    kind = classify(error if error is not None else RuntimeError(words))
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
    else:
        kind = "lost" if kind == "error" else kind
        reason = f"TrialError: {_REASONS[kind]}"
    return Death(kind, reason, f"{reason}\n\n{words}\n", node)
