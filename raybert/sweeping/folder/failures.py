"""Why runs failed: one record per run, runs that failed because another one did, and failures that are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BECAUSE = re.compile(r"^TrialError: its proxy (?P<run>\w+) failed: ")


@dataclass(frozen=True)
class Failure:
    """Why an attempt at a run ended (`failure.json`).

    Attributes:
        kind: a key of `raybert.sweeping.folder.failure_kinds.KINDS`.
        message: its first line.
        node: host name of where it happened, if known.
        attempts: failed ones so far, this one included.
        caused_by: of a run that never began because it reads one that failed: the id of that one.
        cause: the error at the beginning of such a chain.
    """

    kind: str
    message: str
    node: str | None = None
    attempts: int = 1
    caused_by: str | None = None
    cause: str | None = None

    @property
    def origin(self) -> str:
        """The error to look at: its own, or that of the run that it could not read."""
        return self.cause or self.message


@dataclass(frozen=True)
class FailedRun:
    """A failed run, and what tells it from the others.

    Attributes:
        trial_id: which.
        failure: why.
        strategy: its label.
        seed: of the sweep.
        fold: of the cross-validation.
    """

    trial_id: str
    failure: Failure
    strategy: str = ""
    seed: int = 0
    fold: int = 0


@dataclass(frozen=True)
class FailureGroup:
    """Failures that are the same but for numbers, ids and paths.

    Attributes:
        failures: runs that failed themselves before those that only read a failed run, else as they were given.
    """

    failures: tuple[FailedRun, ...]

    @property
    def first(self) -> FailedRun:
        """The run to look at."""
        return self.failures[0]

    @property
    def message(self) -> str:
        """The error of the first run."""
        return self.first.failure.origin

    @property
    def kind(self) -> str:
        """Of the first run's failure."""
        return self.first.failure.kind

    @property
    def trial_ids(self) -> tuple[str, ...]:
        """All runs, the first one first."""
        return tuple(run.trial_id for run in self.failures)

    @property
    def num_readers(self) -> int:
        """How many never began, because a run that they read failed like this."""
        return sum(run.failure.caused_by is not None for run in self.failures)


def group_failures(failures: Iterable[FailedRun]) -> tuple[FailureGroup, ...]:
    """Return the distinct errors of failed runs, most frequent first."""
    groups: dict[str, list[FailedRun]] = {}
    for run in failures:
        groups.setdefault(normalise_error(run.failure.origin), []).append(run)
    ordered = sorted(groups.values(), key=lambda group: -len(group))
    return tuple(FailureGroup(tuple(sorted(group, key=_is_reader))) for group in ordered)


def normalise_error(error: str) -> str:
    """Return an error without what differs from run to run: paths, ids, numbers."""
    text = re.sub(r"(?<![\w.])~?(/[\w.@+=-]+)+/?", "PATH", error)
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\b0x[0-9a-f]+\b", "ID", text)
    text = re.sub(r"\bID(, ID)*", "ID", text)
    return re.sub(r"(?<![\w.])[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?", "N", text)


def because_of(run_id: str, failure: Failure) -> Failure:
    """Return the failure of a run that never begins because it reads a failed one."""
    message = f"TrialError: its proxy {run_id} failed: {failure.message}"
    return Failure(failure.kind, message, failure.node, caused_by=run_id, cause=failure.origin)


def cause_in_words(message: str) -> tuple[str | None, str | None]:
    """Return `caused_by` and `cause` of a failure whose record does not have them: raybert 0.1 only wrote words."""
    found, cause = _BECAUSE.match(message), message
    while match := _BECAUSE.match(cause):
        cause = cause[match.end() :]
    return (found["run"], cause) if found else (None, None)


def _is_reader(run: FailedRun) -> bool:
    return run.failure.caused_by is not None
