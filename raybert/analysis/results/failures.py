"""Why trials failed: distinct errors, how often, where first, and the end of that trial's log."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.columns import typed_frame
from raybert.sweeping.folder.failures import FailedRun, FailureGroup, group_failures
from raybert.sweeping.folder.layout import SweepFolder
from raybert.tables import ERRORS

_LOG_LINES = 6


def find_failures(sweep: Sweep) -> tuple[FailureGroup, ...]:
    """Return the distinct errors of a sweep, most frequent first."""
    return group_failures(_failed_runs(sweep))


def reproduce_command(folder: str | Path, run: FailedRun) -> str:
    """Return what runs a failed trial again, for a results folder as the user would type it."""
    return shlex.join(["raybert", "reproduce", str(folder), run.trial_id])


def end_of_log(folder: Path, run: FailedRun) -> tuple[str, ...]:
    """Return the last lines of a failed trial's log, without the error itself."""
    trial = folder / "trials" / run.trial_id
    path = next((path for path in (trial / "log.txt", trial / "error.txt") if path.is_file()), None)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path is not None else []
    told = [line.rstrip() for line in lines if line.strip() and not _is_error(line, run.failure.origin)]
    return tuple(told[-_LOG_LINES:])


def failures_table(groups: Sequence[FailureGroup], folder: Path) -> pd.DataFrame:
    """Return a row per distinct error: `ERRORS`.

    Args:
        groups: as from `find_failures`.
        folder: of the results.
    """
    rows = [
        {
            "error": group.message,
            "kind": group.kind,
            "num_trials": len(group.failures),
            "num_readers": group.num_readers,
            "first_trial": group.first.trial_id,
            "strategy": group.first.strategy,
            "seed": group.first.seed,
            "fold": group.first.fold,
            "node": group.first.failure.node or "",
            "attempts": group.first.failure.attempts,
            "reproduce": reproduce_command(folder, group.first),
            "trials": " ".join(group.trial_ids),
        }
        for group in groups
    ]
    return typed_frame(rows, ERRORS)


def _failed_runs(sweep: Sweep) -> Iterator[FailedRun]:
    """Yield the failed trials of the tables, and the failed runs of a search and of a refit."""
    folder = SweepFolder(sweep.folder)
    for trial in sweep.trials[sweep.trials["status"] == "failed"].to_dict("records"):
        failure = folder.trial(trial["trial_id"]).failure()
        if trial["error"] != failure.message:  # of a damaged result
            failure = replace(failure, message=str(trial["error"]), caused_by=None, cause=None)
        yield FailedRun(trial["trial_id"], failure, trial["strategy"], int(trial["seed"]), int(trial["fold"]))
    known = set(sweep.trials["trial_id"])
    yield from folder.failed(run for run in folder.unplanned() if run["trial_id"] not in known)


def _is_error(line: str, error: str) -> bool:
    """Tell whether a line says the error again, perhaps with the module of its class in front."""
    return line.rstrip().endswith(error.partition(": ")[2] or error)
