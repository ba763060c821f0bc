"""The errors that raybert raises, and the exit code that each one gives the command line.

RaybertError
├── ConfigError      a key of the sweep file: unknown, of the wrong type, or out of range     exit 2
├── DataError        a data source: missing, unreadable, or unfit for classification          exit 2
├── ModelError       an encoder: not found, not an encoder, or unfit for the data             exit 2
├── SelectionError   a strategy: unknown, or returned something that is not a selection       exit 2
├── ScoringError     a signal that could not be computed                                      exit 5
├── ResourceError    a trial that this cluster can never place                                exit 2
├── SweepError       a results folder: of another sweep, locked, or damaged                   exit 2
│   └── Interrupted  stopped on request before there was an outcome to tell of                exit 3
└── TrialError       one training run failed; its `kind` says how: oom, nan, time, ...        exit 5

Every message is one line: what or where, the rule, the value, the remedy.
"""

from __future__ import annotations


class RaybertError(Exception):
    """Base of every error that a user of raybert can cause."""

    exit_code = 2


class RenamedWarning(FutureWarning):
    """A key, column or attribute is called by a name that the next release will not know any more."""


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

    exit_code = 5

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class ResourceError(RaybertError):
    """A trial asks for resources that no node of the cluster has."""


class SweepError(RaybertError):
    """A results folder belongs to another sweep, is in use, or is damaged."""


class Interrupted(SweepError):
    """The user, the system or a limit asked to stop; the same command continues."""

    exit_code = 3


class TrialError(RaybertError):
    """One training run failed.

    Attributes:
        kind: of failure, as a results folder lists them (`failure_kinds`); decides whether it is worth another attempt.
    """

    exit_code = 5

    def __init__(self, message: str, *, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind
