"""The errors that raybert raises, and the exit codes of the command line.

RaybertError
├── ConfigError      a key of the sweep file: unknown, of the wrong type, or out of range
├── DataError        a data source: missing, unreadable, or unfit for classification
├── ModelError       an encoder: not found, not an encoder, or unfit for the data
├── SelectionError   a strategy: unknown, or returned something that is not a selection
├── ScoringError     a signal that could not be computed
├── ResourceError    a trial that this cluster can never place
├── SweepError       a results folder: of another sweep, locked, or damaged
│   ├── StorageError   an object store refuses what is asked of it
│   │   └── StorageAway  it does not answer, or not in time
│   ├── UntrustedCode  somebody's results name code that would have to run
│   └── Interrupted  stopped on request before there was an outcome to tell of
└── TrialError       one training run failed; its `kind` says how: oom, nan, time, ...

Every message is one line: what or where, the rule, the value, the remedy.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from raybert.plain import cut_lines, hide


class ExitCode(IntEnum):
    """How a command ends.

    Attributes:
        meaning: what it says of any command; what it says of each: `raybert.cli_options.ENDINGS`.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        code = int.__new__(cls, value)
        code._value_, code.meaning = value, meaning
        return code

    DONE = 0, "done"
    DIFFERENT = 1, "a repeated run is not the same; with a traceback: an error that raybert does not know"
    BAD_INPUT = (
        2,
        (
            "bad input: a wrong option, a wrong key of the sweep file, unreadable data, a folder in use; or what the "
            "system refuses: a disk that is full, a file server that does not answer, memory"
        ),
    )
    INTERRUPTED = 3, "stopped on request or by a limit; the same command continues"
    SOME_FAILED = 4, "some trials failed, the others are complete"
    FAILED = 5, "everything failed that was to be computed"


class RaybertError(Exception):
    """Base of every error that a user of raybert can cause; its message has no passwords and no endless lines."""

    exit_code: ClassVar[ExitCode] = ExitCode.BAD_INPUT

    def __init__(self, message: str = "") -> None:
        super().__init__(cut_lines(hide(str(message))))


class RenamedWarning(FutureWarning):
    """A key, column or attribute is called by a name that the next release will not know any more."""


class StorageWarning(UserWarning):
    """What to know of a results folder in an object store: whose place is taken, or that the store is waited for."""


class CacheWarning(UserWarning):
    """Something cannot be kept for another time, or was and is damaged, and is made again."""


class ConfigError(RaybertError):
    """A key of the configuration is unknown, of the wrong type, or out of range."""


class DataError(RaybertError):
    """A data source is missing, unreadable, or unfit for classification."""


class ModelError(RaybertError):
    """An encoder cannot be found or loaded, or does not fit the data."""


class SelectionError(RaybertError):
    """A strategy is unknown, or what it returned is not a selection."""


class ScoringError(RaybertError):
    """A signal could not be computed; finished blocks stay in the score store.

    Attributes:
        details: the traceback of the process that computed it.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class ResourceError(RaybertError):
    """A trial asks for resources that no node of the cluster has."""


class SweepError(RaybertError):
    """A results folder belongs to another sweep, is in use, or is damaged."""


class StorageError(SweepError):
    """An object store refuses what is asked of it: another try would not help."""


class StorageAway(StorageError):
    """An object store does not answer, or not in time."""


class UntrustedCode(SweepError):
    """Somebody's results name code that would have to run, and nobody has said that it may.

    Attributes:
        names: of that code.
    """

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class Interrupted(SweepError):
    """The user, the system or a limit asked to stop; the same command continues."""

    exit_code = ExitCode.INTERRUPTED


class TrialError(RaybertError):
    """One training run failed.

    Attributes:
        kind: of failure, as a results folder lists them (`failure_kinds`); decides whether it is worth another attempt.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind
