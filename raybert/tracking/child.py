"""The process of one tracker: it reads calls from standard input, makes them, and answers on standard output."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback
from typing import Any, BinaryIO

from raybert.errors import RaybertError
from raybert.tracking.credentials import remember_credentials
from raybert.tracking.libraries import make_tracker
from raybert.tracking.tracker import BeginAgain, Tracker

_BELOW_TRIALS = 19
"""How much it yields of the processor: Ray gives trials 15, and a tracker must slow none."""


def serve(calls: BinaryIO, answers: BinaryIO) -> None:
    """Make calls until the driver is gone.

    Args:
        calls: pickled (name, *arguments) of the driver.
        answers: takes ("value", what a call returned), ("error", what it raised, in words), or ("end", the same): then
            nothing more can be done here.
    """
    tracker: Tracker | None = None
    while True:
        try:
            name, *arguments = pickle.load(calls)
        except EOFError:
            return
        try:
            if name == "make":
                tracker = make_tracker(*arguments)
                value: Any = tracker.is_live
            else:
                value = getattr(tracker, name)(*arguments)
            answer = ("value", value)
        except Exception as error:  # libraries raise whatever they like; the driver says it and tries again
            traceback.print_exc()
            is_plain = isinstance(error, (RaybertError, BeginAgain))
            kind = "end" if isinstance(error, BeginAgain) else "error"
            answer = (kind, str(error) if is_plain else f"{type(error).__name__}: {error}")
        pickle.dump(answer, answers)
        answers.flush()


def main() -> None:
    """Serve the process that began this one; what libraries print goes to the log that standard error is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_BELOW_TRIALS)
    remember_credentials()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
