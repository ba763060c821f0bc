"""Why trials failed: distinct errors, how often, where first, and the end of that trial's log."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.files import read_json
from raybert.sweeping.folder.layout import TrialFolder
from raybert.sweeping.plan.roles import REFIT, TUNE

_READS_FAILED_RUN = re.compile(r"^TrialError: its proxy \w+ failed: ")
_LOG_LINES = 6
_COLUMNS = (
    "error",
    "kind",
    "num_trials",
    "num_readers",
    "first_trial",
    "strategy",
    "seed",
    "fold",
    "node",
    "attempts",
    "reproduce",
    "trials",
)


@dataclass(frozen=True)
class FailedTrial:
    """One failed trial.

    Attributes:
        trial_id: which.
        strategy: its label.
        seed: of the sweep.
        fold: of the cross-validation.
        error: `ErrorType: message`; of a trial that only read a failed run, the error of that run.
        is_reader: whether it is such a trial, which never began.
        kind: of `raybert.sweeping.folder.failure_kinds`.
        node: where it failed; empty: not recorded.
        attempts: how often it was tried.
    """

    trial_id: str
    strategy: str
    seed: int
    fold: int
    error: str
    is_reader: bool
    kind: str
    node: str
    attempts: int


@dataclass(frozen=True)
class FailureGroup:
    """Failures that are the same but for numbers, ids and paths.

    Attributes:
        failures: trials that failed themselves before those that only read a failed run, else in the order of the plan.
        log: the last lines of the first one's log, without the error itself.
    """

    failures: tuple[FailedTrial, ...]
    log: tuple[str, ...]

    @property
    def first(self) -> FailedTrial:
        """The trial to look at."""
        return self.failures[0]

    @property
    def num_readers(self) -> int:
        """How many never began, because a run that they read failed like this."""
        return sum(failure.is_reader for failure in self.failures)

    def command(self, folder: str | Path) -> str:
        """Return what runs the first trial again, for a results folder as the user would type it."""
        return shlex.join(["raybert", "reproduce", str(folder), self.first.trial_id])


def find_failures(sweep: Sweep) -> list[FailureGroup]:
    """Return the distinct errors of a sweep, most frequent first."""
    groups: dict[str, list[FailedTrial]] = {}
    for failure in _failures(sweep):
        groups.setdefault(normalise_error(failure.error), []).append(failure)
    ordered = sorted(groups.values(), key=lambda group: -len(group))
    return [_group(sweep.folder, sorted(group, key=lambda failure: failure.is_reader)) for group in ordered]


def normalise_error(error: str) -> str:
    """Return an error without what differs from trial to trial: paths, ids, numbers."""
    text = re.sub(r"(?<![\w.])~?(/[\w.@+=-]+)+/?", "PATH", error)
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\b0x[0-9a-f]+\b", "ID", text)
    text = re.sub(r"\bID(, ID)*", "ID", text)
    return re.sub(r"(?<![\w.])[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?", "N", text)


def failures_table(groups: Sequence[FailureGroup], folder: Path) -> pd.DataFrame:
    """Return a row per distinct error, for `results/errors.csv`; `trials` are ids, the first one first.

    Args:
        groups: as from `find_failures`.
        folder: of the results.
    """
    rows = [
        {
            **{
                key: getattr(group.first, key)
                for key in ("error", "kind", "strategy", "seed", "fold", "node", "attempts")
            },
            "num_trials": len(group.failures),
            "num_readers": group.num_readers,
            "first_trial": group.first.trial_id,
            "reproduce": group.command(folder),
            "trials": " ".join(failure.trial_id for failure in group.failures),
        }
        for group in groups
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _failures(sweep: Sweep) -> Iterator[FailedTrial]:
    failed = sweep.trials[sweep.trials["status"] == "failed"].to_dict("records")
    for trial in [*failed, *_outside_the_plan(sweep)]:
        recorded = TrialFolder(sweep.folder / "trials" / trial["trial_id"]).failure()
        error, is_reader = str(trial.get("error") or recorded.message), False
        while match := _READS_FAILED_RUN.match(error):
            error, is_reader = error[match.end() :], True
        yield FailedTrial(
            trial_id=trial["trial_id"],
            strategy=trial["strategy"],
            seed=int(trial["seed"]),
            fold=int(trial["fold"]),
            error=error,
            is_reader=is_reader,
            kind=recorded.kind,
            node=recorded.node or "",
            attempts=recorded.attempts,
        )


def _outside_the_plan(sweep: Sweep) -> Iterator[dict[Any, Any]]:
    """Yield the failed runs of a search, and of a refit."""
    known = set(sweep.trials["trial_id"])
    for path in sorted((sweep.folder / "trials").glob("*/failure.json")):
        spec = (read_json(path.with_name("spec.json")) or {}).get("spec", {})
        is_failed = TrialFolder(path.parent).status() == "failed"
        if is_failed and spec.get("role") in (TUNE, REFIT) and spec["trial_id"] not in known:
            yield {**spec, "strategy": f"{spec['label']} ({spec['role']})"}


def _group(folder: Path, failures: list[FailedTrial]) -> FailureGroup:
    trial = folder / "trials" / failures[0].trial_id
    path = next((path for path in (trial / "log.txt", trial / "error.txt") if path.is_file()), None)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path is not None else []
    told = [line.rstrip() for line in lines if line.strip() and not _is_error(line, failures[0].error)]
    return FailureGroup(tuple(failures), tuple(told[-_LOG_LINES:]))


def _is_error(line: str, error: str) -> bool:
    """Tell whether a line says the error again, perhaps with the module of its class in front."""
    return line.rstrip().endswith(error.partition(": ")[2] or error)
